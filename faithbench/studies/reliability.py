"""Krippendorff's α: do raters agree beyond chance? (Krippendorff 2011, *Computing Krippendorff's Alpha-Reliability*.)

α = 1 − D_o/D_e: the disagreement within what several raters have rated, beside that of ratings put together at random.
1 is perfect, 0 is chance, below 0 is systematic disagreement. The package `krippendorff` gives the same, which is
tested; here coincidences are kept apart by text, so that texts can be resampled.
"""

import math

import numpy as np
from jaxtyping import Float, Int

from faithbench.parameters import check_choice

LEVELS = ("ordinal", "interval", "nominal")
RESAMPLES = 1999


def alpha(ratings: Float[np.ndarray, "raters units"], level: str = "ordinal") -> float:
    """α of whole-numbered ratings, NaN where there is none; NaN if all are alike or none has a second one.

    Args:
        ratings: of each rater, of each unit.
        level: what a difference of ratings is: `ordinal`, `interval` or `nominal`.
    """
    check_choice("level", level, LEVELS)
    return _alpha(coincidences(ratings[:, :, None]).sum(axis=0)[None], level).item()


def alpha_interval(
    ratings: Float[np.ndarray, "raters texts methods"], level: str = "ordinal", seed: int = 0
) -> tuple[float, float]:
    """The 95 % percentile interval of α over texts, each of which is drawn with all its explanations."""
    own = coincidences(ratings)
    if len(own) < 2:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    times = generator.multinomial(len(own), np.full(len(own), 1 / len(own)), RESAMPLES)
    drawn = np.tensordot(times.astype(np.float64), own, axes=1)
    found = _alpha(drawn, level)
    known = found[np.isfinite(found)]
    if not known.size:
        return math.nan, math.nan
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)


def coincidences(ratings: Float[np.ndarray, "raters texts methods"]) -> Float[np.ndarray, "texts values values"]:
    """How often two ratings of an explanation are a pair of values; each weighs 1 / (its ratings − 1)."""
    values = _values(ratings)
    is_value = (ratings[..., None] == values).astype(np.float64)
    counts = is_value.sum(axis=0)  # texts, methods, values
    number = counts.sum(axis=-1)
    weights = np.where(number > 1, 1 / np.maximum(number - 1, 1), 0.0)
    pairs = np.einsum("tmv,tmw,tm->tvw", counts, counts, weights)
    alone = np.einsum("tmv,tm->tv", counts, weights)
    return pairs - alone[:, :, None] * np.eye(len(values))


def _values(ratings: Float[np.ndarray, "*any"]) -> Int[np.ndarray, "values"]:
    known = ratings[np.isfinite(ratings)]
    return np.arange(known.min(), known.max() + 1) if known.size else np.zeros(1)


def _alpha(pairs: Float[np.ndarray, "many values values"], level: str) -> Float[np.ndarray, "many"]:
    values = pairs.sum(axis=2)
    n = values.sum(axis=1)
    gaps = _gaps(values, level)
    observed = (pairs * gaps).sum(axis=(1, 2))
    expected = np.einsum("mv,mw,mvw->m", values, values, gaps)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float[np.ndarray, "many"] = 1 - (n - 1) * observed / expected
    return np.where(expected > 0, found, np.nan)


def _gaps(values: Float[np.ndarray, "many values"], level: str) -> Float[np.ndarray, "many values values"]:
    """The squared differences of values, on an ordinal scale by how many ratings lie between."""
    size = values.shape[1]
    if level == "ordinal":
        ranks = np.cumsum(values, axis=1) - values / 2
        return (ranks[:, :, None] - ranks[:, None, :]) ** 2
    numbers = np.arange(size, dtype=np.float64)
    gaps = numbers[:, None] - numbers
    squared = (gaps != 0).astype(np.float64) if level == "nominal" else gaps**2
    return np.broadcast_to(squared, (len(values), size, size))
