"""Statistics against scipy, statsmodels and closed forms; and what is defined for few, equal and missing values."""

import math
import warnings

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import tt_solve_power
from statsmodels.stats.weightstats import DescrStatsW

from faithbench.statistics.intervals import BCA, intervals, resampled_means, standard_errors, weighted_mean
from faithbench.statistics.paired_tests import (
    corrected_pairs,
    detectable,
    difference,
    flip_test,
    holm,
    paired_means,
    wilcoxon,
)

NAN = math.nan


def skewed(n: int, columns: int = 1, seed: int = 0) -> np.ndarray:
    return 100 * np.random.default_rng(seed).beta(0.5, 3, (n, columns))


def ones(values: np.ndarray) -> np.ndarray:
    return np.ones_like(values)


def test_the_weighted_mean_is_that_of_statsmodels():
    values, weights = skewed(40, 2), np.random.default_rng(1).integers(1, 9, (40, 2)).astype(float)
    for i, found in enumerate(weighted_mean(values, weights)):
        assert found == pytest.approx(DescrStatsW(values[:, i], weights[:, i]).mean, rel=1e-12)


def test_undefined_values_count_nothing_and_a_missing_weight_is_one():
    values = np.array([[1.0], [NAN], [math.inf], [7.0], [4.0]])
    weights = np.array([[NAN], [2.0], [2.0], [0.0], [3.0]])
    assert weighted_mean(values, weights)[0] == (1 + 3 * 4) / 4
    assert math.isnan(weighted_mean(np.array([[NAN]]), np.ones((1, 1)))[0])


def test_the_standard_error_is_s_over_root_n_and_for_ratios_that_of_linearisation():
    values, weights = skewed(60), np.random.default_rng(1).integers(1, 9, (60, 1)).astype(float)
    assert standard_errors(values, ones(values))[0] == pytest.approx(stats.sem(values[:, 0]), rel=1e-12)
    ratio = weighted_mean(values, weights)[0]
    residuals = weights[:, 0] * (values[:, 0] - ratio)
    expected = residuals.std(ddof=0) * math.sqrt(60 / 59) / math.sqrt(60) / weights.mean()  # Cochran 1977, eq. 2.39
    assert standard_errors(values, weights)[0] == pytest.approx(expected, rel=1e-12)
    assert math.isnan(standard_errors(values[:1], weights[:1])[0])


@pytest.mark.parametrize("times", [0.1, 0.3, 0.7, 1 / 3])
@pytest.mark.parametrize("n", [400, 1024, 2048])  # fractions of two powers lie half-way on a decimal grid
def test_an_interval_does_not_depend_on_the_last_digits_of_its_sums(n: int, times: float):
    """Many resamples of values 0 and 1 have the mean of the sample, and sums of such weights differ by rounding."""
    values = np.random.default_rng(0).integers(0, 2, (n, 6)).astype(float)
    exact, rounded = intervals(values, ones(values)), intervals(values, times * ones(values))
    np.testing.assert_allclose([rounded.low, rounded.high], [exact.low, exact.high], rtol=1e-8)
    assert exact.method == rounded.method == ("bca",) * 6


def test_a_value_of_next_to_no_weight_does_not_coarsen_the_mean_of_a_ratio():
    """As of `infidelity`, whose weight is what its value was divided by."""
    values, weights = skewed(60), np.random.default_rng(1).integers(1, 9, (60, 1)).astype(float)
    known = intervals(values, weights)
    values[7], weights[7] = 1e11, 1e-9  # adds 100 to a sum of thousands
    found = intervals(values, weights)
    assert found.method == ("bca",)
    assert (found.low[0], found.high[0]) == pytest.approx((known.low[0], known.high[0]), rel=0.1)


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_intervals_are_scipys_where_one_column_is_given_to_it_whole(method: str):
    values, weights = skewed(50), np.random.default_rng(1).integers(1, 9, (50, 1)).astype(float)
    for sample, given in (((values[:, 0],), ones(values)), ((values[:, 0], weights[:, 0]), weights)):
        found = intervals(values, given, method, resamples=400, seed=3)
        expected = stats.bootstrap(
            sample,
            lambda v, w=1.0: (v * w).sum() / (np.ones_like(v) * w).sum(),
            paired=True,
            vectorized=False,
            n_resamples=400,
            method=method,
            rng=np.random.default_rng(3),
        ).confidence_interval
        np.testing.assert_allclose([found.low[0], found.high[0]], expected, rtol=1e-9)
        assert found.method == (method,)


def test_a_column_has_the_interval_that_it_has_alone():
    values = skewed(80, 5)
    values[3:60, 4] = NAN  # few are left: it is resampled by itself
    together = intervals(values, ones(values))
    for i in range(5):
        alone = intervals(values[:, [i]], np.ones((80, 1)))
        assert (together.low[i], together.high[i]) == pytest.approx((alone.low[0], alone.high[0]), rel=1e-12)
    own = values[~np.isnan(values[:, 4]), 4:]
    assert together.low[4] == pytest.approx(intervals(own, ones(own)).low[0], rel=1e-12)


def test_bca_needs_texts_and_differences_and_what_was_used_is_said():
    column = skewed(60)[:, 0]
    few = np.where(np.arange(60) < 9, column, NAN)
    one, none = np.where(np.arange(60) < 1, column, NAN), np.full(60, NAN)
    values = np.stack([column, few, np.full(60, 7.0), one, none], axis=1)
    found = intervals(values, ones(values))
    assert found.method == ("bca", "percentile", "constant", "none", "none")
    assert (found.low[2], found.high[2]) == (7.0, 7.0)
    assert np.isnan(found.low[3:]).all()
    assert np.isnan(found.high[3:]).all()
    assert (found.low[:2] < weighted_mean(values, ones(values))[:2]).all()
    many = np.random.default_rng(0).random((BCA[1] + 1, 1))
    assert intervals(many, ones(many), resamples=50).method == ("percentile",)


def test_where_bca_is_not_finite_the_percentile_interval_stands_in():
    values = np.ones((40, 2))
    values[0] = 2.0
    weights = np.array([[1.0, 1e-18]] + [[1.0, 1.0]] * 39)  # the value that differs is too light to change any resample
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = intervals(values, weights)
    assert found.method == ("bca", "percentile")
    assert (found.low[1], found.high[1]) == (1.0, 1.0)


def test_the_normal_interval_and_an_unknown_method():
    values = skewed(50)
    found = intervals(values, ones(values), "normal")
    half = stats.norm.ppf(0.975) * stats.sem(values[:, 0])
    assert (found.low[0], found.high[0]) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-12)
    with pytest.raises(ValueError, match="method='student' is not allowed; use auto, bca"):
        intervals(values, ones(values), "student")


def test_resampled_means_are_those_of_the_drawn_rows():
    values, weights = skewed(12, 3), 1 + skewed(12, 3, seed=1)
    rows = np.random.default_rng(0).integers(0, 12, (4, 12))
    expected = [[np.average(values[row, i], weights=weights[row, i]) for i in range(3)] for row in rows]
    np.testing.assert_allclose(resampled_means(rows, values, weights), expected, rtol=1e-12)


PAIR = np.array([[0, 1]])


@pytest.mark.parametrize("n", [2, 3, 8, 13])
def test_for_few_texts_all_signs_are_gone_through_as_scipy_does(n: int):
    a, b = skewed(n, 2).T
    exact = stats.permutation_test((a - b,), np.mean, permutation_type="samples", n_resamples=math.inf)
    found = flip_test(np.stack([a, b], axis=1), np.ones((n, 2)), PAIR)[0]
    assert found == pytest.approx(exact.pvalue, rel=1e-9)


def test_for_many_texts_random_signs_agree_with_scipys():
    values = skewed(200, 3) + np.array([0.0, 1.0, 3.0])
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    found = flip_test(values, ones(values), pairs)
    for (i, j), p in zip(pairs, found, strict=True):
        test = stats.permutation_test(
            (values[:, i] - values[:, j],),
            lambda x, axis: x.mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=9999,
            rng=np.random.default_rng(7),
        )
        assert p == pytest.approx(test.pvalue, abs=5 * math.sqrt(2 * 0.25 / 9999))
    assert flip_test(values + np.array([0.0, 50.0, 0.0]), ones(values), pairs)[0] == 1 / 10_000  # never 0


def test_weights_of_a_pair_are_the_mean_of_the_two_and_missing_pairs_are_left_out():
    values = skewed(10, 2)
    weights = np.random.default_rng(1).integers(1, 9, (10, 2)).astype(float)
    values[[2, 5], [0, 1]] = NAN
    both = [i for i in range(10) if i not in (2, 5)]
    shares = weights[both].mean(axis=1)
    terms = shares * (values[both, 0] - values[both, 1])
    signs = np.array(np.meshgrid(*[[1, -1]] * 8)).reshape(8, -1)
    expected = (np.abs(terms @ signs) >= abs(terms.sum()) * (1 - 1e-12)).mean()
    assert flip_test(values, weights, PAIR)[0] == pytest.approx(expected, rel=1e-12)


def test_the_quick_way_for_equal_weights_and_the_general_way_are_one():
    values = skewed(60, 3)
    weights = np.repeat(np.random.default_rng(1).integers(1, 9, (60, 1)), 3, axis=1).astype(float)
    quick = flip_test(values, weights, np.array([[0, 1]]))
    slightly = weights.copy()
    slightly[:, 1] *= 1 + 1e-13  # the columns' weights are no longer the same
    np.testing.assert_array_equal(flip_test(values, slightly, np.array([[0, 1]])), quick)


@pytest.mark.parametrize(("n", "p"), [(0, NAN), (1, 1.0), (2, 0.5), (5, 2 / 32), (13, 2 / 2**13)])
def test_a_constant_difference_is_as_sure_as_the_number_of_texts_allows(n: int, p: float):
    values = np.stack([np.arange(n) + 1.0, np.arange(n)], axis=1)
    assert flip_test(values, ones(values), PAIR)[0] == pytest.approx(p, nan_ok=True)


def test_equal_columns_do_not_differ():
    values = np.repeat(skewed(50), 2, axis=1)
    assert flip_test(values, ones(values), PAIR)[0] == 1.0
    assert wilcoxon(np.zeros(5)) == 1.0
    assert math.isnan(wilcoxon(np.zeros(0)))
    thirds = np.array([1 / 3 - 0, 2 / 3 - 1 / 3, -(1 - 2 / 3), 1 / 3 - 0, 1 - 1 / 3, 1 / 3, -1.0])
    assert wilcoxon(thirds) == wilcoxon(np.rint(3 * thirds))


@pytest.mark.slow
def test_holm_is_statsmodels_and_leaves_out_what_is_missing():
    p = np.array([0.01, 0.04, NAN, 0.03, 0.005, 0.04, 0.9])
    known = ~np.isnan(p)
    np.testing.assert_allclose(holm(p)[known], multipletests(p[known], method="holm")[1], rtol=1e-12)
    assert math.isnan(holm(p)[2])
    assert holm(np.array([])).shape == (0,)
    assert np.isnan(holm(np.array([NAN]))).all()


def test_a_difference_with_its_evidence():
    a, b = skewed(100, 2).T
    a[0], b[1] = NAN, NAN
    a[2] = b[2]
    found = difference(a, b, np.ones(100), np.ones(100), flips=999)
    gaps = (a - b)[2:]
    assert (found.n, found.left_out) == (98, 2)
    assert found.mean == pytest.approx(gaps.mean(), rel=1e-12)
    assert found.effect == pytest.approx(gaps.mean() / gaps.std(ddof=1), rel=1e-12)
    assert (found.better, found.equal) == ((gaps > 0).mean(), 1 / 98)
    alone = intervals(gaps[:, None], np.ones((98, 1)))
    assert (found.low, found.high, found.interval) == (alone.low[0], alone.high[0], "bca")
    ranks = difference(a, b, np.ones(100), np.ones(100), test="wilcoxon")
    assert ranks.p == pytest.approx(stats.wilcoxon(gaps).pvalue, rel=1e-12)


def test_a_difference_of_ratios_with_the_same_denominators_is_that_of_the_ratios():
    found, number = np.random.default_rng(0).integers(0, 5, (2, 30)), np.full(30, 5.0)
    number[:10] = 20.0
    a, b = found / number
    ratio = difference(a, b, number, number)
    assert ratio.mean == pytest.approx((found[0].sum() - found[1].sum()) / number.sum(), rel=1e-12)


def test_differences_of_none_one_and_constant_values_are_defined():
    none = difference(*np.zeros((4, 0)))
    assert (none.n, none.interval) == (0, "none")
    assert np.isnan([none.mean, none.low, none.p, none.effect, none.better, none.detectable]).all()
    one = difference(np.array([3.0]), np.array([1.0]), np.ones(1), np.ones(1))
    assert (one.mean, one.p, one.better, one.interval) == (2.0, 1.0, 1.0, "none")
    assert np.isnan([one.low, one.effect, one.detectable]).all()
    same = difference(np.array([0.1, 0.2, 0.3]) + 0.1, np.array([0.1, 0.2, 0.3]), np.ones(3), np.ones(3))
    assert (same.effect, same.detectable) == (math.inf, 0.0)
    level = difference(np.array([0.1 + 0.2, 1.0]), np.array([0.3, 1.0]), np.ones(2), np.ones(2))
    assert (level.mean, level.equal, level.p, level.effect) == (0.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"test": "t"}, "test='t' is not allowed; use permutation or wilcoxon"), ({"alpha": 1.0}, "alpha=1.0 is not")],
)
def test_wrong_parameters_are_refused(arguments: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        difference(*np.ones((4, 3)), **arguments)


def test_the_detectable_difference_has_the_power_that_it_promises():
    assert detectable(50, 2.0) / 2.0 == pytest.approx(tt_solve_power(nobs=50, alpha=0.05, power=0.8), rel=1e-6)
    closed = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / math.sqrt(5000)
    assert detectable(5000, 1.0) == pytest.approx(closed, rel=1e-3)
    shift = detectable(40, 1.0)
    samples = np.random.default_rng(0).normal(shift, 1.0, (4000, 40))
    seen = stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05
    assert seen.mean() == pytest.approx(0.8, abs=0.02)
    assert detectable(2, 1.0) > detectable(3, 1.0) > 1
    assert math.isnan(detectable(1, 1.0))
    assert detectable(9, 0.0) == 0.0


def power_of_a_t_test(shift: float, n: int, alpha: float) -> float:
    """By its definition: the power at each possible standard deviation of a sample, weighed by how likely that is."""
    critical = stats.t.isf(alpha / 2, n - 1)

    def at(deviation: float) -> float:
        here, spread = shift * math.sqrt(n), critical * deviation
        density = stats.chi.pdf(deviation * math.sqrt(n - 1), n - 1) * math.sqrt(n - 1)
        return (stats.norm.sf(spread - here) + stats.norm.cdf(-spread - here)) * density

    around = 10 / math.sqrt(2 * (n - 1))
    found, _ = integrate.quad(at, max(0.0, 1 - around), 1 + around, epsabs=1e-12, limit=400)
    return found


@pytest.mark.parametrize("n", [2, 3, 9, 50, 300, 20_000])
@pytest.mark.parametrize("alpha", [0.05, 0.001, 0.05 / 2000])
def test_the_detectable_difference_has_its_power_at_every_level(n: int, alpha: float):
    assert power_of_a_t_test(detectable(n, 1.0, alpha), n, alpha) == pytest.approx(0.8, abs=1e-6)


def test_all_pairs_are_corrected_together():
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    found = corrected_pairs(np.array([0.01, 0.02, 0.5]), pairs, 4)
    assert (found[0, 1], found[1, 0], found[2, 0], found[1, 2]) == pytest.approx((0.03, 0.03, 0.04, 0.5))
    assert np.isnan(found[3]).all()


def test_paired_means_are_those_of_the_differences_on_texts_that_both_have():
    values = skewed(30, 3)
    weights = np.random.default_rng(1).integers(1, 9, (30, 3)).astype(float)
    values[[2, 5], [0, 1]] = NAN
    values[:, 2], both = NAN, [i for i in range(30) if i not in (2, 5)]
    found = paired_means(values, weights, np.array([[0, 1], [1, 0], [0, 2]]))
    expected = difference(values[:, 0], values[:, 1], weights[:, 0], weights[:, 1], flips=9).mean
    assert found[:2] == pytest.approx((expected, -expected), rel=1e-12)
    assert expected == pytest.approx(
        np.average(values[both, 0] - values[both, 1], weights=weights[both, :2].mean(axis=1)), rel=1e-12
    )
    assert math.isnan(found[2])
