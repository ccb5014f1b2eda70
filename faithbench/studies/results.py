"""What ratings say: means with intervals, paired t-tests with Bonferroni's correction, agreement, and what was missed.

Pure functions on arrays. As in Figure 3 of the B-cos LM paper (arXiv 2502.12992), methods are compared by paired
t-tests with Bonferroni's correction. What the paper took for a pair is not known here, so it is a choice, and is said.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy import stats

from faithbench.parameters import check_choice
from faithbench.statistics.intervals import intervals
from faithbench.statistics.paired_tests import detectable
from faithbench.statistics.verdicts import ALPHA
from faithbench.studies.answers import Ratings
from faithbench.studies.key import LEAST, MOST
from faithbench.studies.reliability import alpha, alpha_interval

UNITS = ("text", "rater", "rating")
WANTED = 0.3  # the difference of ratings that a study should be able to show
ROUNDING = 1e-9  # smaller differences are none
MANY = 100_000  # of texts or raters: nobody asks more


@dataclass(frozen=True)
class Mean:
    """The mean rating of a method.

    Args:
        question: which.
        method: its place in the key.
        value: over texts, each by its mean over raters.
        texts: its 95 % interval over texts, for these raters.
        raters: the 95 % t interval over raters, for these texts, as far as it is on the scale.
        n: ratings.
    """

    question: str
    method: int
    value: float
    texts: tuple[float, float]
    raters: tuple[float, float]
    n: int


@dataclass(frozen=True)
class Compared:
    """Method a less method b by a paired t-test over units.

    `low` and `high` are its 95 % interval, not corrected; `p` is corrected by Bonferroni's method, `p_alone` is not;
    `effect` is Cohen's d_z, the mean in standard deviations of the differences (infinite if these are all alike, and
    then `p_alone` is that of a sign test).
    """

    question: str
    a: int
    b: int
    difference: float
    low: float
    high: float
    t: float
    p: float
    p_alone: float
    effect: float
    n: int


@dataclass(frozen=True)
class Reliability:
    """Krippendorff's α of a question: ordinal, with its 95 % interval over texts, and of an interval scale."""

    question: str
    ordinal: float
    low: float
    high: float
    interval: float
    n: int


@dataclass(frozen=True)
class Power:
    """How many texts, for these raters, or raters, for these texts, would show a difference between any two methods.

    For the pair whose differences scatter most; with 80 % power at 5 % after the correction. NaN: that is not known.
    """

    question: str
    texts: float
    raters: float


def means(ratings: Ratings, seed: int = 0) -> list[Mean]:
    """Of each question and method."""
    found = []
    for question, values in ratings.of.items():
        texts, raters = _mean(values, 0), _mean(values, 1)
        over_texts = intervals(texts, np.ones_like(texts), seed=seed)
        for method in range(values.shape[2]):
            own = texts[:, method]
            found.append(
                Mean(
                    question,
                    method,
                    float(np.nanmean(own)) if np.isfinite(own).any() else math.nan,
                    (float(over_texts.low[method]), float(over_texts.high[method])),
                    _on_scale(_t_interval(raters[:, method])),
                    int(np.isfinite(values[:, :, method]).sum()),
                )
            )
    return found


def comparisons(ratings: Ratings, unit: str = "text") -> list[Compared]:
    """All pairs of methods by each question, corrected for all of these tests.

    Args:
        ratings: of a study.
        unit: what is a pair: `text` (means over raters: does it hold for other texts, given these raters?), `rater`
            (means over texts: for other people, given these texts?), or `rating` (each rater's of each text, as if all
            were independent).

    Raises:
        ValueError: another unit.
    """
    check_choice("unit", unit, UNITS)
    found = [
        _compared(question, a, b, differences(values, a, b, unit))
        for question, values in ratings.of.items()
        for a, b in combinations(range(values.shape[2]), 2)
    ]
    tests = sum(not math.isnan(one.p_alone) for one in found)
    return [_corrected(one, tests) for one in found]


def differences(
    values: Float[np.ndarray, "raters texts methods"], a: int, b: int, unit: str
) -> Float[np.ndarray, "units"]:
    """Of units where both were rated: those of a rater on a text, then their means over what is no unit."""
    gaps = values[:, :, a] - values[:, :, b]
    by_unit: dict[str, Callable[[], np.ndarray]] = {
        "text": lambda: _mean(gaps, 0),
        "rater": lambda: _mean(gaps, 1),
        "rating": gaps.ravel,
    }
    found = by_unit[unit]()
    return found[np.isfinite(found)]


def reliabilities(ratings: Ratings, seed: int = 0) -> list[Reliability]:
    """Of each question."""
    found = []
    for question, values in ratings.of.items():
        flat = values.reshape(len(values), -1)
        low, high = alpha_interval(values, "ordinal", seed)
        several = int((np.isfinite(flat).sum(axis=0) > 1).sum())
        found.append(Reliability(question, alpha(flat, "ordinal"), low, high, alpha(flat, "interval"), several))
    return found


def powers(ratings: Ratings, tests: int, wanted: float = WANTED) -> list[Power]:
    """What it would have taken, by each question."""
    return [
        Power(question, *(_needed(values, unit, tests, wanted) for unit in ("text", "rater")))
        for question, values in ratings.of.items()
    ]


def _needed(values: Float[np.ndarray, "raters texts methods"], unit: str, tests: int, wanted: float) -> float:
    pairs = [differences(values, a, b, unit) for a, b in combinations(range(values.shape[2]), 2)]
    spreads = [float(gaps.std(ddof=1)) for gaps in pairs if len(gaps) > 1]
    if not spreads or max(spreads) <= ROUNDING:
        return math.nan
    return units_needed(max(spreads), wanted, ALPHA / max(1, tests))


def units_needed(spread: float, wanted: float, level: float) -> float:
    """How many pairs show a true mean difference with 80 % power; infinite above 100,000.

    Args:
        spread: the standard deviation of the differences.
        wanted: the difference.
        level: of the test.
    """
    low, high = 1, 2
    while high < MANY and detectable(high, spread, level) > wanted:
        low, high = high, 2 * high
    if high >= MANY:
        return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if detectable(middle, spread, level) > wanted else (low, middle)
    return high


def _compared(question: str, a: int, b: int, gaps: Float[np.ndarray, "units"]) -> Compared:
    n = len(gaps)
    mean = float(gaps.mean()) if n else math.nan
    if n < 2:
        return Compared(question, a, b, mean, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, n)
    spread = float(gaps.std(ddof=1))
    if spread <= ROUNDING:  # t would be infinite and p 0, however few: p is that of equally likely signs
        sign = 0.0 if abs(mean) <= ROUNDING else math.copysign(math.inf, mean)
        p = 2.0 ** (1 - n) if sign else 1.0
        return Compared(question, a, b, mean, mean, mean, sign, p, p, sign, n)
    test = stats.ttest_1samp(gaps, 0.0)
    low, high = _t_interval(gaps)
    return Compared(
        question, a, b, mean, low, high, float(test.statistic), math.nan, float(test.pvalue), mean / spread, n
    )


def _corrected(one: Compared, tests: int) -> Compared:
    return Compared(**{**vars(one), "p": min(1.0, one.p_alone * tests)} if not math.isnan(one.p_alone) else vars(one))


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Of what there is; NaN where there is nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=axis))


def _t_interval(values: Float[np.ndarray, "units"]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    n = len(known)
    if n < 2:
        return math.nan, math.nan
    half = float(stats.t.isf(0.025, n - 1)) * float(known.std(ddof=1)) / math.sqrt(n)
    return float(known.mean()) - half, float(known.mean()) + half


def _on_scale(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = np.clip(interval, LEAST, MOST)
    return float(low), float(high)
