"""Monotonicity in two senses: Arya et al. 2019, arXiv 1909.03012; Nguyen & Martínez 2020, arXiv 2007.07584."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.conversations import Asking
from faithbench.parameters import check_choice
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.perturbation.curves import removal_curve
from faithbench_metrics.perturbation.operators import needs_of_operator, operator_of, settle
from faithbench_metrics.perturbation.ordering import all_and_without_each
from faithbench_metrics.ranking import spearman

FORMS = ("correlation", "steps")
ROUNDING = 1e-6  # a fall of probability that is none


@dataclass(frozen=True)
class Monotonicity:
    """Whether larger scores stand for larger effects on the target's probability; higher is better.

    `correlation` (Nguyen & Martínez): Spearman's rho of |score| with the squared change of the probability when the
    token alone is taken away; in percent, −100 to 100, random scores have 0 on average. Not defined (NaN) where all
    scores or all changes are equal, so for fewer than two content tokens.

    `steps` (Arya et al.): content tokens are put in from the least to the most important; the share of steps in which
    the probability does not fall, in percent, 0 to 100. `parts` is 1 if it never falls, 0 if it does: what they report,
    but for the first step, which they leave out. Where every token speaks for the target, or none, each order has the
    same value: it cannot tell a perfect explanation from its reverse, and on a model that adds up its tokens it tells
    nothing at all. Not defined without content tokens.

    A row a token.

    Args:
        form: `correlation` or `steps`.
        operator: how tokens are taken away, `mask`, `pad`, `attention`, `delete` or `sample`.
        value: what is measured: the `probability`, or its `logit`, log p/(1 − p), without limits and not in percent; of
            a next-token question that is d, the logit of the good continuation less that of the bad one.
    """

    form: str = "correlation"
    operator: str = "mask"
    value: str = "probability"
    added: ClassVar[tuple[str, ...]] = ("value",)
    higher_is_better: ClassVar[bool] = True
    on_request: ClassVar[bool] = True
    needs = needs_of_operator

    def __post_init__(self) -> None:
        check_choice("form", self.form, FORMS)
        settle(self)

    @property
    def by_order(self) -> bool:
        """`correlation` ranks absolute scores, which another order-preserving scale of the scores orders anew."""
        return self.form == "steps"

    @property
    def unproven(self) -> str:
        """What the docstring says of `steps`."""
        return "on a model that adds up its tokens every order has the same value" if self.form == "steps" else ""

    @property
    def range(self) -> tuple[float, float]:
        """A correlation, or a share."""
        return (0.0, 100.0) if self.form == "steps" else (-100.0, 100.0)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        return self._steps(text, attribution) if self.form == "steps" else self._correlation(text, attribution)

    def _correlation(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        chances = yield from operator_of(self).draws_of_chances(text, all_and_without_each(text))
        changes = chances[0, :, attribution.target] - chances[1:, :, attribution.target]
        effects = (changes**2).mean(axis=1)
        return Measurement(100 * spearman(np.abs(attribution.scores[text.content]), effects))

    def _steps(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        operator, tokens = operator_of(self), len(text.content)
        _, chances = yield from removal_curve(text, attribution, operator, steps=tokens)
        rises = np.diff(chances[::-1, attribution.target])
        if not len(rises) or not np.isfinite(rises).all():
            return Measurement(math.nan)
        held = rises >= -ROUNDING
        return Measurement(100 * float(held.mean()), (float(held.all()),))
