"""Post-stratified means over texts and their intervals: what is known of a split weighs what a sample of it holds.

The predicted class of a text decides most of what a metric says of it, so a mean moves with the classes that happen to
be in a sample. How often a split has each class is known from many more texts than are measured: a text of class c
counts S_c / n_c times its weight, with S_c the class's share of the split and n_c the texts of it that were measured
(Cochran 1977, *Sampling Techniques*, 5A.9; its two phases: 12). For values that all texts have, without weights, the
mean is Σ S_c × the mean of class c.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from faithbench.statistics.intervals import BCA, RESAMPLES, Intervals, clean, not_by_rounding, weighted_mean

BATCH = 4_000_000  # numbers held at once; what is drawn depends on it
LEAST = 2  # texts of a class: with one there is nothing to say how much it varies


@dataclass(frozen=True)
class Strata:
    """The class of each measured text, and the share of each class in a split, known from `known` texts of it.

    A class of −1 is not known.
    """

    of_texts: Int[np.ndarray, "texts"]
    shares: Float[np.ndarray, "classes"]
    known: int

    @property
    def members(self) -> Bool[np.ndarray, "texts classes"]:
        """Which text is of which class."""
        return self.of_texts[:, None] == np.arange(len(self.shares))

    def of(self, texts: Bool[np.ndarray, "texts"]) -> "Strata":
        """The classes of some of the texts."""
        return Strata(self.of_texts[texts], self.shares, self.known)

    def factors(self, counted: Bool[np.ndarray, "texts *columns"]) -> Float[np.ndarray, "texts *columns"]:
        """By how much the weight of each text changes: S_c·n / n_c; 1 in columns that cannot be post-stratified.

        Args:
            counted: the texts that were measured, be their value undefined or not.
        """
        flat = counted.reshape(len(counted), -1)
        return np.where(self.usable(flat), self._factors(flat), 1.0).reshape(counted.shape)

    def usable(self, counted: Bool[np.ndarray, "texts columns"]) -> Bool[np.ndarray, "columns"]:
        """Whether every class that the split has was measured on two texts or more, and every text is of a class."""
        counts = self.members.T.astype(np.float64) @ counted
        enough = (counts >= LEAST) | (self.shares[:, None] == 0)
        strange = (counts[self.shares == 0] > 0).any(axis=0) | (counted & (self.of_texts < 0)[:, None]).any(axis=0)
        return enough.all(axis=0) & ~strange & counted.any(axis=0)

    def _factors(self, counted: Bool[np.ndarray, "texts columns"]) -> Float[np.ndarray, "texts columns"]:
        counts = self.members.T.astype(np.float64) @ counted
        by_class = self.shares[:, None] * counted.sum(axis=0) / np.maximum(counts, 1)
        return np.where((self.of_texts >= 0)[:, None], by_class[self.of_texts], 1.0)


def stratified_intervals(
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
    counted: Bool[np.ndarray, "texts columns"],
    strata: Strata,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """95 % intervals of post-stratified means, of columns that are `usable`: BCa from 10 to 5,000 texts.

    Of n_c texts of a class n_c − 1 are drawn with replacement, so that the variance is s² / n_c and not less (McCarthy
    and Snowden 1985; Rao and Wu 1988), and the shares of the classes are drawn as often as texts of the split told
    them: what is asked for is the mean over more texts of this kind, not over this split alone.

    Args:
        values: NaN where undefined.
        weights: of the values.
        counted: the texts that were measured, be their value undefined or not.
        strata: the texts' classes.
        resamples: how often texts are drawn.
        seed: of the draws.
    """
    values, weights = clean(values, weights)
    adjusted = weights * strata.factors(counted)
    defined, mean = weights > 0, weighted_mean(values, adjusted)
    n = defined.sum(axis=0)
    least = np.where(defined, values, np.inf).min(axis=0, initial=np.inf)
    alike = (n > 1) & (np.where(defined, values, -np.inf).max(axis=0, initial=-np.inf) == least)
    low, high = np.where(alike, mean, np.nan), np.where(alike, mean, np.nan)
    names = np.where(n < 2, "none", np.where(alike, "constant", "bca")).astype(object)
    for columns in _of_same_texts(counted, (n > 1) & ~alike):
        rows = np.flatnonzero(counted[:, columns[0]])
        mine = Strata(strata.of_texts[rows], strata.shares, strata.known)
        parts = values[np.ix_(rows, columns)], weights[np.ix_(rows, columns)]
        found = _drawn(*parts, mine, resamples, seed)
        variances, freedom = _variances(*parts, mine)
        reach = stats.t.isf(0.025, freedom)
        skew = _skewness(influences(*parts, mine)[0], variances)
        if not BCA[0] <= len(rows) <= BCA[1]:
            skew[:] = np.nan
        found = not_by_rounding(found, *parts, mean[columns])
        low[columns], high[columns], names[columns] = _bca(found, mean[columns], reach, skew)
    return Intervals(low, high, tuple(names))


def stratified_errors(
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
    counted: Bool[np.ndarray, "texts columns"],
    strata: Strata,
) -> Float[np.ndarray, "columns"]:
    """Standard errors of post-stratified means by linearisation: √(Σ S_c²·s_c² / n_c + Σ S_c·(m_c − m)² / known).

    s_c and m_c are the standard deviation and mean in class c; of ratios, of w·(v − mean) over the mean weight.
    """
    return np.sqrt(moments(values, weights, counted, strata).variances)


@dataclass(frozen=True)
class Moments:
    """The variance of each mean, the degrees of freedom it was found with, and the skewness of the mean."""

    variances: Float[np.ndarray, "columns"]
    freedom: Float[np.ndarray, "columns"]
    skewness: Float[np.ndarray, "columns"]


def moments(
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
    counted: Bool[np.ndarray, "texts columns"],
    strata: Strata,
) -> Moments:
    """Of post-stratified means; NaN for columns that are not `usable` or have fewer than two values."""
    found = np.full((3, values.shape[1]), np.nan)
    values, weights = clean(values, weights)
    for columns in _of_same_texts(counted, strata.usable(counted) & ((weights > 0).sum(axis=0) > 1)):
        rows = np.flatnonzero(counted[:, columns[0]])
        mine = Strata(strata.of_texts[rows], strata.shares, strata.known)
        parts = values[np.ix_(rows, columns)], weights[np.ix_(rows, columns)], mine
        variances, freedom = _variances(*parts)
        found[:, columns] = variances, freedom, 6 * _skewness(influences(*parts)[0], variances)
    return Moments(*found)


def _variances(
    values: Float[np.ndarray, "texts columns"], weights: Float[np.ndarray, "texts columns"], strata: Strata
) -> tuple[Float[np.ndarray, "columns"], Float[np.ndarray, "columns"]]:
    """Of the means, and their degrees of freedom (Satterthwaite 1946); all of the texts were measured."""
    within, between = influences(values, weights, strata)
    members = strata.members.astype(np.float64)
    free = np.maximum(members.sum(axis=0) - 1, 1)[:, None]
    each = (members.T @ within**2) * (free + 1) / free
    shared = (strata.shares[:, None] * between**2).sum(axis=0) / strata.known
    total = each.sum(axis=0) + shared
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = total**2 / ((each**2 / free).sum(axis=0) + shared**2 / max(strata.known - 1, 1))
    return total, freedom


def influences(
    values: Float[np.ndarray, "texts columns"], weights: Float[np.ndarray, "texts columns"], strata: Strata
) -> tuple[Float[np.ndarray, "texts columns"], Float[np.ndarray, "classes columns"]]:
    """What each text and each class add to the mean, to first order; all of the texts were measured."""
    adjusted = weights * strata.factors(np.ones_like(values, dtype=bool))
    scaled = weights * (values - weighted_mean(values, adjusted)) / adjusted.mean(axis=0)
    members = strata.members.astype(np.float64)
    counts = np.maximum(members.sum(axis=0), 1)[:, None]
    means = members.T @ scaled / counts
    within = (strata.shares[:, None] / counts)[strata.of_texts] * (scaled - means[strata.of_texts])
    return within, means - strata.shares @ means


def _of_same_texts(
    counted: Bool[np.ndarray, "texts columns"], wanted: Bool[np.ndarray, "columns"]
) -> Iterator[Int[np.ndarray, "some"]]:
    """Columns that were measured on the same texts and can share resamples."""
    groups: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(wanted):
        groups.setdefault(counted[:, column].tobytes(), []).append(int(column))
    yield from map(np.array, groups.values())


def _drawn(
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
    strata: Strata,
    resamples: int,
    seed: int,
) -> Float[np.ndarray, "resamples columns"]:
    """The post-stratified means of resamples."""
    generator, n = np.random.default_rng(seed), len(values)
    parts, at_once = [], max(1, BATCH // n)
    for begin in range(0, resamples, at_once):
        count = min(at_once, resamples - begin)
        shares = generator.multinomial(strata.known, strata.shares, count) / strata.known
        times = np.zeros((count, n))
        for number, members in enumerate(strata.members.T):
            mine = np.flatnonzero(members)
            if len(mine):
                chances = np.full(len(mine), 1 / len(mine))
                drawn = generator.multinomial(len(mine) - 1, chances, count)
                times[:, mine] = drawn * shares[:, [number]] / (len(mine) - 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append((times @ (weights * values)) / (times @ weights))
    return np.concatenate(parts)


def _skewness(
    within: Float[np.ndarray, "texts columns"], variances: Float[np.ndarray, "columns"]
) -> Float[np.ndarray, "columns"]:
    """The acceleration: a sixth of the skewness of the mean's distribution."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float[np.ndarray, "columns"] = (within**3).sum(axis=0) / variances**1.5 / 6
    return found


def _bca(
    drawn: Float[np.ndarray, "resamples columns"],
    mean: Float[np.ndarray, "columns"],
    reach: Float[np.ndarray, "columns"],
    skew: Float[np.ndarray, "columns"],
) -> tuple[Float[np.ndarray, "columns"], Float[np.ndarray, "columns"], list[str]]:
    """Bias-corrected and accelerated intervals (Efron 1987) that reach as far as Student's t (Hesterberg 2015, 4.2).

    Percentiles where that is not finite.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        below = (np.sum(drawn < mean, axis=0) + np.sum(drawn <= mean, axis=0)) / (2 * np.isfinite(drawn).sum(axis=0))
        bias = stats.norm.ppf(below)
        corrected = [bias + (bias + z) / (1 - skew * (bias + z)) for z in (-reach, reach)]
        good = np.isfinite(corrected).all(axis=0) & (skew * (bias + reach) < 1) & (skew * (bias - reach) < 1)
        levels = stats.norm.cdf(np.where(good, corrected, [-reach, reach]))
    found = [np.nanquantile(drawn[:, i], levels[:, i]) for i in range(drawn.shape[1])]
    low, high = np.array(found).reshape(-1, 2).T
    return low, high, ["bca" if each else "percentile" for each in good]
