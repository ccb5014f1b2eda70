"""Agreement with known evidence: precision at k (Bastings et al. 2022, arXiv 2111.07367)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from faithbench.parameters import check_whole
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.ranking import expected_hits


@dataclass(frozen=True)
class EvidencePrecision:
    """Share of evidence among the k content tokens with the highest scores, in percent, 0 to 100; higher is better.

    Equal scores at the limit count by the mean over their orders, so constant scores give the chance level exactly: the
    share e/n of evidence. Not defined (NaN) for a text without evidence.

    Args:
        k: how many tokens, all of them where a text has fewer; 0 for as many as there is evidence, which lets a perfect
            explainer reach 100 on every text. With another k it reaches 100 · min(e, k)/k.
    """

    k: int = 0
    needs: ClassVar[tuple[str, ...]] = ("evidence",)
    kind: ClassVar[str] = "ground truth"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)
    on_request: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole("k", self.k, 0, 1000)

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        content = text.content
        if text.evidence is None or not text.evidence[content].any():
            return Measurement(math.nan)
        relevant = text.evidence[content]
        k = min(self.k or int(relevant.sum()), len(content))
        return Measurement(100 * expected_hits(attribution.scores[content], relevant, k) / k)
