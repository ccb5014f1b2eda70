"""What the engine and the adapter's own code cost a row, with a model that answers at once.

    python benchmarks/overhead.py

Explainers that ask many rows and metrics that ask few are run on texts of two lengths; microseconds of CPU time for
each row that the model is given, and for each text. `engine` has a classifier that gives zeros; `adapter` adds what the
adapter does to rows before the network and to logits behind it.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, measure
from faithbench.conversations import Conversation, together
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins.spec import Component, build
from faithbench.questions import Row
from faithbench.training.backbones import word_tokenizer
from faithbench.types import Attribution, Example, Target, Text

EXPLAINERS = ("shap_sampl", "lime(n_samples=1000)", "occlusion")
METRICS = ("comprehensiveness", "sufficiency", "deletion")
LENGTHS = (31, 512)


class Instant:
    """A classifier that gives zeros, perhaps after all that the adapter does to rows and logits."""

    def __init__(self, classifier: HuggingFaceClassifier, through_adapter: bool) -> None:
        self.classifier, self.batch_tokens, self.through = classifier, 65536, through_adapter
        self.classes, self.tokens, self.task = classifier.classes, classifier.tokens, classifier.task

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        if self.through:
            return self.classifier.logits(rows)
        return np.zeros((len(rows), self.classes), dtype=np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", dest="rows", action="store_const", const=200, help="a matter of seconds")
    parser.add_argument("--rows", type=int, default=60_000, help="for each measurement, about")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts")
    arguments = parser.parse_args()
    components = [build("explainer", name) for name in EXPLAINERS] + [build("metric", name) for name in METRICS]
    columns = ("tokens", "component", "rows", "engine µs a row", "with adapter", "engine µs a text")
    print("{:>6}  {:24} {:>8} {:>16} {:>13} {:>17}".format(*columns))
    for length in LENGTHS:
        classifier, texts = model_and_texts(length)
        for component in components:
            engine, through = (
                median([timed(component, Instant(classifier, way), texts, arguments) for _ in range(arguments.repeats)])
                for way in (False, True)
            )
            each, both = engine.seconds / engine.rows * 1e6, through.seconds / through.rows * 1e6
            text = engine.seconds / engine.texts * 1e6
            print(f"{length:6}  {component.label:24} {engine.rows:8,} {each:16.2f} {both:13.2f} {text:17,.0f}")


class Timed(NamedTuple):
    """CPU time of so many rows and texts."""

    seconds: float
    rows: int
    texts: int


def median(times: Sequence[Timed]) -> Timed:
    return sorted(times)[len(times) // 2]


def model_and_texts(length: int) -> tuple[HuggingFaceClassifier, list[Text]]:
    words = [f"word{number}" for number in range(900)]
    tokenizer = word_tokenizer([" ".join(words)], limit=512)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    classifier = HuggingFaceClassifier(BertForSequenceClassification(config), tokenizer)
    classifier.forward = lambda ids, types, visible: torch.zeros(len(ids), 2)  # type: ignore[method-assign]
    generator = np.random.default_rng(0)
    drawn = (" ".join(generator.choice(words, length - 2)) for _ in range(400))
    return classifier, [classifier.encode(Example(str(number), text, 0)) for number, text in enumerate(drawn)]


def timed(component: Component, model: Instant, texts: Sequence[Text], arguments: argparse.Namespace) -> Timed:
    """Texts one after another until so many rows have been run."""
    engine, start, done = Engine(model), time.process_time(), 0

    def conversations() -> Iterator[Conversation[None]]:
        for text in texts:
            if engine.counts.run > arguments.rows:
                return
            yield converse(component, text)

    for _ in engine.run(conversations()):
        done += 1
    return Timed(time.process_time() - start, engine.counts.run, done)


def converse(component: Component, text: Text) -> Conversation[None]:
    if component.label in EXPLAINERS:
        yield from together({0: explain(component, text, Target(0), 2)})
        return
    scores = np.where(text.special, 0.0, np.arange(len(text)))
    yield from together({0: measure(component, text.own(), Attribution(text.id, Target(0), scores))})


if __name__ == "__main__":
    main()
