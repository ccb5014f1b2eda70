"""What masked texts are to a model: are they told from those of its training, and what does it say of them?

    python benchmarks/masks.py --model conv-minilm --model "conv-minilm(masking=half)" --dataset hatexplain [--tiny]

Test texts with a share of their content tokens masked at random. For each model and share: how many are told, at the
level of 5 %, from validation texts as in the model's training (half of them masked where that was so), by their
activations (`faithbench.models.distribution`): around 5 is as it should be. And what the model says: accuracy, the mean
probability of the class that it predicts of the whole text, apart for each such class, and how often each class is
predicted.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from faithbench.models.distribution import summary, text_activations
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins.naming import build_dataset
from faithbench.probability import probabilities
from faithbench.statistics.distribution import Distribution
from faithbench.training.prepare import prepare
from faithbench.training.setup import Setup
from faithbench.types import Text

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
SMALL = "planted(train=400, validation=100, test=40)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="a named model; repeat for more")
    parser.add_argument("--dataset", default="hatexplain")
    parser.add_argument("--reference", type=int, default=600, help="validation texts")
    parser.add_argument("--texts", type=int, default=400, help="test texts")
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.model, arguments.dataset = ["conv-tiny"], SMALL
        arguments.reference, arguments.texts = 60, 20
    dataset = build_dataset(arguments.dataset)
    for name in arguments.model or ["conv-minilm", "conv-minilm(masking=half)"]:
        prepared = prepare(name, dataset, Setup(train=arguments.tiny))
        known, texts = (
            [prepared.classifier.encode(example) for example in dataset.object.load(split)[:count]]
            for split, count in (("validation", arguments.reference), ("test", arguments.texts))
        )
        on_masks = "validation_masked" in prepared.report
        rows = looked_at(name, prepared.classifier, known, texts, dataset.object.class_names, on_masks)
        print(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True), end="\n\n", flush=True)
    print(f"{arguments.texts} test texts against {arguments.reference} validation texts of {dataset.label}.")


def looked_at(
    name: str,
    classifier: HuggingFaceClassifier,
    known: Sequence[Text],
    texts: Sequence[Text],
    names: Sequence[str],
    trained_on_masks: bool,
) -> list[dict[str, str]]:
    """A row for each share of masked tokens."""
    draws = np.random.default_rng(0)
    reference = [masked(t, draws.random(), draws) if trained_on_masks and i % 2 else t for i, t in enumerate(known)]
    order = draws.permutation(len(reference))
    distribution = Distribution(text_activations(classifier, [reference[i] for i in order]))
    whole = said(classifier, texts).argmax(axis=1)
    labels = np.array([text.label for text in texts])
    rows = []
    for share in SHARES:
        draws = np.random.default_rng(1)
        changed = [masked(text, share, draws) for text in texts]
        told = summary(distribution.p_values(text_activations(classifier, changed)))
        found = said(classifier, changed)
        predicted = found.argmax(axis=1)
        rows.append(
            {
                "model": name,
                "masked": f"{100 * share:.0f} %",
                "told apart": f"{told['outside']:.1f} %",
                "accuracy": percent(predicted == labels),
                **{f"p({n}), if said of the whole": percent(found[whole == c, c]) for c, n in enumerate(names)},
                **{f"says {n}": percent(predicted == c) for c, n in enumerate(names)},
            }
        )
    return rows


def masked(text: Text, share: float, draws: np.random.Generator) -> Text:
    """A text with each content token masked with this probability."""
    ids = text.ids.copy()
    ids[text.content[draws.random(len(text.content)) < share]] = text.mask_id
    return replace(text, ids=ids)


def said(classifier: HuggingFaceClassifier, texts: Sequence[Text]) -> Float[np.ndarray, "texts classes"]:
    """The probabilities of all classes."""
    return np.stack([probabilities(classifier.logits([text.ids])[0], text.link) for text in texts])


def percent(values: Float[np.ndarray, "texts"]) -> str:
    return f"{100 * values.mean():.1f} %" if len(values) else ""


if __name__ == "__main__":
    main()
