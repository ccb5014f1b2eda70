"""A text in pieces, each with how far it speaks for or against what is explained: what every coloured line is made of.

Nothing here holds markup. Each door (`terminal.py`, `html.py`, drawings) shows the same pieces, the same strengths and
the same signs, so that a line says the same wherever it is seen, in colour or without.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.types import Attribution, Span, Text

LEVELS = 4  # of strength, besides none
SIGNS = {1: "+", -1: "\u2212"}
UNSPACED = re.compile(  # letters of scripts that put no spaces between words
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
JOINER, VIRAMA = "\u200d", 9  # the latter is a class of Unicode's combining marks
UNJOINED = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")  # they join nothing
EXTENDING = re.compile("[\u200c\u200d\u0e33\u0eb3\uff9e\uff9f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
FLAG = re.compile("[\U0001f1e6-\U0001f1ff]")
FLAGS = re.compile(f"{FLAG.pattern}+")
SYLLABLE = re.compile(  # two jamo, or a syllable and a jamo, that are written as one
    "[\u1100-\u115f\ua960-\ua97c][\u1100-\u11a7\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7c6]"
    "|[\u1160-\u11a7\uac00-\ud7a3\ud7b0-\ud7c6][\u1160-\u11ff\ud7b0-\ud7fb]"
    "|[\u11a8-\u11ff\ud7cb-\ud7fb][\u11a8-\u11ff\ud7cb-\ud7fb]"
)


@dataclass(frozen=True)
class Mark:
    """A piece of a text: a word, a token, or what stands between.

    Args:
        text: as it is written; never escaped.
        score: for (above 0) or against (below 0) what is explained; NaN for what is not explained, such as a blank.
        strength: of the score beside the line's largest: 0 (next to nothing) to 4.
        framed: whether it is marked in the data, as a rationale or as known evidence.
        unread: whether the model has not read it, since the text was cut.
    """

    text: str
    score: float
    strength: int = 0
    framed: bool = False
    unread: bool = False

    @property
    def sign(self) -> int:
        """1, −1, or 0 where its strength is 0."""
        return 0 if self.strength == 0 else (1 if self.score > 0 else -1)

    @property
    def suffix(self) -> str:
        """What stands behind it, so that its sign and strength can be read without colour: `+`, `++`, `−` or `−−`."""
        return SIGNS.get(self.sign, "") * (1 + (self.strength > LEVELS / 2))


@dataclass(frozen=True)
class Marked:
    """A line: all pieces of a text in their order; written behind each other they are the text."""

    marks: tuple[Mark, ...]

    @property
    def scored(self) -> Iterator[Mark]:
        """The pieces that have a score."""
        return (mark for mark in self.marks if not np.isnan(mark.score))

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(mark.text for mark in self.marks)

    def split(self, at: int) -> "tuple[Marked, Marked]":
        """What stands before a character, and what stands from it on; a piece that it is within is cut in two."""
        before, after, place = list[Mark](), list[Mark](), 0
        for mark in self.marks:
            head, rest = mark.text[: max(0, at - place)], mark.text[max(0, at - place) :]
            before += [replace(mark, text=head)] if head else []
            after += [replace(mark, text=rest)] if rest else []
            place += len(mark.text)
        return Marked(tuple(before)), Marked(tuple(after))


def strengths(scores: Float[np.ndarray, "units"]) -> Int[np.ndarray, "units"]:
    """How strong each score looks beside the largest: 0 below an eighth of it, then 1 to 4 in steps of a quarter."""
    size = np.abs(np.nan_to_num(scores))
    largest = size.max(initial=0.0)
    if largest == 0:
        return np.zeros(len(scores), dtype=np.int64)
    share = size / largest
    return np.where(share < 1 / (2 * LEVELS), 0, np.ceil(share * LEVELS - 1e-9)).astype(np.int64)


def line(
    source: str,
    spans: Sequence[Span],
    scores: Float[np.ndarray, "units"],
    framed: Bool[np.ndarray, "units"] | None = None,
) -> Marked:
    """A text with the scores of its units.

    Args:
        source: the text.
        spans: characters of each unit, in order, not overlapping (an overlap is given to the earlier one).
        scores: of the units.
        framed: units that the data marks.
    """
    strong = strengths(scores)
    marks, at = list[Mark](), 0
    for number, (begin, stop) in enumerate(spans):
        start, end = _trimmed(source, max(begin, at), stop)
        if end <= start:
            continue
        if start > at:
            marks.append(Mark(source[at:start], np.nan))
        is_framed = bool(framed[number]) if framed is not None else False
        marks.append(Mark(source[start:end], float(scores[number]), int(strong[number]), is_framed))
        at = end
    if at < len(source):
        marks.append(Mark(source[at:], np.nan))
    return Marked(tuple(marks))


def _trimmed(source: str, start: int, end: int) -> Span:
    """A span without the blanks at its ends, as some tokenizers count them in; one of nothing else stays."""
    inside = source[start:end]
    if not inside.strip():
        return start, end
    return start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())


def units(text: Text, by: str = "word") -> Int[np.ndarray, "content"]:
    """The number of the unit, from 0, of each token that is not special; units are what a line scores.

    By `word` these are words as the tokenizer tells them, but single tokens where a script has no spaces between words
    and such a word may be a sentence. By `token` they are tokens. Tokens that share characters, such as the bytes of an
    emoji, or of which one begins within what is written as one sign (a letter with its accents), are of one unit; one
    that stands for no characters is of that of its word's next token, or else of its neighbour.
    """
    content = text.content
    offsets = text.offsets
    spans = [(n, n + 1) for n in range(len(content))] if offsets is None else offsets[content].tolist()
    words = text.words[content].tolist()
    whole = set[int]() if by == "token" else set(words) - _unspaced(text, words, spans)
    source = "" if offsets is None else text.source
    found, number, taken, last, waiting = np.zeros(len(content), dtype=np.int64), -1, 0, None, 0
    for place, (start, end) in enumerate(spans):
        if end <= start:
            found[place], waiting = max(number, 0), waiting + 1
            continue
        apart = last is None or words[place] != words[last] or words[place] not in whole
        if number < 0 or (apart and start >= taken and not continues(source, start)):
            number += 1
            own = [n for n in range(place - waiting, place) if words[n] == words[place]]
            found[own] = number
        found[place], taken, last, waiting = number, max(taken, end), place, 0
    return found


def continues(source: str, at: int) -> bool:
    """Whether the character at a place is written as one sign with that before it.

    These are the grapheme clusters of Unicode's UAX #29, but for rare ones: marks, tones and vowel signs with their
    letter, conjuncts, joined emoji, flags, and syllables of jamo.
    """
    if not 0 < at < len(source):
        return False
    before, here = source[at - 1], source[at]
    if before.isspace() or UNJOINED.match(before):
        return False
    if unicodedata.category(here).startswith("M") or EXTENDING.match(here) or before == JOINER:
        return True
    if FLAG.match(here):
        return _places_of_flags(source)[at] % 2 == 1
    is_conjunct = unicodedata.combining(before) == VIRAMA and here.isalpha()
    return is_conjunct or bool(SYLLABLE.match(before + here))


@lru_cache(maxsize=4)
def _places_of_flags(source: str) -> Mapping[int, int]:
    """How many letters of flags, of which two are one, stand in a row before each of them; in one pass over a text."""
    return {at: at - row.start() for row in FLAGS.finditer(source) for at in range(*row.span())}


def _unspaced(text: Text, words: Sequence[int], spans: Sequence[Span]) -> set[int]:
    """The words in which letters of such a script stand."""
    if text.offsets is None or not UNSPACED.search(text.source):
        return set()
    return {word for word, (start, end) in zip(words, spans, strict=True) if UNSPACED.search(text.source[start:end])}


def spelled(text: Text) -> Text:
    """The text, or, where it does not say which characters its tokens are, its tokens with blanks between."""
    if text.offsets is not None:
        return text
    ends = np.cumsum([len(token) + 1 for token in text.tokens]) - 1
    starts = ends - [len(token) for token in text.tokens]
    return replace(text, source=" ".join(text.tokens), offsets=np.stack([starts, ends], axis=1))


def spans_of(text: Text, places: Int[np.ndarray, "content"]) -> list[Span]:
    """The characters of each unit.

    Raises:
        ValueError: the text does not say which characters its tokens are.
    """
    if text.offsets is None:
        raise ValueError("the text does not say which characters its tokens are")
    offsets = text.offsets[text.content]
    empty = offsets[:, 1] <= offsets[:, 0]  # where these are says nothing of a unit that has others
    alone = ~np.isin(places, places[~empty])
    shown = np.flatnonzero(~empty | alone)
    edges = np.flatnonzero(np.diff(places[shown], prepend=-1))
    starts = np.minimum.reduceat(offsets[shown, 0], edges) if len(edges) else edges
    ends = np.maximum.reduceat(offsets[shown, 1], edges) if len(edges) else edges
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def sums_of(text: Text, scores: Float[np.ndarray, "tokens"], by: str = "word") -> Float[np.ndarray, "units"]:
    """The sum of the scores of each unit's tokens."""
    places = units(text, by)
    sums = np.zeros(int(places.max(initial=-1)) + 1)
    np.add.at(sums, places, scores[text.content])
    return sums


def by_word(text: Text, scores: Float[np.ndarray, "tokens"]) -> tuple[list[Span], Float[np.ndarray, "words"]]:
    """The characters of each word of a text, and the sum of its tokens' scores; special tokens have no word.

    Raises:
        ValueError: the text does not say which characters its tokens are.
    """
    return spans_of(text, units(text)), sums_of(text, scores)


def by_token(text: Text, scores: Float[np.ndarray, "tokens"]) -> tuple[list[Span], Float[np.ndarray, "units"]]:
    """Likewise of each token that is not special; of those that share characters together.

    Raises:
        ValueError: the text does not say which characters its tokens are.
    """
    return spans_of(text, units(text, "token")), sums_of(text, scores, "token")


def marked(text: Text, attribution: Attribution, by: str = "word") -> Marked:
    """A text with what an explainer says of it, by `word` or by `token`; what the data marks is framed.

    Of a text that does not say which characters its tokens are the tokens are shown. Where it was cut, what the model
    has not read is marked so.
    """
    read = spelled(text)
    spans, scores = (by_word if by == "word" else by_token)(read, attribution.scores)
    truth = text.evidence if text.evidence is not None else text.rationale
    framed = None if truth is None else sums_of(read, truth.astype(float), by) > 0
    shown = line(read.source, spans, scores, framed)
    return Marked(_unread(shown.marks, unread(text)))


def boundary(text: Text) -> int | None:
    """Where the second text of a pair begins in the source; None of a single text.

    A pair's source has a line break between, which no token is of; token types or special tokens stand between too.
    """
    if text.offsets is None or "\n" not in text.source:
        return None
    content = text.content
    gaps = [(a, b) for a, b in pairwise(content) if b > a + 1]
    if len(gaps) != 1 or text.segment_classes:
        return None
    first, second = gaps[0]
    start, end = int(text.offsets[first, 1]), int(text.offsets[second, 0])
    at = text.source.rfind("\n", start, end + 1)
    return None if at < 0 else at + 1


def unread(text: Text) -> list[Span]:
    """The characters that a model has not read, since the text was cut: at its end, or at those of a pair's texts."""
    if not text.truncated or text.offsets is None or not len(text.content) or text.segment_classes:
        return []
    ends, at = text.offsets[text.content][:, 1], boundary(text)
    parts = [(0, len(text.source))] if at is None else [(0, at - 1), (at, len(text.source))]
    lasts = [max((int(end) for end in ends if start < end <= stop), default=start) for start, stop in parts]
    cut = zip(lasts, parts, strict=True)
    return [(last, stop) for last, (_, stop) in cut if text.source[last:stop].strip()]


def _unread(marks: Sequence[Mark], cut: Sequence[Span]) -> tuple[Mark, ...]:
    """The pieces, of which those within some characters are marked as not read."""
    whole, found, place = Marked(tuple(marks)), list[Mark](), 0
    for start, end in cut:
        before, rest = whole.split(start - place)
        lost, whole = rest.split(end - start)
        found += [*before.marks, Mark(lost.text, np.nan, unread=True)]
        place = end
    return (*found, *whole.marks)
