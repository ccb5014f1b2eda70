"""When a sampling explainer has sampled enough: standard errors within a tolerance, or the highest tokens settled.

The tolerance is the convergence criterion of KernelSHAP by Covert & Lee 2021 (arXiv 2012.01536, section 3.4): the
largest standard error as a share of the gap between the largest and the smallest score. The other rule identifies the
highest tokens as Kariyappa et al. 2023 (SHAP@k, arXiv 2307.04850) do: probably, and approximately where a tolerance is
said too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from faithbench.conversations import Asking
from faithbench.parameters import check_share, check_whole

RISK = 0.05  # that tokens are called the highest which are not, over all looks at a text
GROWTH = 1.5  # of the samples, from look to look
FIRST = 8  # samples a token before the first look
ROUNDING = 2.0**-20  # of the values asked: what their rounding to float32 may come to, which no sampling settles
ADDED = ("tolerance", "settled")


@dataclass(frozen=True)
class Estimate:
    """Scores so far, their standard errors, and the covariance of their sampling errors.

    `freedom` is the degrees of freedom of these, below 1 where they are not known; `largest` the largest |value| that
    the scores were made of.
    """

    scores: Float[np.ndarray, "players"]
    errors: Float[np.ndarray, "players"]
    covariance: Float[np.ndarray, "players players"]
    freedom: int
    largest: float

    @property
    def gap(self) -> float:
        """Between the largest and the smallest score; tokens without a part have 0."""
        return float(self.scores.max(initial=0.0) - self.scores.min(initial=0.0))


@dataclass(frozen=True)
class Rule:
    """When to stop sampling a text; never, where neither is above 0.

    Args:
        tolerance: the largest standard error must be at most this share of the gap between the scores.
        settled: so many highest tokens must be known instead: with a confidence of 95 %, over all looks together
            (Bonferroni, over looks and pairs of tokens), no other token's score exceeds one of theirs by more than
            `tolerance` of the gap.
    """

    tolerance: float
    settled: int

    def __post_init__(self) -> None:
        check_share("tolerance", self.tolerance)
        check_whole("settled", self.settled, 0, 100_000)

    @property
    def stops(self) -> bool:
        """Whether it ever may."""
        return self.tolerance > 0 or self.settled > 0

    def looks(self, first: int, most: int) -> list[int]:
        """After how many samples it is asked whether to stop, the last of them being the most there may be."""
        sizes = [max(first, 1)] if self.stops else []
        while sizes and sizes[-1] < most:
            sizes.append(int(np.ceil(GROWTH * sizes[-1])))
        return [*(size for size in sizes if size < most), most]

    def met(self, found: Estimate, looks: int) -> bool:
        """Whether these scores will do, of which there are so many looks."""
        if not self.stops or found.freedom < 1:
            return False
        zone = max(self.tolerance * found.gap, ROUNDING * found.largest)
        if self.settled:
            return _highest_known(found, self.settled, zone, RISK / looks)
        return bool(found.errors.max(initial=0.0) <= zone)

    def notes(self, parameter: str, samples: int, met: bool) -> dict[str, float]:
        """What an attribution says of it: how many samples were used, and whether the rule, not the cap, ended it."""
        return {parameter: float(samples), "tolerance_reached": float(met)} if self.stops else {}


def sampled(
    rule: Rule, sizes: Sequence[int], estimate: Callable[[int], Asking[Estimate]]
) -> Asking[tuple[Estimate, int, bool]]:
    """Estimates with more and more samples until the rule is met; the last one, its size, and whether it is met."""
    found, size = (yield from estimate(sizes[0])), sizes[0]
    for larger in sizes[1:]:
        if rule.met(found, len(sizes)):
            return found, size, True
        found, size = (yield from estimate(larger)), larger
    return found, size, rule.met(found, len(sizes))


def _highest_known(found: Estimate, count: int, zone: float, risk: float) -> bool:
    """Whether no token outside the `count` highest may exceed one of them by more than the zone."""
    order = np.argsort(-found.scores, kind="stable")
    inside, outside = order[:count, None], order[count:][None]
    if not outside.size:
        return True
    variances = found.covariance.diagonal()
    spread = variances[inside] + variances[outside] - 2 * found.covariance[inside, outside]
    wide = stats.t.isf(risk / spread.size, found.freedom) * np.sqrt(spread.clip(min=0.0))
    return bool((found.scores[inside] - found.scores[outside] - wide >= -zone).all())
