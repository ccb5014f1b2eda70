"""Decision flip: how many tokens must go before the prediction changes (Serrano & Smith 2019, arXiv 1906.03731)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.conversations import Asking
from faithbench.types import Attribution, Link, Measurement, Text
from faithbench_metrics.perturbation.curves import check_steps, removal_curve
from faithbench_metrics.perturbation.operators import Operator, needs_of_operator, settle


@dataclass(frozen=True)
class DecisionFlip:
    """Share of content tokens taken away, top tokens first, until another class is more probable; lower is better.

    In percent, above 0 to 100; 100 also where the prediction never changes. `parts` is 1 if it changes, 0 if not. Not
    defined (NaN) where the target is not the class that the model predicts, and without content tokens.

    Args:
        operator: how tokens are taken away, `mask`, `pad`, `attention`, `delete` or `sample`.
        steps: texts of more content tokens are not taken apart one by one but in so many even steps.
    """

    operator: str = "mask"
    steps: int = 64
    higher_is_better: ClassVar[bool] = False
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)
    on_request: ClassVar[bool] = True
    by_order: ClassVar[bool] = True
    links: ClassVar[tuple[Link, ...]] = ("softmax",)
    needs = needs_of_operator

    def __post_init__(self) -> None:
        settle(self)
        check_steps(self.steps)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        sizes, chances = yield from removal_curve(text, attribution, Operator(self.operator), self.steps)
        another = chances.max(axis=1) > chances[:, attribution.target]
        if another[0] or not sizes[-1] or not np.isfinite(chances).all():
            return Measurement(math.nan)
        flipped = bool(another.any())
        size = sizes[int(another.argmax())] if flipped else sizes[-1]
        return Measurement(100 * size / sizes[-1], (float(flipped),))
