"""A text in pieces, each with how far it speaks for or against what is explained: what every coloured line is made of.

Nothing here holds markup. Each door (`terminal.py`, `html.py`, drawings) shows the same pieces, the same strengths and
the same signs, so that a line says the same wherever it is seen, in colour or without.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.types import Attribution, Span, Text

LEVELS = 4  # of strength, besides none
SIGNS = {1: "+", -1: "\u2212"}


@dataclass(frozen=True)
class Mark:
    """A piece of a text: a word, a token, or what stands between.

    Args:
        text: as it is written; never escaped.
        score: for (above 0) or against (below 0) what is explained; NaN for what is not explained, such as a blank.
        strength: of the score beside the line's largest: 0 (next to nothing) to 4.
        framed: whether it is marked in the data, as a rationale or as known evidence.
    """

    text: str
    score: float
    strength: int = 0
    framed: bool = False

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
    for number, (begin, end) in enumerate(spans):
        start = max(begin, at)
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


def by_word(text: Text, scores: Float[np.ndarray, "tokens"]) -> tuple[list[Span], Float[np.ndarray, "words"]]:
    """The characters of each word of a text, and the sum of its tokens' scores; special tokens have no word.

    Raises:
        ValueError: the text does not say which characters its tokens are.
    """
    if text.offsets is None:
        raise ValueError("the text does not say which characters its tokens are")
    content = text.content
    words, places = np.unique(text.words[content], return_inverse=True)
    sums = np.zeros(len(words))
    np.add.at(sums, places, scores[content])
    offsets = text.offsets[content]
    spans = [(int(own[:, 0].min()), int(own[:, 1].max())) for w in range(len(words)) for own in [offsets[places == w]]]
    return spans, sums


def by_token(text: Text, scores: Float[np.ndarray, "tokens"]) -> tuple[list[Span], Float[np.ndarray, "content"]]:
    """Likewise of each token that is not special.

    Raises:
        ValueError: the text does not say which characters its tokens are.
    """
    if text.offsets is None:
        raise ValueError("the text does not say which characters its tokens are")
    content = text.content
    return [(int(start), int(end)) for start, end in text.offsets[content]], scores[content]


def marked(text: Text, attribution: Attribution, by: str = "word") -> Marked:
    """A text with what an explainer says of it, by `word` or by `token`; what the data marks is framed.

    Raises:
        ValueError: the text does not say which characters its tokens are.
    """
    spans, scores = (by_word if by == "word" else by_token)(text, attribution.scores)
    truth = text.evidence if text.evidence is not None else text.rationale
    framed = None if truth is None else (by_word if by == "word" else by_token)(text, truth.astype(float))[1] > 0
    return line(text.source, spans, scores, framed)
