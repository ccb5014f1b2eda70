"""Scores of neurons at equal density: deciles, pairs that are matched, and differences of means with intervals.

A neuron that fires often is easier to predict than one that hardly ever does, so two models whose neurons fire at
different rates differ in their scores for that alone. Pure functions on arrays: of each neuron its density, the share
of tokens on which it fires, and its score, NaN where undefined, with its weight in means (above 0; 1 if none is given).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, stats

from faithbench.statistics.intervals import RESAMPLES, intervals, resampled_means, standard_errors, weighted_mean

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
    scores: Float[np.ndarray, "neurons"],
    places: Int[np.ndarray, "neurons"],
    weights: Float[np.ndarray, "neurons"] | None = None,
) -> tuple[Float[np.ndarray, "deciles"], Int[np.ndarray, "deciles"]]:
    """The mean of each decile's defined scores (NaN without any), and how many there are."""
    apart = in_deciles(scores, places)
    of_each = np.broadcast_to(np.ones_like(scores) if weights is None else weights, apart.T.shape).T
    return weighted_mean(apart, of_each), np.isfinite(apart).sum(axis=0)


def in_deciles(
    scores: Float[np.ndarray, "neurons"], places: Int[np.ndarray, "neurons"]
) -> Float[np.ndarray, "neurons deciles"]:
    """Scores, a column for each decile, NaN in the others."""
    apart: Float[np.ndarray, "neurons deciles"] = np.where(
        places[:, None] == np.arange(DECILES), scores[:, None], np.nan
    )
    return apart


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


def matched_gap(scores: Float[np.ndarray, "pairs 2"], weights: Float[np.ndarray, "pairs 2"] | None = None) -> Gap:
    """The first mean less the second; the interval draws pairs, those in which one is undefined left out.

    Where weights are alike this is the mean difference within pairs, with the usual interval; else both are weighted
    means, and the interval is that of percentiles.
    """
    known = np.isfinite(scores).all(axis=1)
    both, weights = scores[known], (np.ones_like(scores) if weights is None else weights)[known]
    if not len(both):
        return Gap(math.nan, math.nan, math.nan, 0)
    if np.ptp(weights) == 0:
        gaps = both[:, :1] - both[:, 1:]
        found = intervals(gaps, np.ones_like(gaps))
        return Gap(float(gaps.mean()), float(found.low[0]), float(found.high[0]), len(gaps))
    mean = float(-np.diff(weighted_mean(both, weights))[0])
    if len(both) == 1:
        return Gap(mean, math.nan, math.nan, 1)
    rows = np.random.default_rng(0).integers(len(both), size=(RESAMPLES, len(both)))
    low, high = np.quantile(-np.diff(resampled_means(rows, both, weights)), (0.025, 0.975))
    return Gap(mean, float(low), float(high), len(both))


def unmatched_gap(
    first: Float[np.ndarray, "neurons"],
    second: Float[np.ndarray, "others"],
    weights: tuple[Float[np.ndarray, "neurons"], Float[np.ndarray, "others"]] | None = None,
) -> Gap:
    """Difference of the means of defined scores of neurons that are not the same ones; Welch's interval (1947).

    The error of a weighted mean is that of its linearisation, s / √n where weights are alike.
    """
    known = [np.isfinite(side) for side in (first, second)]
    sides = [side[there] for side, there in zip((first, second), known, strict=True)]
    heavy = (np.ones_like(first), np.ones_like(second)) if weights is None else weights
    heavy = heavy[0][known[0]], heavy[1][known[1]]
    least = min(map(len, sides))
    means = [float(weighted_mean(*pair)) if len(pair[0]) else math.nan for pair in zip(sides, heavy, strict=True)]
    mean = means[0] - means[1]
    if least < 2:
        return Gap(mean, math.nan, math.nan, least)
    errors = np.array([float(standard_errors(*pair)) ** 2 for pair in zip(sides, heavy, strict=True)])
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
