"""Scores of neurons at equal density: deciles, pairs that are matched, and differences of means with intervals.

A neuron that fires often is easier to predict than one that hardly ever does, so two models whose neurons fire at
different rates differ in their scores for that alone. Pure functions on arrays: of each neuron its density, the share
of tokens on which it fires, and its score, NaN where undefined.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, stats

from faithbench.statistics.intervals import intervals

DECILES = 10
CALIPER = 0.1  # difference of the decimal logarithms of two densities, at most: a factor of 1.26
FAR = 1e6  # what two neurons that are no pair cost: more than all pairs together


@dataclass(frozen=True)
class Gap:
    """Mean of some neurons' scores less that of others', with its 95 % interval; `n`: pairs, or the smaller number."""

    mean: float
    low: float
    high: float
    n: int


def decile_edges(density: Float[np.ndarray, "neurons"]) -> Float[np.ndarray, "inner"]:
    """The nine densities between ten groups of as many neurons, those that never fire left out; none without any."""
    firing = density[density > 0]
    if not len(firing):
        return np.empty(0)
    return np.quantile(firing, np.arange(1, DECILES) / DECILES)


def deciles(density: Float[np.ndarray, "neurons"], edges: Float[np.ndarray, "inner"]) -> Int[np.ndarray, "neurons"]:
    """Between which edges each neuron is, from 0; −1 for one that never fires."""
    return np.where(density > 0, np.searchsorted(edges, density, side="left"), -1)


def means_by_decile(
    scores: Float[np.ndarray, "neurons"], places: Int[np.ndarray, "neurons"]
) -> tuple[Float[np.ndarray, "deciles"], Int[np.ndarray, "deciles"]]:
    """The mean of each decile's defined scores (NaN without any), and how many there are."""
    known = np.isfinite(scores) & (places >= 0)
    counts = np.bincount(places[known], minlength=DECILES)[:DECILES]
    sums = np.bincount(places[known], weights=scores[known], minlength=DECILES)[:DECILES]
    with np.errstate(invalid="ignore"):
        return sums / counts, counts


def matched(
    first: Float[np.ndarray, "neurons"], second: Float[np.ndarray, "others"], caliper: float = CALIPER
) -> Int[np.ndarray, "pairs 2"]:
    """Neurons of two models in pairs of like density, each in one pair at most; places in the two arrays.

    Pairs are of one decile of all neurons' densities, and their decimal logarithms differ by no more than the caliper.
    Of all ways there is the one with the most pairs, and of these the one in which they differ least in sum. A neuron
    that never fires is in no pair.
    """
    edges = decile_edges(np.concatenate([first, second]))
    places = deciles(first, edges), deciles(second, edges)
    found = [np.empty((0, 2), dtype=np.int64)]
    for decile in range(DECILES):
        rows, columns = (np.flatnonzero(each == decile) for each in places)
        if len(rows) and len(columns):
            apart = np.abs(np.log10(first[rows])[:, None] - np.log10(second[columns])[None])
            chosen = optimize.linear_sum_assignment(np.where(apart <= caliper, apart, FAR))
            near = apart[chosen] <= caliper
            found.append(np.stack([rows[chosen[0]][near], columns[chosen[1]][near]], axis=1))
    return np.concatenate(found)


def matched_gap(scores: Float[np.ndarray, "pairs 2"]) -> Gap:
    """Mean difference within pairs; the interval draws pairs, those in which one is undefined left out."""
    both = scores[np.isfinite(scores).all(axis=1)]
    gaps = both[:, :1] - both[:, 1:]
    found = intervals(gaps, np.ones_like(gaps))
    mean = float(gaps.mean()) if len(gaps) else math.nan
    return Gap(mean, float(found.low[0]), float(found.high[0]), len(gaps))


def unmatched_gap(first: Float[np.ndarray, "neurons"], second: Float[np.ndarray, "others"]) -> Gap:
    """Difference of the means of defined scores of neurons that are not the same ones; Welch's interval (1947)."""
    sides = first[np.isfinite(first)], second[np.isfinite(second)]
    least = min(map(len, sides))
    mean = float(sides[0].mean() - sides[1].mean()) if least else math.nan
    if least < 2:
        return Gap(mean, math.nan, math.nan, least)
    errors = np.array([side.var(ddof=1) / len(side) for side in sides])
    if not errors.any():
        return Gap(mean, mean, mean, least)
    freedom = errors.sum() ** 2 / (errors**2 / [len(side) - 1 for side in sides]).sum()
    reach = float(stats.t.isf(0.025, freedom) * np.sqrt(errors.sum()))
    return Gap(mean, mean - reach, mean + reach, least)


def explained(unmatched: Gap, at_equal_density: Gap) -> float:
    """By how much a difference shrinks at equal density, in percent of itself; NaN where it is not shown to be one."""
    shown = unmatched.low > 0 or unmatched.high < 0
    return 100 * (1 - at_equal_density.mean / unmatched.mean) if shown else math.nan


def is_shown(gap: Gap) -> bool:
    """Whether the interval leaves 0 out."""
    return gap.low > 0 or gap.high < 0


def firing(density: Float[np.ndarray, "neurons"], scores: Float[np.ndarray, "neurons"]) -> Bool[np.ndarray, "neurons"]:
    """Which neurons can be in a pair: those that fire and have a score."""
    return (density > 0) & np.isfinite(scores)
