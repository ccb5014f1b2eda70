"""Share of special tokens: how much of an explanation falls on tokens such as [CLS] and [SEP]."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.types import Attribution, Measurement, Text


@dataclass(frozen=True)
class SpecialShare:
    """Σ|a| over special tokens / Σ|a| over all tokens, in percent: 0 to 100; no direction is better.

    Explainers that give special tokens no score have 0. Not defined (NaN) where all scores are 0 or one is not a finite
    number.
    """

    kind: ClassVar[str] = "special tokens"
    higher_is_better: ClassVar[bool | None] = None
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)
    on_request: ClassVar[bool] = True

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        sizes = np.abs(attribution.scores.astype(np.float64))
        largest = float(sizes.max(initial=0.0))
        if not 0 < largest < math.inf:
            return Measurement(math.nan)
        special, content = ((sizes[which] / largest).sum() for which in (text.special, ~text.special))
        return Measurement(100 * float(special / (special + content)))
