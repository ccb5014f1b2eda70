"""Effective number of tokens of an explanation: the exponential of its entropy (Hill 1973, number of order 1)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.entropy import Entropy


@dataclass(frozen=True)
class EffectiveTokens:
    """How many tokens an explanation spreads over: 1 (one token) to n (all alike), exp of the entropy in nats.

    It says how simple an explanation is, not whether it is true, and so neither direction is better. Not defined (NaN)
    where all scores are 0.

    Args:
        part: `absolute` takes |a|, `positive` takes max(a, 0).
    """

    part: str = "absolute"
    kind: ClassVar[str] = "simplicity"
    higher_is_better: ClassVar[bool | None] = None
    range: ClassVar[tuple[float, float]] = (1.0, math.inf)
    on_request: ClassVar[bool] = True

    def __post_init__(self) -> None:
        Entropy(self.part)

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        return Measurement(math.exp(Entropy(self.part)(text, attribution).value))
