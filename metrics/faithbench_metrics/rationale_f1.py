"""Agreement with human rationales: F1 of the chosen tokens (DeYoung et al. 2020, arXiv 1911.03429)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.ranking import expected_hits
from faithbench_metrics.rationales import check_choosing, marked_content, needs_of_annotators, size


@dataclass(frozen=True)
class RationaleF1:
    """F1 of the k content tokens with the highest scores against those that people marked; higher is better.

    It says how plausible an explanation is, not how faithful. In percent, 0 to 100. Equal scores at the limit count by
    the mean over their orders, so constant scores give the chance level exactly: 200 · k/n · e/(k + e) at e marked of n
    tokens. Not defined (NaN) where nobody marked anything.

    Args:
        annotators: `union` takes what anybody marked, `majority` what most did.
        ratio: k is this share of the content, at least one token; 0 for as many as are marked, and then F1 is precision
            and recall alike.
    """

    annotators: str = "union"
    ratio: float = 0.0
    kind: ClassVar[str] = "plausibility"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)
    on_request: ClassVar[bool] = True
    needs = needs_of_annotators

    def __post_init__(self) -> None:
        check_choosing(self.annotators, self.ratio)

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        marked = marked_content(text, self.annotators)
        if marked is None:
            return Measurement(math.nan)
        k = size(marked, self.ratio)
        hits = expected_hits(attribution.scores[text.content], marked, k)
        return Measurement(200 * hits / float(k + marked.sum()))
