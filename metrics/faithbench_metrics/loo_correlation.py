"""Correlation of scores with leave-one-out effects (Jain & Wallace 2019, arXiv 1902.10186)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.conversations import Asking
from faithbench.parameters import check_choice
from faithbench.ranks import kendall_tau_b
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.perturbation.operators import Operator, needs_of_operator, settle
from faithbench_metrics.perturbation.ordering import all_and_without_each

EFFECTS = ("probability", "logit")


@dataclass(frozen=True)
class LooCorrelation:
    """Kendall's tau-b of the scores with what the target loses when each content token alone is taken away.

    In percent, −100 to 100; higher is better, random scores have 0 on average. An explainer that leaves one token out
    itself, such as occlusion, has 100 by construction. Not defined (NaN) where all scores or all losses are equal, so
    for fewer than two content tokens. Jain & Wallace take the distance of all classes' probabilities; here a token that
    speaks against the target has a negative loss. A row a token.

    Args:
        effect: the loss of `probability` or of `logit`.
        operator: how tokens are taken away, `mask`, `pad`, `attention`, `delete` or `sample`.
    """

    effect: str = "probability"
    operator: str = "mask"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-100.0, 100.0)
    on_request: ClassVar[bool] = True
    by_order: ClassVar[bool] = True
    needs = needs_of_operator

    def __post_init__(self) -> None:
        check_choice("effect", self.effect, EFFECTS)
        settle(self)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        keep, operator = all_and_without_each(text), Operator(self.operator)
        if self.effect == "probability":
            values = yield from operator.chances(text, keep)
        else:
            values = (yield from operator.logits(text, keep)).mean(axis=1, dtype=np.float64)
        losses = values[0, attribution.target] - values[1:, attribution.target]
        return Measurement(100 * kendall_tau_b(attribution.scores[text.content], losses))
