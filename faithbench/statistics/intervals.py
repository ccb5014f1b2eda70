"""Means over texts and their intervals: bootstrap, bias-corrected and accelerated (Efron 1987); see docs/statistics.md.

Pure functions on arrays. A column holds one value and one weight a text; a value is undefined where it is not finite or
its weight is not above 0, a missing weight (NaN) is 1. Texts are what is drawn: a value goes with its weight.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

RESAMPLES = 1999  # of the texts, for an interval
BCA = (10, 5000)  # texts: with fewer it has nothing to go by; with more its correction is invisible, and costs n² steps
FEW = 30  # columns with fewer values are resampled by themselves, so that no resample is without any
BATCH = 1_000_000  # numbers held at once
ROUNDING = 1e-9  # of the size of values: smaller differences are none
METHODS = ("auto", "bca", "percentile", "normal")


@dataclass(frozen=True)
class Intervals:
    """An interval for each column, and how it was made.

    `method` is `bca` or `percentile` (bootstrap), `normal`, `constant` (all values alike: the interval is that value)
    or `none` (fewer than two values: NaN).
    """

    low: Float[np.ndarray, "columns"]
    high: Float[np.ndarray, "columns"]
    method: tuple[str, ...]


def clean(
    values: Float[np.ndarray, "*shape"], weights: Float[np.ndarray, "*shape"]
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Values and weights, both 0 where a value is undefined."""
    weights = np.where(np.isnan(weights), 1.0, weights)
    defined = np.isfinite(values) & np.isfinite(weights) & (weights > 0)
    return np.where(defined, values, 0.0), np.where(defined, weights, 0.0)


def weighted_mean(
    values: Float[np.ndarray, "texts *columns"], weights: Float[np.ndarray, "texts *columns"]
) -> Float[np.ndarray, "*columns"]:
    """Σ w·v / Σ w over the texts; NaN where no value is defined."""
    values, weights = clean(values, weights)
    with np.errstate(invalid="ignore"):
        means: Float[np.ndarray, "*columns"] = (weights * values).sum(axis=0) / weights.sum(axis=0)
    return means


def not_by_rounding(
    means: Float[np.ndarray, "*resamples columns"],
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
    centre: Float[np.ndarray, "columns"],
) -> Float[np.ndarray, "*resamples columns"]:
    """Means of resamples of clean columns; those that differ from that of the sample by rounding alone are that.

    Of values such as 0 and 1 many are, and whether they lie below it is not for their last digits to say.
    """
    return np.where(np.abs(means - centre) <= ROUNDING * weighted_mean(np.abs(values), weights), centre, means)


def standard_errors(
    values: Float[np.ndarray, "texts *columns"], weights: Float[np.ndarray, "texts *columns"]
) -> Float[np.ndarray, "*columns"]:
    """Of the weighted mean, by linearisation: s / √n where all weights are alike; NaN for fewer than two values."""
    values, weights = clean(values, weights)
    n = (weights > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        away = weights * (values - weighted_mean(values, weights)) / weights.sum(axis=0)
        errors: Float[np.ndarray, "*columns"] = np.sqrt((away**2).sum(axis=0) * n / (n - 1))
    return np.where(n > 1, errors, np.nan)


def resampled_means(
    rows: Int[np.ndarray, "*resamples drawn"],
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
) -> Float[np.ndarray, "*resamples columns"]:
    """The weighted means of clean columns over the drawn texts: one matrix product for all of them."""
    flat = rows.reshape(-1, rows.shape[-1])
    times = np.zeros((len(flat), len(values)))
    for counts, drawn in zip(times, flat, strict=True):
        counts[:] = np.bincount(drawn, minlength=len(values))
    with np.errstate(invalid="ignore"):
        means = (times @ (weights * values)) / (times @ weights)
    found: Float[np.ndarray, "*resamples columns"] = means.reshape(*rows.shape[:-1], values.shape[1])
    return found


def intervals(
    values: Float[np.ndarray, "texts columns"],
    weights: Float[np.ndarray, "texts columns"],
    method: str = "auto",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """95 % intervals of the weighted means over the texts, for all columns at once.

    `auto` takes BCa from 10 to 5,000 texts, and the percentile interval otherwise and where BCa is not finite.

    Raises:
        ValueError: another method.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} is not allowed; use {', '.join(METHODS)}.")
    values, weights = clean(values, weights)
    defined = weights > 0
    n = defined.sum(axis=0)
    mean = weighted_mean(values, weights)
    alike = (np.where(defined, values, -np.inf).max(axis=0, initial=-np.inf)) == (
        np.where(defined, values, np.inf).min(axis=0, initial=np.inf)
    )
    low, high = np.where((n > 1) & alike, mean, np.nan), np.where((n > 1) & alike, mean, np.nan)
    names = np.where(n < 2, "none", np.where(alike, "constant", method)).astype(object)
    open_ = (n > 1) & ~alike
    if method == "normal":
        half = stats.norm.isf(0.025) * standard_errors(values, weights)
        low[open_], high[open_] = (mean - half)[open_], (mean + half)[open_]
        return Intervals(low, high, tuple(names))
    for rows, columns in _shared(defined, open_):
        parts = values[np.ix_(rows, columns)], weights[np.ix_(rows, columns)]
        chosen = ("bca" if BCA[0] <= len(rows) <= BCA[1] else "percentile") if method == "auto" else method
        low[columns], high[columns], names[columns] = _bootstrap(*parts, chosen, resamples, seed)
    return Intervals(low, high, tuple(names))


def _shared(
    defined: Bool[np.ndarray, "texts columns"], wanted: Bool[np.ndarray, "columns"]
) -> Iterator[tuple[Int[np.ndarray, "rows"], Int[np.ndarray, "some"]]]:
    """Columns that can share resamples, with their texts: those with many values, and others with the same texts."""
    groups: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(wanted):
        few = defined[:, column].sum() < FEW
        groups.setdefault(defined[:, column].tobytes() if few else b"", []).append(int(column))
    for columns in groups.values():
        yield np.flatnonzero(defined[:, columns].any(axis=1)), np.array(columns)


def _bootstrap(
    values: Float[np.ndarray, "rows some"],
    weights: Float[np.ndarray, "rows some"],
    method: str,
    resamples: int,
    seed: int,
) -> tuple[Float[np.ndarray, "some"], Float[np.ndarray, "some"], Bool[np.ndarray, "some"]]:
    """The bootstrap (scipy's) of the texts' numbers 0 … n−1, whose statistic is the means of all columns."""
    n, mean = len(values), weighted_mean(values, weights)

    def means(rows: Int[np.ndarray, "*resamples drawn"], axis: int = -1) -> Float[np.ndarray, "some *resamples"]:
        found = resampled_means(rows, values, weights)
        return np.moveaxis(not_by_rounding(found, values, weights, mean), -1, 0)

    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore")  # of degenerate columns: they are seen below
        found = stats.bootstrap(
            (np.arange(n),),
            means,
            n_resamples=resamples,
            batch=max(1, BATCH // n),
            vectorized=True,
            axis=-1,
            method="BCa" if method == "bca" else "percentile",
            rng=np.random.default_rng(seed),
        )
        low, high = np.array(found.confidence_interval.low), np.array(found.confidence_interval.high)
        names = np.full(len(low), method, dtype=object)
        lost = ~(np.isfinite(low) & np.isfinite(high))
        if lost.any():
            low[lost], high[lost] = np.nanpercentile(found.bootstrap_distribution[lost], [2.5, 97.5], axis=-1)
            names[lost] = "percentile"
    return low, high, names
