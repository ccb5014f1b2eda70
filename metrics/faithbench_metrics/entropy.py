"""Explanation entropy: how widely an explanation spreads (named in arXiv 2502.12992, which gives no formula)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.parameters import check_choice
from faithbench.types import Attribution, Measurement, Text

PARTS = ("absolute", "positive")


@dataclass(frozen=True)
class Entropy:
    """Shannon entropy, in nats, of the scores' shares over content tokens: 0 (one token) to ln n (all alike).

    It says how simple an explanation is, not whether it is true, and so neither direction is better. Not defined (NaN)
    where all scores are 0.

    Args:
        part: `absolute` takes |a|, `positive` takes max(a, 0).
        normalised: divide by ln n, which compares across lengths; one-token texts are then not defined.
    """

    part: str = "absolute"
    normalised: bool = False
    kind: ClassVar[str] = "simplicity"
    higher_is_better: ClassVar[bool | None] = None

    def __post_init__(self) -> None:
        check_choice("part", self.part, PARTS)

    @property
    def range(self) -> tuple[float, float]:
        """Up to ln n, which any text can have; 1 where it is divided by that."""
        return 0.0, 1.0 if self.normalised else math.inf

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        scores = attribution.scores[~text.special].astype(np.float64)
        weights = np.abs(scores) if self.part == "absolute" else np.maximum(scores, 0)
        limit = math.log(len(scores)) if self.normalised else 1.0
        if not weights.any() or np.isnan(weights).any() or limit == 0:
            return Measurement(math.nan)
        shares = weights[weights > 0] / weights.sum()
        return Measurement(max(0.0, -float((shares * np.log(shares)).sum())) / limit)
