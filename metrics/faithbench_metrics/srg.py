"""Symmetric Relevance Gain, SRG (Blücher, Vielhaben, Strodthoff 2024, arXiv 2401.06654)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.conversations import Asking
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.perturbation.curves import area, check_steps
from faithbench_metrics.perturbation.operators import needs_of_operator, operator_of, range_of_value, settle
from faithbench_metrics.perturbation.ordering import even_sizes, first_of, ranked


@dataclass(frozen=True)
class SRG:
    """Mean probability while the least influential tokens go first, minus that while the most do; higher is better.

    Each is the trapezoid area over the share of content tokens that are gone, so that the value is in percent, −100 to
    100; of a model that says a value, in its own unit. Random orders have 0 on average, and scores of the opposite
    sign, without ties, have the opposite value: what taking tokens away does whichever they are (masks that the model
    does not know, for instance) is in both areas and falls out. `parts` are the two areas, least influential first and
    most influential first, as fractions. Special tokens stay. Not defined (NaN) without content tokens.

    With a step for each token this is `insertion` − `deletion` of the same operator. The paper takes superpixels of
    images, imputed in several ways; here tokens are ranked by their signed scores, the
    operator says how they are taken away, and the least influential first is that order backwards.

    Args:
        operator: how tokens are taken away, `mask`, `pad`, `attention`, `delete` or `sample`.
        steps: texts of more content tokens are not taken apart one by one but in so many even steps.
        value: what is measured: the `probability`, or its `logit`, log p/(1 − p), without limits and not in percent; of
            a next-token question that is d, the logit of the good continuation less that of the bad one.
    """

    operator: str = "mask"
    steps: int = 64
    value: str = "probability"
    higher_is_better: ClassVar[bool] = True
    on_request: ClassVar[bool] = True
    by_order: ClassVar[bool] = True
    added: ClassVar[tuple[str, ...]] = ("value",)
    needs = needs_of_operator

    def __post_init__(self) -> None:
        settle(self)
        check_steps(self.steps)

    @property
    def range(self) -> tuple[float, float]:
        """In percent of a probability; a logit has no limits."""
        return range_of_value(self, -100.0, 100.0)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        sizes, order = even_sizes(len(text.content), self.steps), ranked(text, attribution.scores)
        gone = np.concatenate([first_of(text, one, sizes) for one in (order[::-1], order)])
        chances = (yield from operator_of(self).chances(text, ~gone))[:, attribution.target]
        least, most = (area(sizes, half, 1.0) for half in np.split(chances, 2))
        return Measurement(operator_of(self).unit(text) * (least - most), (least, most))
