"""Programs as ground truth: generated texts whose label a small program computes, and what each word does for it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from faithbench.datasets.causes import responsibilities, shapley_values
from faithbench.datasets.planted import DISTRACTORS
from faithbench.parameters import check_choice, check_seed, check_whole
from faithbench.types import SPLITS, Example, Weighed

CUES = {"A": ("amber", "apple"), "B": ("bronze", "basil"), "C": ("copper", "cedar")}
LETTERS = {word: letter for letter, words in CUES.items() for word in words}
BLANK = "[MASK]"  # in training texts: a word that is not there, as the mask token says it to BERT's tokenizers


@dataclass(frozen=True)
class Rule:
    """A program: which cues it reads, and what it says of those of a text, in their order, such as "ABA"."""

    letters: str
    holds: Callable[[str, int], bool]


RULES: Mapping[str, Rule] = {
    "count": Rule("A", lambda cues, k: cues.count("A") >= k),
    "guard": Rule("ABC", lambda cues, k: ("A" in cues or "B" in cues) and "C" not in cues),
    "xor": Rule("AB", lambda cues, k: ("A" in cues) != ("B" in cues)),
    "order": Rule("AB", lambda cues, k: "B" in cues[cues.find("A") :] if "A" in cues else False),
    "majority": Rule("AB", lambda cues, k: cues.count("A") > cues.count("B")),
}


@dataclass(frozen=True)
class Program:
    """Two classes, no and yes: what a program says of a text's cue words. Its other words are drawn alike for both.

    `count`: at least k words A. `guard`: an A or a B, and no C. `xor`: an A or a B, not both. `order`: an A with a B
    after it. `majority`: more A than B. Of each of the three kinds of cues there are two words.

    Each word has its responsibility for the label and its Shapley value, exactly; both are of the program, so they are
    a model's only if the model computes it. So that a model can learn what a masked word is, in half of the training
    and validation texts each word is the mask token with a probability that is drawn for the text, and the label is
    what the program says of the rest; texts of the test split have no masked words. Labels alternate.

    Args:
        name: of the program.
        k: how many cues `count` asks for, from 2; of the others it cannot be set.
        train: texts in the training split.
        validation: in the validation split.
        test: in the test split.
        cues: most cue words a text; the fewest are 1.
        distractors: most other words a text; the fewest are half as many.
        seed: draws everything.
    """

    name: str
    k: int = 3
    train: int = 8000
    validation: int = 500
    test: int = 200
    cues: int = 5
    distractors: int = 12
    seed: int = 0
    class_names: ClassVar[tuple[str, ...]] = ("no", "yes")

    def __post_init__(self) -> None:
        check_choice("name", self.name, tuple(RULES))
        check_whole("cues", self.cues, 2, 10)
        if self.name == "count":
            check_whole("k", self.k, 2, self.cues)  # every text has a cue: of one at least, none would be "no"
        elif self.k != type(self).k:
            raise ValueError(f"k={self.k!r} is not allowed; only the program count asks for a number of cues.")
        for name in ("train", "validation", "test"):
            check_whole(name, getattr(self, name), 1, 1_000_000)
        check_whole("distractors", self.distractors, 1, 100)
        check_seed(self.seed)

    @cached_property
    def rule(self) -> Rule:
        """The program."""
        return RULES[self.name]

    def says(self, words: Sequence[str]) -> int:
        """The class of a text of these words; words that are no cues say nothing."""
        cues = "".join(LETTERS.get(word, "") for word in words)
        return int(self.rule.holds(cues, self.k))

    def load(self, split: str) -> list[Example]:
        """The texts of a split; labels alternate."""
        generator = np.random.default_rng([self.seed, SPLITS.index(split)])
        drawn = [self._words(i % 2, split != "test" and i % 4 < 2, generator) for i in range(getattr(self, split))]
        return [self._example(f"{split}-{i}", words) for i, words in enumerate(drawn)]

    def _words(self, label: int, blanks: bool, generator: np.random.Generator) -> list[str]:
        """Words of which the program says this label."""
        while True:
            others = generator.choice(DISTRACTORS, generator.integers(-(-self.distractors // 2), self.distractors + 1))
            known = [word for letter in self.rule.letters for word in CUES[letter]]
            cues = generator.choice(known, generator.integers(1, self.cues + 1))
            words = [str(word) for word in generator.permutation([*others, *cues])]
            if blanks:
                gone = generator.random(len(words)) < generator.random()
                words = [BLANK if out else word for word, out in zip(words, gone, strict=True)]
            if self.says(words) == label:
                return words

    def _example(self, name: str, words: Sequence[str]) -> Example:
        label, places = self.says(words), [i for i, word in enumerate(words) if word in LETTERS]

        def holds(left: Collection[int]) -> bool:
            return self.says([words[places[part]] for part in sorted(left)]) == label

        starts = np.cumsum([0, *(len(word) + 1 for word in words)])
        spans = [(int(starts[i]), int(starts[i]) + len(words[i])) for i in places]

        def weighed(values: Sequence[float]) -> Weighed:
            return tuple((*span, value) for span, value in zip(spans, values, strict=True) if value)

        return Example(
            name,
            " ".join(words),
            label,
            responsibility=weighed(responsibilities(len(places), holds)),
            shapley=weighed(shapley_values(len(places), holds)),
        )
