"""How sure is the leader's lead, when one looks again and again as texts are added? (see docs/statistics.md)

A sample whose size is chosen by the width of an interval (Chow and Robbins 1965) is looked at several times, and which
two columns lead is seen in the same data. Both are corrected for: over all looks that there may be, which have the same
level (Pocock 1977; in general: alpha spending, Lan and DeMets 1983), and over all pairs of columns (Bonferroni). So the
intervals of all pairs hold at all looks together, whichever look is the last, and whichever pair leads there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, stats

from faithbench.statistics.intervals import clean, weighted_mean
from faithbench.statistics.stratified import Moments, Strata, moments
from faithbench.statistics.verdicts import ALPHA, NEGLIGIBLE

START = 100  # texts at the first look: with fewer no interval can be trusted with skewed values
GROWTH = 1.5  # texts at a look, to those at the one before
NODES = 128  # of a density: the chance of being beyond a bound is known to nine digits
STRAIGHT = 1e-6  # skewness of a mean that changes nothing
FEW_DIFFER = 10  # texts: where fewer are unlike the rest, they say too little of how often texts are


@dataclass(frozen=True)
class Span:
    """The mean of each column and an interval; from −inf to inf where it has fewer than two values."""

    mean: Float[np.ndarray, "columns"]
    low: Float[np.ndarray, "columns"]
    high: Float[np.ndarray, "columns"]

    @property
    def width(self) -> Float[np.ndarray, "columns"]:
        """From end to end."""
        return self.high - self.low


@dataclass(frozen=True)
class Lead:
    """The leader of some columns less each other one, the best first: differences of means with their intervals.

    `near` are those that may be level with the leader: the runner-up, and whoever is not shown to be behind.
    """

    leader: int
    others: Int[np.ndarray, "others"]
    near: Bool[np.ndarray, "others"]
    span: Span

    @property
    def width(self) -> float:
        """Of the widest interval of those that are near."""
        return float(self.span.width[self.near].max())


def looks(total: int, start: int = START, growth: float = GROWTH) -> tuple[int, ...]:
    """After how many texts one looks, of so many: `start`, each time `growth` times as many, and all of them.

    All are taken where less than half a step would be left.
    """
    found, n = [], start
    while n * math.sqrt(growth) < total:
        found.append(n)
        n = math.ceil(n * growth)
    return (*found, total)


@dataclass(frozen=True)
class Watch:
    """A look at a growing sample: which of the looks it is, and so at which level intervals are made.

    Args:
        planned: after how many texts one looks.
        texts: after how many it is.
        odd: after how many one looked besides, in this order, as a limit may make one.
        alpha: how often any of all these looks may miss the truth.
    """

    planned: tuple[int, ...]
    texts: int
    odd: tuple[int, ...] = ()
    alpha: float = ALPHA

    def level(self, tests: int = 1) -> float:
        """How often one of so many intervals may miss the truth at this look alone.

        Of K planned looks each has the same level, and together they have K/(K + 1) of α (Pocock 1977), found from how
        sums over nested samples hang together. The rest is for other looks: the i-th has 1 / (i·(i + 1)) of it.
        """
        alpha, several = self.alpha / tests, len(self.planned)
        if self.texts in self.planned:
            return _equal_levels(self.planned, alpha * several / (several + 1))
        place = 1 + (self.odd.index(self.texts) if self.texts in self.odd else len(self.odd))
        return alpha / (several + 1) / (place * (place + 1))


@cache
def _equal_levels(planned: tuple[int, ...], alpha: float) -> float:
    """The level of each look that leaves α for all: by Armitage, McPherson and Rowe (1969), looks at a Brownian motion.

    Not below α / looks (Bonferroni), and not above α.
    """
    if len(planned) == 1:
        return alpha
    least, most = stats.norm.isf(alpha / 2), stats.norm.isf(alpha / 2 / len(planned))
    far = optimize.brentq(lambda bound: _ever_beyond(planned, bound) - alpha, least, most + 1e-6, xtol=1e-7)
    return float(2 * stats.norm.sf(min(far, most)))


def _ever_beyond(times: Sequence[int], bound: float) -> float:
    """How likely a Brownian motion is beyond ± bound·√time at one of some times."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    places, density = np.zeros(1), np.ones(1)
    for before, now in zip((0, *times), times, strict=False):
        reach = bound * math.sqrt(now)
        steps = stats.norm.pdf(reach * nodes[:, None], places, math.sqrt(now - before))
        places, density = reach * nodes, reach * weights * (steps @ density)
    return 1 - float(density.sum())


def spans(
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
    counted: Bool[np.ndarray, "texts columns"],
    strata: Strata | None,
    reach: float,
    alpha: float = ALPHA,
) -> Span:
    """Intervals of means in closed form, for levels that no bootstrap of a few thousand resamples can tell.

    Student's t of the post-stratified mean, made symmetric by a cubic (Hall 1992, *On the removal of skewness by
    transformation*). Where fewer than `FEW_DIFFER` texts have another value than the commonest, they do not tell how
    many have in truth: then the interval goes down and up from the commonest value by the largest share of texts that
    may lie below and above it (Clopper and Pearson 1934), as far from it as can be.

    Args:
        values: NaN where undefined.
        weights: of the values.
        counted: the texts that were measured, be their value undefined or not.
        strata: the texts' classes; None for plain weighted means, likewise of columns that cannot be post-stratified.
        reach: how far values may be from each other.
        alpha: how often an interval may miss the truth.
    """
    values, weights = clean(values, weights)
    mean, low, high = np.full(values.shape[1], np.nan), *np.full((2, values.shape[1]), np.inf)
    if not len(values):
        return Span(mean, -low, high)
    plain = Strata(np.zeros(len(values), dtype=np.int64), np.ones(1), len(values))
    better = np.zeros(values.shape[1], dtype=bool) if strata is None else strata.usable(counted)
    for mine, columns in ((strata or plain, np.flatnonzero(better)), (plain, np.flatnonzero(~better))):
        parts = values[:, columns], weights[:, columns], counted[:, columns]
        adjusted = parts[1] * mine.factors(parts[2])
        mean[columns] = weighted_mean(parts[0], adjusted)
        known = moments(*parts, mine)
        below, above = (mean[columns] + each for each in _arms(known, alpha))
        low[columns], high[columns] = _with_unseen(parts[0], adjusted, below, above, reach, alpha)
    enough = (weights > 0).sum(axis=0) > 1
    return Span(mean, np.where(enough, low, -np.inf), np.where(enough, high, np.inf))


def _arms(known: Moments, alpha: float) -> tuple[Float[np.ndarray, "columns"], Float[np.ndarray, "columns"]]:
    """How far an interval goes down and up from the mean."""
    with np.errstate(invalid="ignore", divide="ignore"):
        skew = np.where(known.variances > 0, known.skewness, 0.0)
        reach, errors = stats.t.isf(alpha / 2, known.freedom), np.sqrt(known.variances)
        found = [
            -errors * np.where(np.abs(skew) > STRAIGHT, 3 / skew * (np.cbrt(1 + skew * (t - skew / 6)) - 1), t)
            for t in (reach, -reach)
        ]
    return np.where(known.variances > 0, found[0], 0.0), np.where(known.variances > 0, found[1], 0.0)


def _with_unseen(
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
    low: Float[np.ndarray, "columns"],
    high: Float[np.ndarray, "columns"],
    reach: float,
    alpha: float,
) -> tuple[Float[np.ndarray, "columns"], Float[np.ndarray, "columns"]]:
    """The ends, or others where too few texts differ to know from them how many do."""
    low, high = low.copy(), high.copy()
    for column in np.flatnonzero((weights > 0).any(axis=0)) if reach > 0 else ():
        defined = weights[:, column] > 0
        mine, share = values[defined, column], weights[defined, column] / weights[:, column].sum()
        _, back, counts = np.unique(np.round(mine / (NEGLIGIBLE * reach)), return_inverse=True, return_counts=True)
        if len(mine) - counts.max() >= FEW_DIFFER:
            continue
        commonest, texts = mine[back == counts.argmax()].mean(), 1 / (share**2).sum()
        below, above = (share[where].sum() for where in (back < counts.argmax(), back > counts.argmax()))
        low[column] = commonest - reach * _most(below, texts, alpha / 2)
        high[column] = commonest + reach * _most(above, texts, alpha / 2)
    return low, high


def _most(share: float, texts: float, alpha: float) -> float:
    """The largest true share that would give one so small with probability α."""
    return 1.0 if share >= 1 else float(stats.beta.isf(alpha, share * texts + 1, (1 - share) * texts))


def lead(
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
    counted: Bool[np.ndarray, "texts columns"],
    strata: Strata | None,
    sign: int,
    reach: float,
    watch: Watch,
) -> Lead:
    """Who leads two columns or more, and by how much: intervals that hold for all pairs of columns at once.

    Args:
        values: NaN where undefined; differences are over the texts where both have a value.
        weights: of the values; a difference has the mean of the two.
        counted: the texts that were measured.
        strata: the texts' classes; None for plain weighted means.
        sign: 1 where higher is better, −1 where lower is.
        reach: how far values of the metric may be from each other.
        watch: which look it is, and how often any interval at any look may miss the truth.
    """
    several = values.shape[1]
    factors = np.ones_like(weights) if strata is None else strata.factors(counted)
    order = np.argsort(-sign * weighted_mean(values, weights * factors), kind="stable")
    leader, others = int(order[0]), order[1:]
    _, known = clean(values, weights)
    both = (known[:, [leader]] > 0) & (known[:, others] > 0)
    shares = np.where(both, (known[:, [leader]] + known[:, others]) / 2, 0.0)
    measured = counted[:, [leader]] & counted[:, others]
    gaps = np.where(both, values[:, [leader]] - values[:, others], np.nan)
    found = spans(gaps, shares, measured, strata, reach, watch.level(several * (several - 1) // 2))
    near = (found.low <= 0) & (found.high >= 0)
    near[0] = True
    return Lead(leader, others, near, found)
