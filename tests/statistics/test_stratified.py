"""Post-stratified means against a slow version and closed forms, and on a population in which the class decides."""

import math

import numpy as np
import pytest
from scipy import stats

from faithbench.statistics.intervals import intervals, standard_errors, weighted_mean
from faithbench.statistics.stratified import Strata, stratified_errors, stratified_intervals

NAN = math.nan
SHARES = np.array([0.6, 0.3, 0.1])


def drawn(n: int, seed: int = 0, shares: np.ndarray = SHARES) -> tuple[np.ndarray, np.ndarray]:
    """Classes of texts and one column of values: the class decides 93 % of their variance."""
    generator = np.random.default_rng(seed)
    classes = generator.choice(len(shares), n, p=shares)
    centres = np.array([-8.0, 68.0, 30.0])[: len(shares)]
    return classes, (centres[classes] + 9.4 * generator.standard_normal(n))[:, None]


def slow_mean(values, weights, counted, strata: Strata) -> float:
    """As it is defined: each class's sums over its measured texts, times its share, then a ratio."""
    above = below = 0.0
    for number, share in enumerate(strata.shares):
        members = [i for i, mine in enumerate(strata.of_texts) if mine == number and counted[i]]
        for i in members:
            weight = 1.0 if math.isnan(weights[i]) else weights[i]
            if math.isfinite(values[i]) and weight > 0:
                above += share / len(members) * weight * values[i]
                below += share / len(members) * weight
    return above / below


def fast_mean(values, weights, counted, strata: Strata) -> np.ndarray:
    return weighted_mean(values, np.where(np.isnan(weights), 1.0, weights) * strata.factors(counted))


def all_of(values: np.ndarray) -> np.ndarray:
    return np.ones(values.shape, dtype=bool)


@pytest.mark.parametrize("seed", range(4))
def test_the_mean_is_that_of_the_slow_version(seed: int):
    generator = np.random.default_rng(seed)
    classes, values = drawn(60, seed)
    weights = generator.integers(0, 5, values.shape).astype(float)
    values[generator.random(values.shape) < 0.2], weights[3] = NAN, NAN
    counted = generator.random(values.shape) < 0.9
    values = np.where(counted, values, NAN)
    strata = Strata(classes, SHARES, 500)
    assert strata.usable(counted).all()
    expected = slow_mean(values[:, 0], weights[:, 0], counted[:, 0], strata)
    assert fast_mean(values, weights, counted, strata)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("times", [0.1, 0.3, 0.7, 1 / 3])
@pytest.mark.parametrize("n", [400, 2048])
def test_an_interval_does_not_depend_on_the_last_digits_of_its_sums(n: int, times: float):
    """Of values that the class decides, as positive rates, many resamples have the mean of the sample."""
    classes = np.random.default_rng(0).integers(0, 2, n)
    values, strata = 100.0 * (classes == 1)[:, None], Strata(classes, np.bincount(classes) / n, n)
    exact = stratified_intervals(values, np.ones_like(values), all_of(values), strata)
    rounded = stratified_intervals(values, np.full_like(values, times), all_of(values), strata)
    np.testing.assert_allclose([rounded.low, rounded.high], [exact.low, exact.high], rtol=1e-8)


def test_without_weights_it_is_the_sum_of_shares_times_class_means():
    classes, values = drawn(50)
    means = [values[classes == number].mean() for number in range(3)]
    found = fast_mean(values, np.ones_like(values), all_of(values), Strata(classes, SHARES, 500))
    assert found[0] == pytest.approx(SHARES @ means, rel=1e-12)


def test_the_shares_of_the_sample_change_nothing():
    classes, values = drawn(50)
    strata = Strata(classes, np.bincount(classes) / 50, 50)
    ones = np.ones_like(values)
    assert fast_mean(values, ones, all_of(values), strata)[0] == pytest.approx(values.mean(), rel=1e-12)
    error = stratified_errors(values, ones, all_of(values), strata)[0]
    assert error == pytest.approx(standard_errors(values, ones)[0], rel=0.01)


def test_a_value_that_only_one_class_has_is_not_of_the_others_share():
    """Where a metric is undefined the text stands for such texts: of texts with a value the shares are others."""
    classes = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    values = np.array([10.0, NAN, NAN, NAN, 50.0, 50.0, 50.0, NAN])[:, None]
    strata = Strata(classes, np.array([0.8, 0.2]), 100)
    found = fast_mean(values, np.ones_like(values), all_of(values), strata)[0]
    assert found == pytest.approx((0.8 / 4 * 10 + 0.2 / 4 * 150) / (0.8 / 4 + 0.2 * 3 / 4))


def test_the_standard_error_is_the_closed_form():
    classes, values = drawn(70)
    strata, total = Strata(classes, SHARES, 400), 0.0
    mean = fast_mean(values, np.ones_like(values), all_of(values), strata)[0]
    for number, share in enumerate(SHARES):
        mine = values[classes == number, 0]
        total += share**2 * mine.var(ddof=1) / len(mine) + share * (mine.mean() - mean) ** 2 / 400
    found = stratified_errors(values, np.ones_like(values), all_of(values), strata)[0]
    assert found == pytest.approx(math.sqrt(total), rel=1e-12)


def slow_draws(values, weights, strata: Strata, resamples: int) -> np.ndarray:
    """The bootstrap as it is described, one resample at a time."""
    generator, found = np.random.default_rng(99), []
    for _ in range(resamples):
        shares = np.bincount(generator.choice(len(strata.shares), strata.known, p=strata.shares), minlength=3)
        above = below = 0.0
        for number in range(len(strata.shares)):
            mine = np.flatnonzero(strata.of_texts == number)
            rows = generator.choice(mine, len(mine) - 1)
            above += shares[number] * (weights[rows] * values[rows]).mean()
            below += shares[number] * weights[rows].mean()
        found.append(above / below)
    return np.array(found)


def test_the_interval_is_about_that_of_the_slow_bootstrap():
    classes, values = drawn(90)
    weights = np.random.default_rng(1).integers(1, 4, values.shape).astype(float)
    strata = Strata(classes, SHARES, 300)
    found = stratified_intervals(values, weights, all_of(values), strata, resamples=6000)
    slow = slow_draws(values[:, 0], weights[:, 0], strata, 6000)
    low, high = np.percentile(slow, [2.5, 97.5])
    assert found.method == ("bca",)
    assert [found.low[0], found.high[0]] == pytest.approx([low, high], abs=0.08 * (high - low))
    error = stratified_errors(values, weights, all_of(values), strata)[0]
    assert error == pytest.approx(slow.std(), rel=0.05)


def test_small_samples_are_right_where_the_class_decides_and_intervals_hold_what_they_promise():
    split, values = drawn(1924, 5, np.array([0.62, 0.38]))
    share = np.bincount(split) / len(split)
    truth = 0.62 * -8 + 0.38 * 68
    off, held, width = {"raw": [], "post": []}, [], []
    for seed in range(150):
        rows = np.random.default_rng(seed).choice(1924, 40, replace=False)
        strata, mine = Strata(split[rows], share, 1924), values[rows]
        off["raw"].append(mine.mean() - values.mean())
        off["post"].append(fast_mean(mine, np.ones_like(mine), all_of(mine), strata)[0] - values.mean())
        found = stratified_intervals(mine, np.ones_like(mine), all_of(mine), strata, resamples=299)
        held.append(found.low[0] <= truth <= found.high[0])
        usual = intervals(mine, np.ones_like(mine), "normal")
        width.append((found.high[0] - found.low[0]) / (usual.high[0] - usual.low[0]))
    raw, post = (np.std(off[name]) for name in ("raw", "post"))
    assert (raw, post) == (pytest.approx(6, abs=1), pytest.approx(1.5, abs=0.3))
    assert np.mean(held) > 0.89
    assert np.mean(width) < 0.4


@pytest.mark.parametrize(
    ("classes", "shares", "usable"),
    [
        ([0, 0, 1, 1], [0.5, 0.5], True),
        ([0, 0, 0, 0], [1.0, 0.0], True),
        ([0, 0, 0, 0], [0.9, 0.1], False),  # a class of which there is no text
        ([0, 0, 0, 1], [0.9, 0.1], False),  # one text does not say how much a class varies
        ([0, 0, 1, 1], [1.0, 0.0], False),  # a class that the split is said not to have
        ([0, 0, 1, -1], [0.5, 0.5], False),
    ],
)
def test_the_raw_mean_stands_where_shares_and_texts_do_not_meet(classes, shares, usable: bool):
    strata, counted = Strata(np.array(classes), np.array(shares), 10), np.ones((4, 1), dtype=bool)
    assert strata.usable(counted).tolist() == [usable]
    if not usable:
        assert (strata.factors(counted) == 1).all()


def test_columns_do_not_disturb_each_other():
    classes, values = drawn(60)
    values = np.concatenate([values, values**2, values], axis=1)
    counted = all_of(values)
    counted[:20, 2] = False
    values[:20, 2] = NAN
    strata, weights = Strata(classes, SHARES, 300), np.ones_like(values)
    whole = stratified_intervals(values, weights, counted, strata)
    for i in range(3):
        alone = stratified_intervals(values[:, [i]], weights[:, [i]], counted[:, [i]], strata)
        assert [whole.low[i], whole.high[i]] == pytest.approx([alone.low[0], alone.high[0]], rel=1e-12)


def test_few_equal_and_undefined_values():
    classes = np.array([0, 0, 1, 1])
    values = np.array([[5.0, 1.0, NAN], [5.0, NAN, NAN], [5.0, NAN, NAN], [5.0, NAN, NAN]])
    found = stratified_intervals(values, np.ones_like(values), all_of(values), Strata(classes, SHARES[:2] / 0.9, 10))
    assert found.method == ("constant", "none", "none")
    assert (found.low[0], found.high[0]) == (5, 5)
    assert np.isnan([*found.low[1:], *found.high[1:]]).all()


def test_with_nine_texts_it_is_the_percentile_interval_as_far_as_students_t():
    classes = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
    values = np.random.default_rng(0).normal(size=(9, 1))
    strata = Strata(classes, np.array([0.5, 0.5]), 10_000)
    found = stratified_intervals(values, np.ones_like(values), all_of(values), strata, resamples=9999)
    error = stratified_errors(values, np.ones_like(values), all_of(values), strata)[0]
    assert found.method == ("percentile",)
    assert (found.high[0] - found.low[0]) / error > 2 * stats.norm.isf(0.025) * 1.05
