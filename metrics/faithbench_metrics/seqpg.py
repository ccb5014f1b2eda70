"""The Sequence Pointing Game on documents put together from texts of known classes (arXiv 2502.12992, section 4)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from faithbench.conversations import Asking
from faithbench.parameters import check_choice
from faithbench.questions import Explain
from faithbench.types import Attribution, Link, Measurement, Target, Text

PROTOCOLS = ("strict", "paper")


@dataclass(frozen=True)
class SeqPG:
    """How much of what speaks for a segment's class lies in that segment, mean over segments; higher is better.

    In percent, 0 to 100; chance, and any explainer that does not look at the class, is exactly 100/M with M segments.
    For the class of each segment the explainer is asked again, whatever the model predicts; r is the sum of the
    positive scores in the segment over that in all segments. Special tokens belong to none.

    `parts` are the r of the segments, as fractions; a segment without positive score anywhere has none (NaN) and is
    left out. The weight is the number of those that are defined, so `len(parts) - weight` terms are undefined. Not
    defined (NaN, weight 0) if none is, or if the model's limit has cut off a segment whole.

    Args:
        protocol: `strict`; or `paper`, where what is left of the input without special tokens is cut into M parts of
            equal length instead of at its separators (of n tokens and two segments behind floor(n/2)), and a term
            without positive score is 0.
    """

    protocol: str = "strict"
    needs: ClassVar[tuple[str, ...]] = ("segments",)
    links: ClassVar[tuple[Link, ...]] = ("softmax", "sigmoid")
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def __post_init__(self) -> None:
        check_choice("protocol", self.protocol, PROTOCOLS)

    @property
    def version(self) -> int:
        """Of `paper` 2: until then special tokens counted where it cut."""
        return 2 if self.protocol == "paper" else 1

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        paper = self.protocol == "paper"
        explained = yield from explained_segments(text)
        segments = equal_parts(text) if paper else segments_of(text)
        shares = [positive_share(each.scores, segments, index) for index, each in enumerate(explained)]
        return Measurement.mean_of([0.0 if paper and math.isnan(share) else share for share in shares])


def segments_of(text: Text) -> Int[np.ndarray, "tokens"]:
    """Index of the segment that each token lies in; −1 for all if one of them has no token."""
    assert text.segments is not None
    count = len(text.segment_classes)
    whole = len(np.intersect1d(text.segments, np.arange(count))) == count
    return text.segments if whole else np.full(len(text), -1)


def equal_parts(text: Text) -> Int[np.ndarray, "tokens"]:
    """Index of the part that each token lies in when all but special tokens are cut into equal lengths; −1 for these.

    Of n tokens and M parts the cuts are behind floor(n·i/M) tokens.
    """
    content, count = ~text.special, len(text.segment_classes)
    cuts = int(content.sum()) * np.arange(1, count) // count
    parts: Int[np.ndarray, "tokens"] = np.searchsorted(cuts, np.cumsum(content) - 1, side="right")
    return np.where(content, parts, -1)


def explained_segments(text: Text) -> Asking[list[Attribution]]:
    """What the explainer says of the class of each segment."""
    if text.segments is None or len(text.segment_classes) < 2:
        raise ValueError(f"text {text.id!r} has {len(text.segment_classes)} segments; at least two are needed.")
    classes = tuple(dict.fromkeys(text.segment_classes))
    answers: tuple[Attribution, ...] = yield tuple(Explain(text, Target(each)) for each in classes)
    found = dict(zip(classes, answers, strict=True))
    return [found[each] for each in text.segment_classes]


def positive_share(scores: Float[np.ndarray, "tokens"], segments: Int[np.ndarray, "tokens"], index: int) -> float:
    """Sum of positive scores in a segment over that in all; NaN where that is 0, or no number."""
    positive = np.maximum(scores.astype(np.float64), 0)
    total = positive[segments >= 0].sum()
    return float(positive[segments == index].sum() / total) if total > 0 else math.nan
