"""Agreement with a program: Kendall's τ with its Shapley values, over the pairs that these tell apart (Somers 1962)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.ranking import somers_d


@dataclass(frozen=True)
class TruthTau:
    """(concordant − discordant) / all pairs of content tokens whose Shapley values differ; higher is better.

    In percent, −100 to 100: most words have the Shapley value 0, and what is said of their order among themselves does
    not count, so that the right order has 100, which τ_b would not give it (the measure is Somers' D of the scores).
    Equal scores count by the mean over their orders. Not defined (NaN) where all Shapley values are equal, or where
    another class than the label is explained.
    """

    needs: ClassVar[tuple[str, ...]] = ("shapley", "label")
    kind: ClassVar[str] = "ground truth"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[tuple[float, float]] = (-100.0, 100.0)

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        if text.shapley is None or attribution.target != text.label:
            return Measurement(math.nan)
        return Measurement(100 * somers_d(attribution.scores[text.content], text.shapley[text.content]))
