"""Agreement with human rationales: average precision of the scores (DeYoung et al. 2020, arXiv 1911.03429)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.ranking import average_precision
from faithbench_metrics.rationales import check_annotators, marked_content, needs_of_annotators


@dataclass(frozen=True)
class RationaleAUPRC:
    """Average precision of the content tokens' scores against those that people marked; in percent, higher is better.

    It says how plausible an explanation is, not how faithful: a model may have other reasons than people. 100 means
    that all marked tokens rank first; constant scores give the share of marked tokens. ERASER's code takes the area
    under the same curve by trapezoids, which is a little more. Not defined (NaN) where nobody marked anything.

    Args:
        annotators: `union` takes what anybody marked, `majority` what most did.
    """

    annotators: str = "union"
    kind: ClassVar[str] = "plausibility"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)
    needs = needs_of_annotators

    def __post_init__(self) -> None:
        check_annotators(self.annotators)

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        marked = marked_content(text, self.annotators)
        if marked is None:
            return Measurement(math.nan)
        return Measurement(100 * average_precision(attribution.scores[text.content], marked))
