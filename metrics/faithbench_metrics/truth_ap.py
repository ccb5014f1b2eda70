"""Agreement with a program: average precision of the tokens that are responsible (Chockler & Halpern, cs/0312038)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from faithbench.parameters import check_share
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.ranking import expected_average_precision


@dataclass(frozen=True)
class TruthAP:
    """Average precision of the content tokens' scores against the tokens responsible for the label; higher is better.

    In percent: 100 means that all of them rank first. A token's responsibility is 1 / (1 + the least number of other
    tokens that must be gone for the label to hang on this one). Equal scores count by the mean over their orders. Not
    defined (NaN) where no token is responsible enough, or where another class than the label is explained.

    Args:
        least: responsibility from which on a token counts, 0 for any above 0; with 1 only tokens without each of which
            the label is another, so that redundant ones are asked of nobody.
    """

    least: float = 0.0
    needs: ClassVar[tuple[str, ...]] = ("responsibility", "label")
    kind: ClassVar[str] = "ground truth"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def __post_init__(self) -> None:
        check_share("least", self.least)

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        if text.responsibility is None or attribution.target != text.label:
            return Measurement(math.nan)
        degrees = text.responsibility[text.content]
        relevant = (degrees > 0) & (degrees >= self.least)
        return Measurement(100 * expected_average_precision(attribution.scores[text.content], relevant))
