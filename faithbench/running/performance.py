"""What a model is worth on the texts that are measured: its performance where they have labels, and unknown tokens."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from faithbench.answering.explaining import logits_by_id
from faithbench.errors import UserError
from faithbench.interfaces import Classifier
from faithbench.probability import probabilities
from faithbench.records.kinds import kind_of, kinds_of
from faithbench.statistics.performance import of_choices, of_classes, of_labels, of_values
from faithbench.types import Example, Link, Text

USELESS = 90.0  # percent of tokens that are unknown: the tokenizer is another model's


def logits_of_labelled(
    classifier: Classifier, texts: Sequence[Text], examples: Mapping[str, Example]
) -> dict[str, Float[np.ndarray, "outputs"]]:
    """What a model says of the texts that have one label, by id; one forward row each, without those that it fails on.

    Args:
        classifier: which.
        texts: as it reads them.
        examples: of the texts, by id, with the model's classes for labels.
    """
    link = classifier.task.link
    labelled = [text for text in texts if text.outputs is None and _is_labelled(examples[text.id], link)]
    return logits_by_id(classifier, labelled) if labelled else {}


def performance(
    classifier: Classifier,
    texts: Sequence[Text],
    examples: Mapping[str, Example],
    told: Mapping[str, Float[np.ndarray, "outputs"]] | None = None,
) -> dict[str, float]:
    """How well a model does on the texts that have labels, of which `labelled` says how many; empty if none has.

    Of next-token questions `accuracy`, which is that of a choice between two, and `probability gap`, by how much the
    good continuation is likelier than the bad one among all tokens of the vocabulary, in percent, mean over texts.

    Args:
        classifier: which.
        texts: as it reads them.
        examples: of the texts, by id, with the model's classes for labels.
        told: what `logits_of_labelled` gave; None to ask now.
    """
    link = classifier.task.link
    told = logits_of_labelled(classifier, texts, examples) if told is None else told
    labelled = [text for text in texts if text.id in told]
    if not labelled:
        return {}
    logits = np.stack([told[text.id] for text in labelled])
    if all(text.candidates is not None for text in labelled):
        return {**of_choices(logits), **probability_gap(classifier, labelled), "labelled": len(labelled)}
    found = _compared(logits, [examples[text.id] for text in labelled], link)
    return {**found, "labelled": len(labelled)} if found else {}


def performance_by_kind(
    classifier: Classifier,
    texts: Sequence[Text],
    examples: Mapping[str, Example],
    told: Mapping[str, Float[np.ndarray, "outputs"]],
) -> dict[str, dict[str, float]]:
    """The same of each kind of next-token questions, by what their ids say; nothing where there is but one."""
    asked = [text for text in texts if text.id in told]
    if any(text.candidates is None for text in asked):
        return {}
    kinds = kinds_of(text.id for text in asked)
    mine = {kind: [text for text in asked if kind_of(text.id) == kind] for kind in kinds}
    return {kind: performance(classifier, of_kind, examples, told) for kind, of_kind in mine.items()}


def probability_gap(classifier: Classifier, texts: Sequence[Text]) -> dict[str, float]:
    """By how much good continuations are likelier than bad ones; nothing where a model does not tell."""
    chances = getattr(classifier, "chances", None)
    if chances is None:
        return {}
    told: Float[np.ndarray, "texts 2"] = chances(texts)
    return {"probability gap": 100 * float((told[:, 0] - told[:, 1]).mean())}


def unknown_tokens(classifier: Classifier, texts: Sequence[Text]) -> float | None:
    """The share of content tokens that the tokenizer does not know, in percent; None where that has no meaning.

    Raises:
        UserError: almost all are unknown.
    """
    tokenizer = getattr(classifier, "tokenizer", None)
    unknown, count = getattr(tokenizer, "unk_token_id", None), sum(len(text.content) for text in texts)
    if unknown is None or not count:
        return None
    share = 100 * sum(int((text.ids[text.content] == unknown).sum()) for text in texts) / count
    if share >= USELESS:
        name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        raise UserError(
            f"{share:.0f} % of the tokens are unknown to the tokenizer {name}: it is not this model's, or the texts "
            "are in another language or alphabet than it was made for."
        )
    return share


def _is_labelled(example: Example, link: Link) -> bool:
    """Whether it is known what the model should say of an example."""
    return (example.value if link == "identity" else example.true_outputs(link)) is not None


def _compared(logits: Float[np.ndarray, "texts outputs"], examples: Sequence[Example], link: Link) -> dict[str, float]:
    if link == "identity" and logits.shape[1] > 1:
        return {}
    if link == "identity":
        return of_values(logits[:, 0].astype(np.float64), np.array([example.value for example in examples]))
    if link == "softmax":
        return of_classes(logits.argmax(axis=1), np.array([example.label for example in examples]))
    truth = np.zeros(logits.shape, dtype=bool)
    for row, example in zip(truth, examples, strict=True):
        row[list(example.true_outputs(link) or ())] = True
    return of_labels(probabilities(logits, "sigmoid") > 0.5, truth)
