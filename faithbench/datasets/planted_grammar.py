"""Planted evidence for language models: sentences of a small language in which one known word decides what follows."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import ClassVar
from zlib import crc32

from faithbench.datasets.grammar import TEMPLATES, Chance, Draft
from faithbench.parameters import check_choice, check_seed, check_whole
from faithbench.types import SPLITS, Example

NAMES = tuple(TEMPLATES)
MARKED = ("word", "phrase")
SHARES = 10  # that all sentences are divided into: the first is for questions, the second for validation


@dataclass(frozen=True)
class PlantedGrammar:
    """Next-token questions in a language of 80 words and 2 marks, which a language model learns in a minute.

    The training and validation splits are sentences. The test split are questions about other sentences, of five
    templates in turn: `anaphor` (herself, himself or themselves), `determiner` (these balls, this ball),
    `determiner-adjective` (with one to three adjectives between), `subject-verb` (the key near the lamps is or are) and
    `ioi` (Mary and John went to the park, Mary gave a ball to whom). Each question's id names its template. One word
    decides, by construction: in sentences the other names, nouns and determiners are drawn without regard to it, so
    nothing is learnt of them, and in questions none of them speaks for the good word. Of each template the answers take
    turns, and so do, of `ioi`, the two orders of the names. Of `determiner` the evidence is the last word, and in other
    templates some places are likelier than others: docs/decoders.md says what scores by place or word alone find.

    Args:
        train: sentences in the training split.
        validation: in the validation split.
        test: questions in the test split.
        template: of the questions; empty for all five.
        evidence: `word`, or `phrase` for the subject with its article, too.
        seed: draws everything.
    """

    train: int = 40_000
    validation: int = 500
    test: int = 500
    template: str = ""
    evidence: str = "word"
    seed: int = 0
    class_names: ClassVar[tuple[str, ...]] = ("good", "bad")
    test_only: ClassVar[tuple[str, ...]] = ("test", "template", "evidence")  # on which no training depends

    def __post_init__(self) -> None:
        for name, most in (("train", 1_000_000), ("validation", 100_000), ("test", 5_000)):
            check_whole(name, getattr(self, name), 1, most)
        if self.template:
            check_choice("template", self.template, NAMES)
        check_choice("evidence", self.evidence, MARKED)
        check_seed(self.seed)

    def load(self, split: str) -> list[Example]:
        """The sentences of `train` or `validation`, the questions of `test`."""
        if split == "test":
            return list(islice(self._questions(), self.test))
        return list(islice(self._sentences(split), getattr(self, split)))

    def _sentences(self, split: str) -> Iterator[Example]:
        chance = Chance(self.seed, SPLITS.index(split))
        shares = (1,) if split == "validation" else range(2, SHARES)
        for number in count():
            draft = TEMPLATES[chance.one(NAMES)](chance, chance.below(240))
            while _share(draft) not in shares:
                draft = TEMPLATES[chance.one(NAMES)](chance, chance.below(240))
            yield Example(f"{split}-{number}", draft.sentence, None)

    def _questions(self) -> Iterator[Example]:
        """Those of each template are the same, whichever of the others there are."""
        chosen = (self.template,) if self.template else NAMES
        chances = {name: Chance(self.seed, SPLITS.index("test"), NAMES.index(name)) for name in chosen}
        seen: set[tuple[str, str, str]] = set()
        for case in count():
            for name, chance in chances.items():
                draft = TEMPLATES[name](chance, case)
                while _share(draft) or not draft.is_plain or (draft.text, draft.good, draft.bad) in seen:
                    draft = TEMPLATES[name](chance, case)
                seen.add((draft.text, draft.good, draft.bad))
                yield self._question(f"test-{name}-{case}", draft)

    def _question(self, name: str, draft: Draft) -> Example:
        first, last = draft.phrase if self.evidence == "phrase" else (draft.decides, draft.decides)
        return Example(name, draft.text, 0, evidence=(draft.span(first, last),), good=draft.good, bad=draft.bad)


def _share(draft: Draft) -> int:
    """Which part of all questions one is in, so that the sentences of no other split answer it."""
    return crc32(f"{draft.text} {draft.good}".encode()) % SHARES
