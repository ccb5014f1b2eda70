"""Planted shortcuts: a word, or the order of two, put into real texts decides the label (arXiv 2111.07367)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from faithbench.errors import UserError
from faithbench.parameters import check_choice
from faithbench.plugins.naming import build_texts
from faithbench.plugins.spec import Component
from faithbench.types import SPLITS, Example, Span

KINDS = ("token", "pair")
POSITIONS = ("random", "start", "end")
PARTS = ("the first word", "the second word")  # of a pair, in the text
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Shortcut:
    """Real texts; in a share of them, and in all of the test split, a planted trigger decides the label.

    The labels of texts with a trigger are drawn at random, half of them each of the first two classes, so the trigger
    alone decides; texts without one keep their labels. The trigger is the evidence. `token`: the first of the two
    trigger words means class 0, the second class 1. `pair`: both words are there, and their order decides: the first
    before the second means class 0, so either word alone says nothing. More than two classes: the trigger decides
    between classes 0 and 1, and the others occur only in texts without one.

    The trigger words should be ordinary words of the models' vocabulary, so that they are one token, and must not occur
    in the data, so that nothing else is known of them; what occurs is refused. The two given are single word pieces of
    BERT's vocabulary which are in no text of HateXplain, AG News or IMDB.

    Args:
        dataset: where the texts are from.
        kind: `token` or `pair`.
        share: of the training and validation texts that get a trigger.
        position: of the trigger: `random`, `start` or `end`.
        within: how many words of the text the trigger may be put behind at most, so that it is not cut off.
        triggers: two words.
        seed: draws texts, labels and places.
    """

    dataset: str = "hatexplain(classes=2)"
    kind: str = "token"
    share: float = 0.5
    position: str = "random"
    within: int = 80
    triggers: str = "parameter precipitation"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", self.source.identity)
        if self.source.traits.for_model:
            raise ValueError(f"dataset={self.dataset!r} is not allowed; models cannot be trained on it.")
        for name, allowed in (("kind", KINDS), ("position", POSITIONS)):
            check_choice(name, getattr(self, name), allowed)
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share!r} is not allowed; it must be above 0 and at most 1.")
        for name in ("within", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)!r} is not allowed; it must be at least 0.")
        words = self.triggers.split()
        if len({word.lower() for word in words}) != 2 or not all(WORD.fullmatch(word) for word in words):
            raise ValueError(f"triggers={self.triggers!r} is not allowed; it must be two different words.")

    @cached_property
    def source(self) -> Component:
        """The data set that the texts are from."""
        return build_texts(self.dataset, "shortcut")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Those of the data set that the texts are from."""
        names: tuple[str, ...] = self.source.object.class_names
        return names

    @property
    def lr(self) -> float | None:
        """As the data set that the texts are from."""
        return self.source.traits.lr

    @property
    def content(self) -> str:
        """As the data set that the texts are from."""
        return self.source.content

    def load(self, split: str) -> list[Example]:
        """The mixture; of the test split only texts with a trigger.

        Raises:
            UserError: a trigger word occurs in the texts.
        """
        return [self._plant(example, label, generator) for example, label, generator in self._drawn(split)]

    @property
    def planted_parts(self) -> tuple[str, ...]:
        """What tells the label only together."""
        return PARTS if self.kind == "pair" else ()

    def without(self, split: str, part: str | None = None) -> list[Example]:
        """The same texts and labels without the trigger or one of its `planted_parts`: nothing tells the label.

        Raises:
            ValueError: it has no such part.
        """
        if part is not None:
            number = self.planted_parts.index(part)
            return [self._plant(*drawn, number) for drawn in self._drawn(split)]
        return [
            _bare(example, example.label if label is None else label, None if label is None else ())
            for example, label, _ in self._drawn(split)
        ]

    def _drawn(self, split: str) -> list[tuple[Example, int | None, np.random.Generator]]:
        """The texts with the label that a trigger is to give them, None for no trigger; and what draws its place."""
        examples: Sequence[Example] = self.source.object.load(split)
        self._check_absent(split, examples)
        generator = np.random.default_rng([self.seed, SPLITS.index(split)])
        chosen = generator.permutation(len(examples))
        if split != "test":
            chosen = chosen[: round(self.share * len(examples))]
        labels = {int(i): rank % 2 for rank, i in enumerate(chosen)}
        places = generator.spawn(len(examples))
        return [(e, labels.get(i), places[i]) for i, e in enumerate(examples)]

    def _check_absent(self, split: str, examples: Sequence[Example]) -> None:
        either = re.compile(rf"\b({'|'.join(self.triggers.split())})\b", re.IGNORECASE)
        for example in examples:
            if found := either.search(example.text):
                raise UserError(
                    f"trigger {found[0]!r} is not allowed for {self.dataset}; it occurs in text {example.id!r} of the "
                    f"{split} split, so give two words that do not: triggers='… …'."
                )

    def _plant(
        self, example: Example, label: int | None, generator: np.random.Generator, gone: int | None = None
    ) -> Example:
        """With the trigger, if it gets one; but for the word of a number, if one is to be gone."""
        if label is None:
            return _bare(example, example.label, None)
        first, second = self.triggers.split()
        words = [(first, second)[label]] if self.kind == "token" else [(first, second), (second, first)][label]
        places = self._places(example.text, len(words), generator)
        put = [number for number in range(len(words)) if number != gone]
        text, spans = insert(example.text, [words[i] for i in put], [places[i] for i in put])
        return _bare(example, label, spans, text)

    def _places(self, text: str, count: int, generator: np.random.Generator) -> list[int]:
        """Where in the text to put so many words: ends of words, or 0; in order, and perhaps the same twice."""
        ends = [0, *(match.end() for match in re.finditer(r"\S+", text))][: self.within + 1]
        if self.position == "random":
            return sorted(int(generator.choice(ends)) for _ in range(count))
        return [ends[0 if self.position == "start" else -1]] * count


def insert(text: str, words: Sequence[str], places: Sequence[int]) -> tuple[str, tuple[Span, ...]]:
    """A text with words put in at places (in order), set off by spaces, and where they are then."""
    pieces, spans, length, last = [], [], 0, 0
    for word, place in zip(words, places, strict=True):
        before = text[last:place] + (" " if place else "")
        pieces += [before, word, "" if place else " "]
        spans.append((length + len(before), length + len(before) + len(word)))
        length += len(before) + len(word) + (0 if place else 1)
        last = place
    return "".join(pieces) + text[last:], tuple(spans)


def _bare(example: Example, label: int | None, evidence: tuple[Span, ...] | None, text: str | None = None) -> Example:
    """An example with another label and evidence; other marks are of the old text and label, and go."""
    return Example(example.id, example.text if text is None else text, label, evidence=evidence, pair=example.pair)
