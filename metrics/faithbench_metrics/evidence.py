"""Agreement with known evidence: average precision of the scores (after Bastings et al. 2022, arXiv 2111.07367)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from faithbench.types import Attribution, Measurement, Text


@dataclass(frozen=True)
class Evidence:
    """Average precision, in percent, of the content tokens' scores against the tokens known to decide the class.

    100 means that all evidence ranks first; equal scores share a threshold, so constant scores give the share of
    evidence. Not defined (NaN) for a text without evidence.
    """

    needs: ClassVar[tuple[str, ...]] = ("evidence",)

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        if text.evidence is None:
            return Measurement(math.nan)
        content = ~text.special
        return Measurement(100 * average_precision(attribution.scores[content], text.evidence[content]))


def average_precision(scores: Float[np.ndarray, "n"], relevant: Bool[np.ndarray, "n"]) -> float:
    """Σ (recall_k − recall_{k−1}) · precision_k over score thresholds, highest first; NaN if nothing is relevant."""
    if not relevant.any():
        return math.nan
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(relevant[order])
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last rank of each threshold
    recalls = hits[ends] / hits[-1]
    return float((np.diff(recalls, prepend=0) * hits[ends] / (ends + 1)).sum())
