"""Log-odds (Shrikumar et al. 2017, arXiv 1704.02685; for text, Chen et al. 2020, arXiv 2004.02015)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.conversations import Asking
from faithbench.types import Attribution, Link, Measurement, Text
from faithbench_metrics.perturbation.operators import Operator, needs_of_operator, settle
from faithbench_metrics.perturbation.ordering import first_of, ranked
from faithbench_metrics.perturbation.ratios import RATIOS, sizes


@dataclass(frozen=True)
class LogOdds:
    """How much the log probability of the target changes when the top tokens are taken away; lower is better.

    log p(target | what is left) − log p(target | text), natural logarithm, any number, negative is normal; the mean
    over the ratios 0.1 … 0.9, where Chen et al. take one. `parts` are the values at the ratios. Not defined (NaN)
    without content tokens.

    Args:
        operator: how tokens are taken away, `mask`, `pad`, `attention`, `delete` or `sample`.
    """

    operator: str = "mask"
    higher_is_better: ClassVar[bool] = False
    on_request: ClassVar[bool] = True
    by_order: ClassVar[bool] = True
    parts_at: ClassVar[tuple[float, ...]] = RATIOS
    links: ClassVar[tuple[Link, ...]] = ("softmax", "sigmoid")
    needs = needs_of_operator

    def __post_init__(self) -> None:
        settle(self)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        order = ranked(text, attribution.scores)
        if not len(order):
            return Measurement(math.nan)
        top = first_of(text, order, [0, *sizes(len(order))])
        logs = (yield from Operator(self.operator).log_chances(text, ~top))[:, attribution.target]
        changes = logs[1:] - logs[0]
        return Measurement(float(np.mean(changes)), tuple(map(float, changes)))
