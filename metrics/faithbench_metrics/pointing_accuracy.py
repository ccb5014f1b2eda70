"""Pointing accuracy: does the largest score lie in the right segment? (Pointing game of Zhang et al. 2016, 1608.00507.)

Played on the documents of the Sequence Pointing Game (arXiv 2502.12992).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from faithbench.conversations import Asking
from faithbench.types import Attribution, Link, Measurement, Text
from faithbench_metrics.seqpg import explained_segments, segments_of


@dataclass(frozen=True)
class PointingAccuracy:
    """Share of segments for whose class the largest score lies in the segment itself; higher is better.

    In percent, 0 to 100; chance, and any explainer that does not look at the class, is exactly 100/M with M segments.
    Of equal largest scores, the share that lies in the segment counts (`parts`, one for each segment, as fractions).
    Special tokens belong to none. The weight is the number of segments. Not defined (NaN, weight 0) if the model's
    limit has cut off a segment whole.
    """

    needs: ClassVar[tuple[str, ...]] = ("segments",)
    links: ClassVar[tuple[Link, ...]] = ("softmax", "sigmoid")
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        explained = yield from explained_segments(text)
        segments = segments_of(text)
        return Measurement.mean_of([hit(each.scores, segments, index) for index, each in enumerate(explained)])


def hit(scores: Float[np.ndarray, "tokens"], segments: Int[np.ndarray, "tokens"], index: int) -> float:
    """Which share of the largest scores lies in a segment; NaN where a score is no number, or there is no segment."""
    inside = segments >= 0
    if not inside.any() or np.isnan(scores[inside]).any():
        return math.nan
    largest = inside & (scores == scores[inside].max())
    return float((segments[largest] == index).mean())
