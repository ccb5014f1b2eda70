"""Insertion (Petsiuk et al. 2018, arXiv 1806.07421): area under the curve of probability as tokens are put back."""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.conversations import Asking
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.perturbation.curves import area, check_steps, insertion_curve
from faithbench_metrics.perturbation.operators import needs_of_operator, operator_of, range_of_value, settle


@dataclass(frozen=True)
class Insertion:
    """Mean probability of the target while the top tokens come first, from none to the whole text; higher is better.

    The trapezoid area over the share of content tokens, in percent, 0 to 100; of a model that says a value, the mean
    value in its own unit. Special tokens are always there. Not defined (NaN) without content tokens.

    Args:
        operator: how tokens are taken away, `mask`, `pad`, `attention`, `delete` or `sample`.
        steps: texts of more content tokens are not put together one by one but in so many even steps.
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
        return range_of_value(self, 0.0, 100.0)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        sizes, chances = yield from insertion_curve(text, attribution, operator_of(self), self.steps)
        return Measurement(area(sizes, chances[:, attribution.target], operator_of(self).unit(text)))
