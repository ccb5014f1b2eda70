"""Insertion (Petsiuk et al. 2018, arXiv 1806.07421): area under the curve of probability as tokens are put back."""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.conversations import Asking
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.perturbation.curves import area, check_curve, insertion_curve
from faithbench_metrics.perturbation.operators import Operator, needs_of_operator, unit


@dataclass(frozen=True)
class Insertion:
    """Mean probability of the target while the top tokens come first, from none to the whole text; higher is better.

    The trapezoid area over the share of content tokens, in percent, 0 to 100; of a model that says a value, the mean
    value in its own unit. Special tokens are always there. Not defined (NaN) without content tokens.

    Args:
        operator: how tokens are taken away, `mask`, `pad`, `attention`, `delete` or `sample`.
        steps: texts of more content tokens are not put together one by one but in so many even steps.
    """

    operator: str = "mask"
    steps: int = 64
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)
    on_request: ClassVar[bool] = True
    by_order: ClassVar[bool] = True
    needs = needs_of_operator

    def __post_init__(self) -> None:
        check_curve(self.operator, self.steps)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        sizes, chances = yield from insertion_curve(text, attribution, Operator(self.operator), self.steps)
        return Measurement(area(sizes, chances[:, attribution.target], unit(text)))
