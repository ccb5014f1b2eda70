"""Relative area between curves, RACU (Madsen et al. 2022, arXiv 2110.08412; Madsen et al. 2024, arXiv 2310.07819)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.draws import generator
from faithbench.parameters import check_whole
from faithbench.types import Attribution, Link, Measurement, Text
from faithbench_metrics.perturbation.operators import Operator, needs_of_operator, settle
from faithbench_metrics.perturbation.ordering import first_of, ranked
from faithbench_metrics.perturbation.ratios import sizes

LEAST = 1e-3  # area that masking must take for a share of it to mean anything


@dataclass(frozen=True)
class RACU:
    """The area between random masking and masking by the scores, as a share of the most there is; higher is better.

    With b(x) the target's probability when a share x of the content tokens is masked at random, and e(x) when it is the
    top x of them, the value is 100 · ∫(b − e) / ∫(b − b(1)): 0 is chance, 100 a probability that is at once what is
    left when all is masked; negative is worse than chance, and more than 100 means that masking the top takes more than
    masking everything. The ratios are 0, 0.1, … 1 (k = max(1, ⌊x·n⌋) of n tokens), the areas trapezoid; b is the mean
    over random orders that belong to the text and are the same for all explainers.

    `parts` are the two areas, as fractions; the lower one is the weight, so that means over texts are ratios of means,
    as the papers take them. Not defined (NaN, weight 0) where the lower area is no more than 0.001: where masking
    hardly changes the probability, or raises it, there is nothing to have a share of; and for fewer than two content
    tokens. `parts` keep such areas. 10 · `randoms` + 10 rows, of which all but 9 are the same for every explainer.

    The papers take the accuracy on a data set where this takes the probability of the explained class of each text. It
    says most of a model that was trained on masks (`masking=half`): of others, a part of what masking does is that
    masks are new to them.

    Args:
        randoms: random orders.
        operator: how tokens are taken away, `mask` (the papers'), `pad`, `attention`, `delete` or `sample`.
    """

    randoms: int = 16
    operator: str = "mask"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    on_request: ClassVar[bool] = True
    by_order: ClassVar[bool] = True
    links: ClassVar[tuple[Link, ...]] = ("softmax", "sigmoid")  # a value that rises where all is masked has no fall
    needs = needs_of_operator

    def __post_init__(self) -> None:
        check_whole("randoms", self.randoms, 1, 10_000)
        settle(self)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        content, draws = text.content, generator(text, "orders")
        if len(content) < 2:
            return Measurement(math.nan, weight=0.0)
        counts = [0, *sizes(len(content)), len(content)]
        orders = [ranked(text, attribution.scores), *(draws.permutation(content) for _ in range(self.randoms))]
        gone = np.concatenate([first_of(text, order, counts) for order in orders])
        chances = (yield from Operator(self.operator).chances(text, ~gone))[:, attribution.target]
        own, *random = np.split(chances, len(orders))
        baseline = np.mean(random, axis=0)
        between, most = mean_height(baseline - own), mean_height(baseline - baseline[-1])
        if not (math.isfinite(between) and most > LEAST):
            return Measurement(math.nan, (between, most), weight=0.0)
        return Measurement(100 * between / most, (between, most), weight=most)


def mean_height(curve: Float[np.ndarray, "ratios"]) -> float:
    """Trapezoid area over the ratios 0, 0.1, … 1."""
    return float((curve[1:] + curve[:-1]).sum() / 2 / (len(curve) - 1))
