"""A language of 80 words and 2 marks; one word of a sentence's beginning decides what may follow (as in BLiMP)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

HER = ("Mary", "Anna", "Susan", "Laura", "Emma", "Julia")
HIM = ("John", "Peter", "David", "Simon", "Paul", "Henry")
NAMES = (*HER, *HIM)
PEOPLE = (("boy", "boys"), ("girl", "girls"), ("doctor", "doctors"), ("teacher", "teachers"))
THINGS = (("ball", "balls"), ("book", "books"), ("key", "keys"), ("lamp", "lamps"), ("cup", "cups"))
NOUNS = (*PEOPLE, *THINGS)  # of one, of several
REFLEXIVES = ("herself", "himself", "themselves")
SAW = ("saw", "praised", "painted", "noticed", "forgot", "helped")  # of one as of several
THOUGHT = ("thought", "hoped")
ADVERBS = ("never", "often", "quietly")
DETERMINERS = (("this", "that"), ("these", "those"))
ADJECTIVES = ("old", "new", "red", "small", "strange", "heavy")
NEAR = ("near", "behind", "beside")
VERBS = (("is", "are"), ("was", "were"), ("seems", "seem"), ("looks", "look"))
OPENINGS = ("today", "yesterday", "later", "then")
OF_NUMBER = tuple(frozenset(noun[number] for noun in NOUNS) for number in (0, 1))
MEANT = (frozenset(HER), frozenset(HIM), OF_NUMBER[1])  # by reflexives
PLACES = ("park,", "school,", "market,", "station,")
GAVE = ("gave", "handed")

Words = tuple[str, ...]


@dataclass(frozen=True)
class Draft:
    """A question in words.

    Args:
        prefix: its words.
        decides: number of the one that decides.
        phrase: numbers of the first and of the last word of the phrase that it belongs to.
        good: the word that follows.
        bad: one that does not.
        alike: words that would speak for the good one if they decided.
        rest: of the sentence, behind the good one.
    """

    prefix: Words
    decides: int
    phrase: tuple[int, int]
    good: str
    bad: str
    alike: frozenset[str] = frozenset()
    rest: Words = ()

    @property
    def is_plain(self) -> bool:
        """Whether no other word of the prefix speaks for the good one, so that it can be due to the one alone."""
        return all(word not in self.alike for i, word in enumerate(self.prefix) if i != self.decides)

    @property
    def text(self) -> str:
        """The prefix as it is written."""
        return " ".join(self.prefix)

    @property
    def sentence(self) -> str:
        """The whole, with the good word."""
        return " ".join((*self.prefix, self.good, *self.rest)) + "."

    def span(self, first: int, last: int) -> tuple[int, int]:
        """The characters of some words of the prefix."""
        starts = np.cumsum([0, *(len(word) + 1 for word in self.prefix)])
        return int(starts[first]), int(starts[last + 1]) - 1


class Chance:
    """Draws, many thousand of them.

    Args:
        seed: whole numbers.
    """

    def __init__(self, *seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._numbers: list[float] = []

    def below(self, count: int) -> int:
        """A number from 0."""
        if not self._numbers:
            self._numbers = self._generator.random(4096).tolist()
        return int(self._numbers.pop() * count)

    def one(self, words: Sequence[str]) -> str:
        """One of several words."""
        return words[self.below(len(words))]

    def different(self, words: Sequence[str], count: int) -> Words:
        """So many different words, in any order."""
        left = list(words)
        return tuple(left.pop(self.below(len(left))) for _ in range(count))

    def maybe(self, words: Sequence[str]) -> Words:
        """One of several words, or none."""
        return (self.one(words),) if self.below(2) else ()


def anaphor(chance: Chance, case: int) -> Draft:
    """Who is meant by `herself`: the subject of its own clause, not who else is named. Six cases."""
    good = case % 3
    bad = (good + 1 + case // 3 % 2) % 3
    begin = chance.maybe(OPENINGS)
    if not chance.below(3):
        begin = (*begin, *_someone(chance), chance.one(THOUGHT))
    subject = ("the", _noun(chance, PEOPLE, 1)) if good == 2 else (chance.one((HER, HIM)[good]),)
    beside = () if chance.below(3) else (chance.one(NEAR), *_someone(chance))
    decides = len(begin) + len(subject) - 1
    prefix = (*begin, *subject, *beside, *chance.maybe(ADVERBS), chance.one(SAW))
    return Draft(prefix, decides, (len(begin), decides), REFLEXIVES[good], REFLEXIVES[bad], MEANT[good])


def determiner(chance: Chance, case: int) -> Draft:
    """Whether `these` is followed by one or by several. Four cases."""
    return _determined(chance, case, ())


def determiner_adjective(chance: Chance, case: int) -> Draft:
    """The same with one to three adjectives between. Four cases."""
    return _determined(chance, case, chance.different(ADJECTIVES, 1 + chance.below(3)))


def _determined(chance: Chance, case: int, adjectives: Words) -> Draft:
    number, which = case % 2, case // 2 % 2
    subject = _someone(chance) if chance.below(2) else _those(chance, PEOPLE)
    begin = (*chance.maybe(OPENINGS), *subject, *chance.maybe(ADVERBS), chance.one(SAW))
    noun = NOUNS[chance.below(len(NOUNS))]
    prefix, word = (*begin, DETERMINERS[number][which], *adjectives), len(begin)
    alike = OF_NUMBER[number].union(DETERMINERS[number])
    return Draft(prefix, word, (word, word), noun[number], noun[1 - number], alike)


def subject_verb(chance: Chance, case: int) -> Draft:
    """A verb that agrees with its subject, not with a nearer noun, which is of either number. Eight cases."""
    number, verb = case % 2, VERBS[case // 2 % 4]
    begin = (*chance.maybe(OPENINGS), "the")
    between = (chance.one(NEAR), "the", _noun(chance, NOUNS, chance.below(2))) if chance.below(2) else ()
    last = (chance.one(NEAR), "the", _noun(chance, NOUNS, chance.below(2)))
    prefix = (*begin, _noun(chance, NOUNS, number), *between, *last)
    word = len(begin)
    return Draft(
        prefix, word, (word - 1, word), verb[number], verb[1 - number], OF_NUMBER[number], (chance.one(ADJECTIVES),)
    )


def ioi(chance: Chance, case: int) -> Draft:
    """Who is given something: of two people the other one. Four cases: who is named first, and who gives."""
    both = chance.different(NAMES, 2)
    giver = case % 2
    begin = chance.maybe(OPENINGS)
    went = (*begin, both[0], "and", both[1], "went", "to", "the", chance.one(PLACES))
    prefix = (*went, both[giver], chance.one(GAVE), "a", _noun(chance, THINGS, 0), "to")
    word = len(begin) + 2 * (1 - giver)
    return Draft(prefix, word, (word, word), both[1 - giver], both[giver])


def _noun(chance: Chance, nouns: Sequence[tuple[str, str]], number: int) -> str:
    return nouns[chance.below(len(nouns))][number]


def _someone(chance: Chance) -> Words:
    """A name, or one or several people."""
    return (chance.one(NAMES),) if chance.below(2) else ("the", _noun(chance, PEOPLE, chance.below(2)))


def _those(chance: Chance, nouns: Sequence[tuple[str, str]]) -> Words:
    number = chance.below(2)
    return chance.one(DETERMINERS[number]), _noun(chance, nouns, number)


TEMPLATES: Mapping[str, Callable[[Chance, int], Draft]] = {
    "anaphor": anaphor,
    "determiner": determiner,
    "determiner-adjective": determiner_adjective,
    "subject-verb": subject_verb,
    "ioi": ioi,
}
