"""Agreement with a program: NDCG with responsibility as gain (Järvelin & Kekäläinen 2002; Chockler & Halpern 2004)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.ranking import expected_ndcg


@dataclass(frozen=True)
class TruthNDCG:
    """Normalised discounted cumulative gain of the content tokens' order; higher is better.

    In percent: a token gains its responsibility for the label, discounted by log₂(1 + rank), and 100 is the best order.
    Equal scores count by the mean over their orders. Not defined (NaN) where no token is responsible, or where another
    class than the label is explained.
    """

    needs: ClassVar[tuple[str, ...]] = ("responsibility", "label")
    kind: ClassVar[str] = "ground truth"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        if text.responsibility is None or attribution.target != text.label:
            return Measurement(math.nan)
        return Measurement(100 * expected_ndcg(attribution.scores[text.content], text.responsibility[text.content]))
