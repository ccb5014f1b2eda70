"""Indirect objects: of two people who are named, who is given something (Wang et al. 2022, arXiv 2211.00593)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import ClassVar

import numpy as np

from faithbench.datasets.asking import CLASS_NAMES, check_split, texts_of
from faithbench.parameters import check_seed, check_whole
from faithbench.types import Example, Text

NAMES = (
    *("Mary", "Anna", "Jane", "Emma", "Alice", "Clara", "Martha", "Lucy", "Elizabeth", "Emily", "Rachel", "Amy"),
    *("George", "Paul", "John", "James", "William", "Peter", "Henry", "Tom", "Thomas", "Arthur", "Robert", "David"),
)
OPENINGS = ("Then,", "After", "When", "While")
DID = ("went to the {place}", "worked at the {place}", "had fun at the {place}")
PLACES = ("garden", "house", "school", "church", "station", "office", "market", "farm")
GAVE = ("gave", "handed", "decided to give")
THINGS = ("book", "letter", "flower", "ring", "key", "drink", "coat", "stone")


@dataclass(frozen=True)
class IOI:
    """`After Mary and John went to the garden, John gave a book to`: good is the other name, bad the giver's.

    The evidence is the first mention of the good name. Names come equally often in each part; of each two in their
    order, either gives in turn, so the good name is the first of the two in half of the questions. A question of which
    a name is several tokens of a model is left out for it, with its counterpart, and counted.

    Args:
        items: questions.
        seed: draws everything.
        texts: a data set, which named language models are trained on.
    """

    items: int = 1000
    seed: int = 0
    texts: str = "standard_ebooks"
    class_names: ClassVar[tuple[str, ...]] = CLASS_NAMES

    def __post_init__(self) -> None:
        check_whole("items", self.items, 1, 1_000_000)
        check_seed(self.seed)
        object.__setattr__(self, "texts", texts_of(self.texts))

    @property
    def base(self) -> str:
        """What models are trained on."""
        return self.texts

    def load(self, split: str) -> list[Example]:
        """The questions; the test split is the only one."""
        check_split("ioi", split, self.texts)
        return list(islice(self._questions(), self.items))

    def unfit(self, example: Example, text: Text) -> str:
        """Why a question, as a model reads it, cannot be asked: a name is not one token; "" if it can."""
        for name, candidate in zip((example.good, example.bad), text.candidates or (), strict=False):
            pieces = _first(str(name), example.text, text)
            if pieces != [candidate]:
                several = f"{len(pieces)} of them" if len(pieces) != 1 else "another one behind other words"
                return f"its name {name} is not one token of the model's but {several}"
        return ""

    def _questions(self) -> Iterator[Example]:
        """In each round every name is once the first and once the second; in the next the other one gives."""
        generator, numbers = np.random.default_rng([self.seed]), count()
        while True:
            order = [str(name) for name in generator.permutation(NAMES)]
            pairs = list(zip(order, order[1:] + order[:1], strict=True))
            for turn in (0, 1):
                for place, pair in enumerate(pairs):
                    yield _question(f"ioi-{next(numbers)}", pair, (place + turn) % 2, generator)


def _question(name: str, pair: tuple[str, str], giver: int, generator: np.random.Generator) -> Example:
    def one(words: tuple[str, ...]) -> str:
        return str(words[generator.integers(len(words))])

    opening = one(OPENINGS)
    begin = f"{opening} " if giver else f"{opening} {pair[0]} and "
    did = one(DID).format(place=one(PLACES))
    join = " and" if opening == "Then," else ","
    gave = f"{pair[giver]} {one(GAVE)} a {one(THINGS)} to"
    good = pair[1 - giver]
    span = (len(begin), len(begin) + len(good))
    text = f"{opening} {pair[0]} and {pair[1]} {did}{join} {gave}"
    return Example(name, text, 0, evidence=(span,), good=good, bad=pair[giver])


def _first(name: str, prefix: str, text: Text) -> list[int]:
    """The tokens of a name where it is mentioned first."""
    start = prefix.index(f"{name} ")
    places: list[tuple[int, int]] = [] if text.offsets is None else text.offsets.tolist()
    overlapping = [first < start + len(name) and end > start for first, end in places]
    return [int(i) for i, own, special in zip(text.ids, overlapping, text.special, strict=False) if own and not special]
