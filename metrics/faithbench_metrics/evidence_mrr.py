"""Agreement with known evidence: reciprocal rank of its first token (Bastings et al. 2022, arXiv 2111.07367)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.ranking import expected_reciprocal_rank


@dataclass(frozen=True)
class EvidenceMRR:
    """100 / rank of the highest-ranked evidence among the content tokens, above 0 to 100; higher is better.

    Equal scores count by the mean over their orders, so constant scores give the chance level exactly: at e of n tokens
    100 · Σ_r C(n − r, e − 1)/C(n, e)/r, for one token (1 + 1/2 + … + 1/n)/n. Not defined (NaN) for a text without
    evidence.
    """

    needs: ClassVar[tuple[str, ...]] = ("evidence",)
    kind: ClassVar[str] = "ground truth"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)
    on_request: ClassVar[bool] = True

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        if text.evidence is None:
            return Measurement(math.nan)
        content = text.content
        return Measurement(100 * expected_reciprocal_rank(attribution.scores[content], text.evidence[content]))
