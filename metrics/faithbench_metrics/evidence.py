"""Agreement with known evidence: average precision of the scores (after Bastings et al. 2022, arXiv 2111.07367)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.ranking import average_precision


@dataclass(frozen=True)
class Evidence:
    """Average precision of the content tokens' scores against the tokens known to decide the class; higher is better.

    In percent: 100 means that all evidence ranks first. Equal scores share a threshold, so constant scores give the
    share e/n of evidence. Chance for scores without equals, at e of n tokens: (e − 1)/(n − 1) · (1 − H/n) + H/n with
    H = 1 + 1/2 + … + 1/n. Not defined (NaN) for a text without evidence.
    """

    needs: ClassVar[tuple[str, ...]] = ("evidence",)
    kind: ClassVar[str] = "ground truth"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        if text.evidence is None:
            return Measurement(math.nan)
        content = ~text.special
        return Measurement(100 * average_precision(attribution.scores[content], text.evidence[content]))
