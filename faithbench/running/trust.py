"""Do the words that an explanation names matter more to the model than others? Asked of the model, said by rule.

The k words with the largest scores are masked, and so are, one after the other, other sets of k words of the text. For
a language model, which knows no mask, they are deleted. Special tokens stay. A word is a unit of the coloured line, and
its score the sum of its tokens'.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.conversations import Asking
from faithbench.draws import generator
from faithbench.probability import probabilities
from faithbench.questions import GONE, Logits
from faithbench.running.prediction import number
from faithbench.showing.marked import spans_of, spelled, units
from faithbench.statistics.verdicts import ALPHA
from faithbench.types import Attribution, Link, Target, Text

DRAWS = 100
FEWEST, MOST, SHARE = 3, 10, 10  # words that are masked: a tenth of them, between these
NEGLIGIBLE = 0.005  # of probability
ENOUGH = 20  # other sets of words below which nothing can be shown: p is at least 1 / (1 + sets)


@dataclass(frozen=True, eq=False)
class Trust:
    """What the model says without the words that an explanation names, and without others.

    Args:
        words: that have the largest scores, the largest first.
        before: how far the model is for the target: the log odds of a class or label, a value, or the difference of two
            logits.
        after: likewise where these words are masked.
        others: likewise where other words are, as many; each of another set.
        name: of what is explained.
        odds: whether these numbers are log odds, and shown as probabilities.
        done: what is done to words: `masking` or `deleting`.
    """

    words: tuple[str, ...]
    before: float
    after: float
    others: Float[np.ndarray, "draws"]
    name: str = ""
    odds: bool = True
    done: str = "masking"

    @property
    def percentile(self) -> float:
        """In how many percent of the other sets masking takes away less; equal ones count half; NaN without any."""
        if not len(self.others):
            return math.nan
        less, equal = (self.others > self.after).mean(), (self.others == self.after).mean()
        return float(100 * (less + equal / 2))

    @property
    def as_much(self) -> int:
        """How many of the other sets take away as much or more."""
        return int((self.others <= self.after).sum())

    @property
    def p(self) -> float:
        """How likely words drawn at random do as much, by the rank of these among all sets: exact, one-sided."""
        return (1 + self.as_much) / (1 + len(self.others))

    @property
    def values(self) -> tuple[float, float, float]:
        """Before, after, and the mean over the other sets, as people read them: probabilities, or as they are."""
        others = float(self._shown(self.others).mean()) if len(self.others) else math.nan
        return float(self._shown(np.array(self.before))), float(self._shown(np.array(self.after))), others

    @property
    def convinces(self) -> bool:
        """Whether these words are shown to do more than random ones, however little that may be."""
        return self.p < ALPHA and self.after < self.before

    def sentences(self) -> Iterator[str]:
        """The trust line, and what is to be doubted."""
        before, after, others = (number(value, self.odds) for value in self.values)
        count = f"first {len(self.words)} words" if len(self.words) > 1 else "first word"
        named = ", ".join(f"“{word if len(word) <= 30 else f'{word[:29]}…'}”" for word in self.words)
        line = f"{self.done.capitalize()} the {count} ({named}) takes {self.name} from {before} to {after}"
        if not len(self.others):
            yield f"{line}; the text has no other words to compare with."
            return
        yield f"{line}; random words: {others} (percentile {math.floor(self.percentile)})."
        if self.after >= self.before:
            yield "That takes nothing away: do not rely on this explanation."
        elif self.odds and self.values[0] - self.values[1] < NEGLIGIBLE:
            yield f"That is less than {NEGLIGIBLE}: next to nothing."
        elif len(self.others) < ENOUGH:
            yield f"The text has only {len(self.others)} other choices of as many words: too few to show anything."
        elif not self.convinces:
            yield (
                f"Not shown to do more than random words: {self.as_much} of {len(self.others)} other choices take away "
                f"as much or more (it takes {most_as_much(len(self.others))} or fewer)."
            )

    def _shown(self, values: Float[np.ndarray, "*draws"]) -> Float[np.ndarray, "*draws"]:
        return probabilities(np.asarray(values), "sigmoid") if self.odds else np.asarray(values)


def most_as_much(sets: int) -> int:
    """Of so many other sets, how many may take away as much where words are shown to do more than random ones."""
    return math.ceil(ALPHA * (1 + sets)) - 2


def words_masked(words: int) -> int:
    """How many words of a text of so many are masked: a tenth, at least 3 and at most 10, never more than half."""
    return min(MOST, max(FEWEST, round(words / SHARE)), max(1, words // 2))


def margins(logits: Float[np.ndarray, "rows outputs"], target: Target, link: Link) -> Float[np.ndarray, "rows"]:
    """How far a model is for a target: log odds of a class or label; its value, or the difference of two logits."""
    own = target.value(logits)
    if target.against is not None or link != "softmax":
        return own
    rest = np.delete(logits.astype(np.float64), target.output, axis=1)
    return own - np.logaddexp.reduce(rest, axis=1)


def sets_of_words(text: Text, words: int, size: int, draws: int) -> Int[np.ndarray, "draws size"]:
    """Distinct sets of words, each in ascending order: all there are, if these are no more than draws, else drawn."""
    if math.comb(words, size) <= draws + 1:
        return np.array(list(combinations(range(words), size)), dtype=np.int64).reshape(-1, size)
    random, found = generator(text, "trust"), dict[tuple[int, ...], None]()
    while len(found) < draws:
        found[tuple(sorted(random.choice(words, size, replace=False).tolist()))] = None
    return np.array(list(found), dtype=np.int64)


def trust(text: Text, found: Sequence[Attribution], name: str, draws: int = DRAWS) -> Asking[list[Trust]]:
    """What masking says of explanations of one text and target; all is asked at once.

    Args:
        text: which.
        found: one or more explanations of the same target.
        name: of what is explained.
        draws: other sets of words.
    """
    places, target = units(text), found[0].target
    words = int(places.max(initial=-1)) + 1
    deletes = text.candidates is not None
    if not words or (deletes and words == 1 and not text.special.any()):
        return []
    size = words_masked(words)
    firsts = [_first(text, places, each, size) for each in found]
    sets = sets_of_words(text, words, size, draws)
    masked = [np.zeros(0, dtype=np.int64), *(np.array(first) for first in firsts), *sets]
    keep = np.stack([_without(text, places, each) for each in masked])
    values = margins((yield Logits(text, keep, GONE if deletes else None)), target, text.link)
    others = values[1 + len(firsts) :]
    written = _written(text, places)
    odds = target.against is None and text.link != "identity"
    return [
        Trust(
            tuple(written[word] for word in first),
            float(values[0]),
            float(values[1 + number]),
            others[(sets != np.sort(first)).any(axis=1)],
            name,
            odds,
            "deleting" if deletes else "masking",
        )
        for number, first in enumerate(firsts)
    ]


def _first(text: Text, places: Int[np.ndarray, "content"], found: Attribution, size: int) -> list[int]:
    """Words with the largest scores; of equal ones the earlier."""
    sums = np.zeros(int(places.max()) + 1)
    np.add.at(sums, places, found.scores[text.content])
    return [int(word) for word in np.argsort(-sums, kind="stable")[:size]]


def _without(
    text: Text, places: Int[np.ndarray, "content"], words: Int[np.ndarray, "size"]
) -> Bool[np.ndarray, "tokens"]:
    """The tokens that stay where words are masked."""
    keep = np.ones(len(text), dtype=bool)
    keep[text.content[np.isin(places, words)]] = False
    return keep


def _written(text: Text, places: Int[np.ndarray, "content"]) -> list[str]:
    read = spelled(text)
    return [read.source[start:end].strip() for start, end in spans_of(read, places)]
