"""Gini index of an explanation's scores (Hurley & Rickard 2009; for explanations Chalasani et al. 2020, 1810.06583)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.types import Attribution, Measurement, Text


@dataclass(frozen=True)
class Gini:
    """How unequal the absolute scores of the content tokens are: 0 (all alike) to 1 − 1/n (a single one is not 0).

    With a₁ ≤ … ≤ a_n it is 1 − 2 Σ_k a_k/Σa · (n − k + 1/2)/n. It says how simple an explanation is, not whether it is
    true, and so neither direction is better. Not defined (NaN) where all scores are 0.
    """

    kind: ClassVar[str] = "simplicity"
    higher_is_better: ClassVar[bool | None] = None
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    on_request: ClassVar[bool] = True

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        sizes = np.sort(np.abs(attribution.scores[text.content].astype(np.float64)))
        largest = float(sizes.max(initial=0.0))
        if not 0 < largest < math.inf:
            return Measurement(math.nan)
        shares = sizes / largest / (sizes / largest).sum()
        n = len(shares)
        return Measurement(max(0.0, 1 - 2 * float(shares @ (n - np.arange(1, n + 1) + 0.5)) / n))
