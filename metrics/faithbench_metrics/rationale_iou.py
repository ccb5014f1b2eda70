"""Agreement with human rationales: F1 of spans that overlap (DeYoung et al. 2020, arXiv 1911.03429, IOU F1)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.rationales import check_choosing, marked_content, needs_of_annotators, size


@dataclass(frozen=True)
class RationaleIOU:
    """F1 of the spans of chosen tokens against the spans that people marked; in percent, 0 to 100, higher is better.

    It says how plausible an explanation is, not how faithful. Spans are runs of neighbouring content tokens; chosen are
    the k with the highest scores, of equal ones the first. A chosen span counts if with some marked span it shares at
    least half of the tokens that the two cover together. Not defined (NaN) where nobody marked anything.

    Args:
        annotators: `union` takes what anybody marked, `majority` what most did.
        ratio: k is this share of the content, at least one token; 0 for as many as are marked.
    """

    annotators: str = "union"
    ratio: float = 0.0
    kind: ClassVar[str] = "plausibility"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)
    on_request: ClassVar[bool] = True
    needs = needs_of_annotators

    def __post_init__(self) -> None:
        check_choosing(self.annotators, self.ratio)

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        marked, scores = marked_content(text, self.annotators), attribution.scores[text.content]
        if marked is None or np.isnan(scores).any():
            return Measurement(math.nan)
        chosen = np.zeros(len(text), dtype=bool)
        chosen[text.content[np.argsort(-scores, kind="stable")[: size(marked, self.ratio)]]] = True
        theirs = np.zeros(len(text), dtype=bool)
        theirs[text.content] = marked
        spans, true_spans = runs(chosen), runs(theirs)
        found = sum(any(_half_shared(span, other) for other in true_spans) for span in spans)
        return Measurement(200 * found / (len(spans) + len(true_spans)))


def runs(flags: Bool[np.ndarray, "tokens"]) -> list[tuple[int, int]]:
    """Runs of neighbouring flags, each from its first to past its last position."""
    edges = np.flatnonzero(np.diff(flags.astype(int), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _half_shared(one: tuple[int, int], other: tuple[int, int]) -> bool:
    shared = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    covered = (one[1] - one[0]) + (other[1] - other[0]) - shared
    return 2 * shared >= covered
