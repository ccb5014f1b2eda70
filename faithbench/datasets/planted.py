"""Planted evidence: generated sentences in which a few known words decide the class (after Bastings et al. 2022)."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from faithbench.errors import UserError
from faithbench.types import SPLITS, Example

CUES = (
    ("awful", "boring", "clumsy", "dreary", "flawed", "grim"),
    ("superb", "thrilling", "graceful", "lively", "perfect", "warm"),
)
DISTRACTORS = (
    "the a this that one story film scene actor plot music camera script ending opening character "
    "dialogue director audience theatre evening friend week summer city village road house garden river "
    "with about under over during before after near into from and but while because often slowly later "
    "again almost maybe"
).split()


@dataclass(frozen=True)
class Planted:
    """Two classes. Each sentence holds `cues` words of its class; all other words are drawn alike for both classes.

    The cues are the evidence, by construction.

    Args:
        train: sentences in the training split.
        validation: in the validation split.
        test: in the test split.
        cues: deciding words a sentence.
        distractors: most other words a sentence; the fewest are half as many.
        seed: draws everything.
    """

    train: int = 2000
    validation: int = 200
    test: int = 200
    cues: int = 2
    distractors: int = 16
    seed: int = 0
    class_names: ClassVar[tuple[str, ...]] = ("bad", "good")
    test_only: ClassVar[tuple[str, ...]] = ("test",)  # parameters on which no training depends

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test", "cues", "distractors"):
            if not getattr(self, name) >= 1:
                raise UserError(f"planted: {name}={getattr(self, name)!r} is not allowed; it must be at least 1.")
        if self.seed < 0:
            raise UserError(f"planted: seed={self.seed!r} is not allowed; it must be at least 0.")

    def load(self, split: str) -> list[Example]:
        """The sentences of a split; labels alternate."""
        generator = np.random.default_rng([self.seed, SPLITS.index(split)])
        return [self._sentence(f"{split}-{i}", i % 2, generator) for i in range(getattr(self, split))]

    def without(self, split: str) -> list[Example]:
        """The same sentences without their cues: nothing is left that tells the class."""
        cues = {word for words in CUES for word in words}
        return [
            replace(e, text=" ".join(word for word in e.text.split() if word not in cues), evidence=())
            for e in self.load(split)
        ]

    def _sentence(self, name: str, label: int, generator: np.random.Generator) -> Example:
        others = generator.choice(DISTRACTORS, generator.integers(self.distractors // 2, self.distractors + 1))
        marked = [(str(word), False) for word in others] + [
            (str(w), True) for w in generator.choice(CUES[label], self.cues)
        ]
        words, spans, start = [], [], 0
        for i in generator.permutation(len(marked)):
            word, decides = marked[i]
            if decides:
                spans.append((start, start + len(word)))
            words.append(word)
            start += len(word) + 1
        return Example(name, " ".join(words), label, evidence=tuple(spans))
