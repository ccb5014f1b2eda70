"""Intervals of the leader's lead at one of several looks: closed forms, published constants, slow versions."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from faithbench.statistics.sequential import Watch, lead, looks, spans
from faithbench.statistics.stratified import Strata, stratified_errors
from faithbench.statistics.verdicts import ALPHA

ONCE = Watch((100,), 100, (), 2 * ALPHA)  # one look, that has all of 5 %


def columns(*values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values with weights of 1, all measured."""
    stacked = np.stack(values, axis=1).astype(np.float64)
    return stacked, np.ones_like(stacked), np.ones_like(stacked, dtype=bool)


@pytest.mark.parametrize(
    ("total", "expected"),
    [(7, (7,)), (100, (100,)), (122, (122,)), (130, (100, 130)), (1924, (100, 150, 225, 338, 507, 761, 1142, 1924))],
)
def test_looks_grow_by_half_and_end_with_all_texts(total, expected):
    assert looks(total) == expected


@pytest.mark.parametrize(("several", "bound"), [(2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413), (10, 2.555)])
def test_levels_are_those_of_pocock_for_looks_after_equally_many_texts(several, bound):
    # Jennison and Turnbull 2000, Group Sequential Methods, table 2.1
    planned = tuple(100 * (i + 1) for i in range(several))
    level = Watch(planned, 100, (), 0.05 * (several + 1) / several).level()
    assert stats.norm.isf(level / 2) == pytest.approx(bound, abs=1e-3)


@pytest.mark.parametrize("tests", [1, 66])
def test_a_level_lies_between_bonferronis_and_one_without_correction(tests):
    planned = looks(10**6)
    level = Watch(planned, 100).level(tests)
    assert ALPHA / tests / (len(planned) + 1) < level < ALPHA / tests
    assert level == Watch(planned, 10**6).level(tests)


def test_all_looks_together_have_no_more_than_alpha():
    planned = looks(1924)
    others = tuple(range(101, 150))
    odd = sum(Watch(planned, n, others).level() for n in others)
    assert odd <= ALPHA / (len(planned) + 1)
    assert Watch(planned, 120, (110, 120)).level() == Watch(planned, 120, (110,)).level()
    generator = np.random.default_rng(0)
    sums = np.cumsum(generator.normal(0, np.sqrt(np.diff((0, *planned))), (40_000, len(planned))), axis=1)
    bound = stats.norm.isf(Watch(planned, 100).level() / 2)
    beyond = (np.abs(sums) > bound * np.sqrt(planned)).any(axis=1).mean()
    assert beyond == pytest.approx(ALPHA * len(planned) / (len(planned) + 1), abs=0.004)


def test_without_skewness_an_interval_is_students():
    values = np.arange(-20.0, 21.0)
    found = spans(*columns(values), None, 100.0, 0.01)
    half = stats.t.isf(0.005, 40) * values.std(ddof=1) / math.sqrt(41)
    assert (found.low[0], found.high[0]) == pytest.approx((-half, half))


def test_with_skewness_an_interval_holds_the_means_that_halls_statistic_does_not_refuse():
    values = np.random.default_rng(0).exponential(10, 60)
    found = spans(*columns(values), None, 1000.0, 0.01)
    n, error = len(values), values.std(ddof=1) / math.sqrt(len(values))
    skew = ((values - values.mean()) ** 3).mean() / values.var() ** 1.5 / math.sqrt(n) * (1 - 1 / n) ** 1.5

    def refused(mean: float) -> float:
        t = (values.mean() - mean) / error
        return t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6

    reach = stats.t.isf(0.005, n - 1)
    expected = [optimize.brentq(lambda mean, t=t: refused(mean) - t, -100, 200) for t in (reach, -reach)]
    assert [found.low[0], found.high[0]] == pytest.approx(expected, rel=1e-6)
    assert found.high[0] - values.mean() > values.mean() - found.low[0]
    mirrored = spans(*columns(-values), None, 1000.0, 0.01)
    assert (mirrored.low[0], mirrored.high[0]) == pytest.approx((-found.high[0], -found.low[0]))


def test_post_stratified_intervals_rest_on_the_standard_errors_of_tables():
    generator = np.random.default_rng(1)
    classes = generator.integers(0, 2, 200)
    values, weights, counted = columns(np.where(classes == 1, 60.0, 0.0) + generator.normal(0, 5, 200))
    strata = Strata(classes, np.array([0.7, 0.3]), 10_000)
    found = spans(values, weights, counted, strata, 1000.0)
    error = stratified_errors(values, weights, counted, strata)[0]
    assert found.width[0] == pytest.approx(2 * 1.97 * error, rel=0.02)
    assert found.mean[0] == pytest.approx(0.7 * values[classes == 0].mean() + 0.3 * values[classes == 1].mean())
    assert spans(values, weights, counted, None, 1000.0).width[0] > 4 * found.width[0]


def test_where_all_texts_are_alike_others_may_be_unseen():
    found = spans(*columns(np.zeros(100)), None, 50.0, 0.05)
    most = 50 * (1 - 0.025 ** (1 / 100))  # so many would be seen with 97.5 %
    assert (found.low[0], found.high[0]) == pytest.approx((-most, most))
    assert spans(*columns(np.zeros(1000)), None, 50.0, 0.05).width[0] == pytest.approx(found.width[0] / 10, rel=0.02)
    assert spans(*columns(np.zeros(100)), None, 0.0, 0.05).width[0] == 0


def test_where_few_texts_differ_an_interval_goes_as_far_as_that_many_may():
    values = np.r_[np.zeros(97), 100.0, 100.0, 100.0]
    found = spans(*columns(values), None, 100.0, 0.05)
    assert found.high[0] == pytest.approx(100 * stats.beta.isf(0.025, 4, 97))
    assert found.low[0] == pytest.approx(-100 * (1 - 0.025 ** (1 / 100)))


def test_of_fewer_than_two_values_nothing_is_known():
    values, weights, counted = columns(np.r_[1.0, np.full(9, np.nan)], np.full(10, np.nan))
    found = spans(values, weights, counted, None, 100.0)
    assert found.low.tolist() == [-np.inf] * 2
    assert found.high.tolist() == [np.inf] * 2
    assert spans(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 1), dtype=bool), None, 1.0).width[0] == np.inf


def test_undefined_values_are_left_out_of_differences_only():
    generator = np.random.default_rng(2)
    first, second = generator.normal(5, 1, 60), generator.normal(0, 1, 60)
    values, weights, counted = columns(first, np.where(np.arange(60) < 30, second, np.nan))
    found = lead(values, weights, counted, None, 1, 100.0, ONCE)
    assert found.span.mean[0] == pytest.approx((first - second)[:30].mean())


def test_the_leader_is_the_best_and_near_it_are_the_runner_up_and_whoever_is_not_behind():
    generator = np.random.default_rng(3)
    noise = generator.normal(0, 1, (200, 4))
    found = lead(*columns(*(noise + np.array([0.0, 9.9, 3.0, 10.0])).T), None, 1, 200.0, ONCE)
    assert found.leader in (1, 3)
    assert found.others.tolist() == [4 - found.leader, 2, 0]
    assert found.near.tolist() == [True, False, False]
    assert (found.span.mean[1:] > 6).all()
    worst = lead(*columns(*(noise + np.array([0.0, 9.9, 3.0, 10.0])).T), None, -1, 200.0, ONCE)
    assert (worst.leader, worst.others[0]) == (0, 2)
    assert worst.width == worst.span.width[0]
    assert (worst.span.mean < 0).all()


def test_intervals_are_wider_the_more_pairs_and_looks_there_are():
    values = np.random.default_rng(4).normal(0, 1, (200, 6))
    two = lead(*columns(*values.T[:2]), None, 1, 200.0, ONCE)
    six = lead(*columns(*values.T), None, 1, 200.0, ONCE)
    looked = lead(*columns(*values.T[:2]), None, 1, 200.0, Watch(looks(1924), 225))
    both = spans(*columns(values[:, two.leader] - values[:, two.others[0]]), None, 200.0)
    assert two.width == pytest.approx(both.width[0])
    assert looked.width > 1.3 * two.width
    fifteenth = spans(*columns(values[:, six.leader] - values[:, six.others[-1]]), None, 200.0, ALPHA / 15)
    assert six.span.width[-1] == pytest.approx(fifteenth.width[0])


@pytest.mark.slow
def test_intervals_hold_the_truth_where_texts_were_added_until_they_were_narrow():
    generator, planned, held, ends = np.random.default_rng(5), looks(760, start=40), 0, set()
    for _ in range(60):
        values = 100 * generator.beta(0.25, 2.5, (760, 4))
        for n in planned:
            found = lead(*columns(*values[:n].T), None, 1, 100.0, Watch(planned, n))
            if found.width <= 8:
                break
        ends.add(n)
        held += bool(((found.span.low <= 0) & (found.span.high >= 0)).all())
    assert held >= 52  # of 60 with 95 %, 3 standard errors below
    assert len(ends) > 1
