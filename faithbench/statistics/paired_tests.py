"""Paired tests on the same texts: sign flips (Fisher 1935), Wilcoxon (1945), Holm (1979); see docs/statistics.md.

Pure functions on arrays; values, weights and what is undefined as in `faithbench.statistics.intervals`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, special, stats

from faithbench.parameters import check_choice
from faithbench.statistics.intervals import ROUNDING, clean, intervals, standard_errors, weighted_mean

FLIPS = 9999  # of the signs, for a test
EXACT = 13  # up to so many texts all 2^n signs are gone through
PAIR = np.array([[0, 1]])
TESTS = ("permutation", "wilcoxon")


@dataclass(frozen=True)
class Difference:
    """Column a less column b, over the texts where both have a value.

    `p` is that of one paired test, uncorrected; `effect` is Cohen's d_z, the mean difference in standard deviations of
    the differences (infinite where they are all alike); `better` and `equal` are the shares of texts on which a is
    above b and level with it; `detectable` is the smallest true difference that such a sample would have shown as
    significant with 80 % power.
    """

    mean: float
    low: float
    high: float
    interval: str
    p: float
    effect: float
    n: int
    left_out: int
    better: float
    equal: float
    detectable: float


def flip_test(
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
    pairs: Int[np.ndarray, "pairs 2"],
    flips: int = FLIPS,
    seed: int = 0,
) -> Float[np.ndarray, "pairs"]:
    """Two-sided p of the mean differences of pairs of columns, uncorrected: the share of sign flips that do as much.

    A text's difference is as likely to have the other sign if neither column is better. Exact up to `EXACT` texts, else
    (b + 1) / (flips + 1) with random flips, the same for all pairs. A pair's weight is the mean of the two. NaN where
    no text has both values.
    """
    values, weights = clean(values, weights)
    left, right = pairs.T
    shares = pair_weights(weights, pairs)
    both = shares > 0
    terms = shares * (values[:, left] - values[:, right])
    sizes = (shares * (np.abs(values[:, left]) + np.abs(values[:, right]))).sum(axis=0)
    needed = np.abs(terms.sum(axis=0)) - 1e-12 * sizes  # sums of other order may differ in the last digits
    n = both.sum(axis=0)
    found = np.full(len(pairs), np.nan)
    for pair in np.flatnonzero((n > 0) & (n <= EXACT)):
        sums = _all_signs(int(n[pair])) @ terms[both[:, pair], pair]
        found[pair] = (np.abs(sums) >= needed[pair]).mean()
    many = np.flatnonzero(n > EXACT)
    if len(many):
        alike = (weights[:, left[many]] == weights[:, right[many]]).all(axis=0)
        counts, products = np.zeros(len(many), dtype=np.int64), weights * values
        for signs in _random_signs(flips, len(values), seed):
            sums = np.empty((len(signs), len(many)))
            if alike.any():  # then the columns' own sums will do, of which there are fewer
                own = signs @ products
                sums[:, alike] = own[:, left[many[alike]]] - own[:, right[many[alike]]]
            sums[:, ~alike] = signs @ terms[:, many[~alike]]
            counts += (np.abs(sums) >= needed[many]).sum(axis=0)
        found[many] = (counts + 1) / (flips + 1)
    return found


def paired_means(
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
    pairs: Int[np.ndarray, "pairs 2"],
) -> Float[np.ndarray, "pairs"]:
    """The first column of each pair less the second: the mean over the texts where both have a value, else NaN."""
    values, weights = clean(values, weights)
    left, right = pairs.T
    return weighted_mean(values[:, left] - values[:, right], pair_weights(weights, pairs))


def pair_weights(
    weights: Float[np.ndarray, "texts columns"], pairs: Int[np.ndarray, "pairs 2"]
) -> Float[np.ndarray, "texts pairs"]:
    """What a text counts in the difference of two columns: the mean of its weights there; 0 where one has no value."""
    left, right = weights[:, pairs[:, 0]], weights[:, pairs[:, 1]]
    return np.where((left > 0) & (right > 0), (left + right) / 2, 0.0)


@cache
def _all_signs(n: int) -> Float[np.ndarray, "flips n"]:
    """All signs of n texts, but for their mirror images."""
    return np.array(list(product((1.0,), *[(1.0, -1.0)] * (n - 1))))


def _random_signs(flips: int, n: int, seed: int) -> Iterator[Float[np.ndarray, "_ n"]]:
    generator = np.random.default_rng(seed)
    for begin in range(0, flips, 500):
        yield 2.0 * generator.integers(0, 2, (min(500, flips - begin), n), dtype=np.int8) - 1.0


def wilcoxon(differences: Float[np.ndarray, "texts"]) -> float:
    """The p of Wilcoxon's signed-rank test, two-sided; 1 where all differences are 0, NaN where there are none."""
    if not len(differences):
        return math.nan
    # 1 − 2/3 and 1/3 have one rank: they are as many steps, of which no fraction is half-way between two numbers
    step = ROUNDING / math.pi * float(np.abs(differences).mean())
    if not step:
        return 1.0
    return float(stats.wilcoxon(np.rint(differences / step)).pvalue)


def holm(p: Float[np.ndarray, "tests"]) -> Float[np.ndarray, "tests"]:
    """Holm's corrected p: (m − i)·p of the i-th smallest of m, never falling; NaN stays NaN and does not count.

    As statsmodels' multipletests, which collects garbage at each call: a fifth of a second beside large tables.
    """
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(np.arange(len(order), 0, -1) * p[order]))
    return corrected


def difference(
    a: Float[np.ndarray, "texts"],
    b: Float[np.ndarray, "texts"],
    weights_a: Float[np.ndarray, "texts"],
    weights_b: Float[np.ndarray, "texts"],
    test: str = "permutation",
    alpha: float = 0.05,
    flips: int = FLIPS,
    seed: int = 0,
) -> Difference:
    """Compares two columns text by text. Wilcoxon's test takes no account of weights.

    Raises:
        ValueError: another test, or alpha not between 0 and 1.
    """
    check_choice("test", test, TESTS)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha!r} is not allowed; it lies between 0 and 1.")
    values, weights = clean(np.stack([a, b], axis=1), np.stack([weights_a, weights_b], axis=1))
    both = (weights > 0).all(axis=1)
    values, weights = values[both], weights[both]
    n, gaps, shares = int(both.sum()), values[:, 0] - values[:, 1], weights.mean(axis=1)
    gaps[np.abs(gaps) <= ROUNDING * np.abs(values).sum(axis=1)] = 0
    found = intervals(gaps[:, None], shares[:, None], seed=seed)
    mean = float(weighted_mean(gaps, shares)) if n else math.nan
    spread = float(standard_errors(gaps, shares)) * math.sqrt(n)
    spread = 0.0 if spread <= ROUNDING * np.abs(values).max(initial=0) else spread
    with np.errstate(divide="ignore"):
        effect = float(np.float64(mean) / spread) if mean else 0.0 * spread
    return Difference(
        mean=mean,
        low=float(found.low[0]),
        high=float(found.high[0]),
        interval=found.method[0],
        p=wilcoxon(gaps) if test == "wilcoxon" else float(flip_test(values, weights, PAIR, flips, seed)[0]),
        effect=effect,
        n=n,
        left_out=len(a) - n,
        better=float((gaps > 0).mean()) if n else math.nan,
        equal=float((gaps == 0).mean()) if n else math.nan,
        detectable=detectable(n, spread, alpha),
    )


def detectable(n: int, spread: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true mean difference that a paired test of n texts would show; `spread`: of the differences."""
    if n < 2 or not spread > 0:
        return math.nan if n < 2 else 0.0
    critical = -float(special.stdtrit(n - 1, alpha / 2))

    def lacks(shift: float) -> float:
        """How much the power of a two-sided t-test is below what is wanted; its far tail is NaN where it is nothing."""
        near, far = special.nctdtr(n - 1, shift, [critical, -critical])
        return float(near - np.nan_to_num(far)) - (1 - power)

    most = 1.0
    while lacks(most) > 0:
        most *= 2
    return float(optimize.brentq(lacks, 0.0, most)) / math.sqrt(n) * spread


def corrected_pairs(
    p: Float[np.ndarray, "pairs"], pairs: Int[np.ndarray, "pairs 2"], columns: int
) -> Float[np.ndarray, "columns columns"]:
    """The pairs' p values, corrected by Holm's method for all of them, as a symmetric matrix; NaN elsewhere."""
    matrix = np.full((columns, columns), np.nan)
    matrix[pairs[:, 0], pairs[:, 1]] = matrix[pairs[:, 1], pairs[:, 0]] = holm(p)
    return matrix
