"""Correlation and R²: against scipy and by hand, over all tokens joined, and where they are not defined."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from faithbench_scores.correlating import calibration, correlated, explained, joined, ranks, simulation
from faithbench_scores.full import Full
from faithbench_scores.random_only import RandomOnly
from hypothesis import given, settings
from hypothesis import strategies as st
from neurons import Said, corpus, dead, neuron, noise, stuck, token_table, topic, unigram

from faithbench.activations import Recording, deviation, reason

NUMBERS = st.lists(st.integers(-40, 40).map(lambda number: number / 8), min_size=3, max_size=30)
SCALES = st.integers(1, 10_000).map(lambda number: number / 100)


def pair(count, seed=0):
    draws = np.random.default_rng(seed)
    one = np.maximum(0, draws.normal(size=count))
    return one, np.round(one + draws.normal(size=count), 1)


@settings(max_examples=25)
@given(NUMBERS, st.randoms(use_true_random=False))
def test_correlations_are_those_of_scipy(numbers, random):
    one, other = np.array(numbers), np.array(random.sample(numbers, len(numbers)))
    if not deviation(one):
        return
    assert correlated(one, other).value == pytest.approx(100 * scipy.stats.pearsonr(one, other).statistic, abs=1e-9)
    due = 100 * scipy.stats.spearmanr(one, other).statistic
    assert correlated(one, other, "spearman").value == pytest.approx(due, abs=1e-9)
    assert list(ranks(one)) == list(scipy.stats.rankdata(one))


@settings(max_examples=25)
@given(NUMBERS, SCALES, st.integers(-1000, 1000), st.randoms(use_true_random=False))
def test_the_scale_of_a_simulation_is_of_no_account(numbers, slope, height, random):
    one, other = np.array(numbers), np.array(random.sample(numbers, len(numbers)))
    for form in ("pearson", "spearman"):
        plain, scaled = correlated(one, other, form), correlated(one, slope * other + height, form)
        turned = correlated(one, height - slope * other, form)
        assert plain.value == pytest.approx(scaled.value, abs=1e-6, nan_ok=True)
        assert plain.value == pytest.approx(-turned.value, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_no_size_of_numbers_is_too_small_or_too_large(size):
    one, other = pair(50)
    assert correlated(size * one, other / size).value == pytest.approx(correlated(one, other).value, rel=1e-12)
    assert deviation(size * one) == pytest.approx(size * one.std(), rel=1e-12) if size > 1e-150 else True


def test_tokens_are_joined_and_windows_are_not_averaged():
    """Two windows, each simulated in perfect order about its own level, whose levels are the wrong way round."""
    windows = corpus().take(np.array([0, 1]))
    small = np.arange(windows.ids.shape[1]) / 100
    unit = neuron(dead)
    unit = replace(unit, evaluate=Recording(windows, np.stack([small, 9 + small])))
    found = Full()(unit, Said(lambda windows: np.stack([9 + small, small])[: len(windows)]))
    assert found.value == pytest.approx(-100, abs=1)
    alone = [np.corrcoef(row, small)[0, 1] for row in unit.evaluate.activations]
    assert np.mean(alone) == pytest.approx(1)


@pytest.mark.parametrize("rule", [dead, stuck])
def test_a_constant_has_no_correlation_and_says_so(rule):
    told = correlated(*(joined([rule(corpus())]), joined([unigram(corpus())])))
    assert math.isnan(told.value)
    assert told.parts[0] == 0
    assert reason(told.parts) == "activations constant"
    told = correlated(*(joined([unigram(corpus())]), joined([rule(corpus())])))
    assert math.isnan(told.value)
    assert told.parts[1:] == (0, corpus().ids.size)
    assert reason(told.parts) == "simulation constant"


def test_what_differs_by_rounding_alone_is_constant():
    tenths = np.full(1000, 0.1)
    assert tenths.std() > 0  # numpy's own, by 1e-17
    assert deviation(tenths) == 0
    sums = np.array([sum([0.1] * count) / count for count in range(1, 1000)])
    assert 0 < np.ptp(sums) < 1e-14
    assert deviation(sums) == 0
    single = np.float32(0.1) * np.ones(1000, dtype=np.float32) * (1 + np.finfo(np.float32).eps * (np.arange(1000) % 3))
    assert np.ptp(single) > 0
    assert deviation(single) == 0


def test_a_single_step_of_half_precision_is_not_constant():
    values = np.full(100_000, 5, dtype=np.float16)
    values[7] = np.nextafter(np.float16(5), np.float16(6))
    step = float(values[7]) - 5
    assert deviation(values) == pytest.approx(step * math.sqrt(1e-5), rel=1e-4)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((0.0, 0.0, 0.0), "no windows"),
        ((0.0, 0.0, 640.0), "activations constant"),
        ((0.0, 1.0, 640.0), "activations constant"),
        ((1.0, 0.0, 640.0), "simulation constant"),
        ((1.0, 1.0, 640.0, math.nan, 0.0), "the mean in its place changes nothing"),
        ((1.0, 0.0, 640.0, math.nan, 0.0), "the mean in its place changes nothing"),
        ((1.0, 1.0, 640.0), ""),
        ((1.0, 1.0, 640.0, 0.1, 0.2), ""),
        ((0.0, 1.0), "activations constant"),
        ((), ""),
    ],
)
def test_the_reason_of_a_nan_can_be_told_from_parts(parts, words):
    assert reason(parts) == words


def test_r2_is_that_of_the_line_fitted_on_what_is_there_to_calibrate_by():
    unit = neuron(topic)
    description = token_table(unit.fit)
    found = Full("r2")(unit, description)
    fitted = scipy.stats.linregress(
        description.simulate(unit.calibrate.windows).ravel(), unit.calibrate.activations.ravel()
    )
    actual = unit.evaluate.activations.ravel()
    guess = fitted.slope * description.simulate(unit.evaluate.windows).ravel() + fitted.intercept
    assert found.value == pytest.approx(
        100 * (1 - ((actual - guess) ** 2).sum() / ((actual - actual.mean()) ** 2).sum())
    )
    assert found.value < Full()(unit, description).value ** 2 / 100  # no line does better than the one of these windows


def test_r2_of_a_simulation_on_any_scale_is_the_same_and_of_a_wrong_one_is_negative():
    unit = neuron(noise)
    assert Full("r2")(unit, Said(lambda windows: 40 - 3 * noise(windows))).value == pytest.approx(100)
    wrong = explained(np.array([0.0, 1.0]), np.array([0.0, 1.0]), (-1.0, 1.0))
    assert wrong.value == pytest.approx(-300)
    assert Full("r2").range == (-math.inf, 100)


def test_r2_of_a_constant_simulation_is_that_of_a_mean_of_other_documents():
    unit = neuron(unigram)
    found = Full("r2")(unit, Said(stuck))
    gap = unit.evaluate.activations.mean() - unit.calibrate.activations.mean()
    assert found.value == pytest.approx(-100 * gap**2 / unit.evaluate.activations.var())
    assert found.parts[1] == 0
    assert calibration(unit.calibrate, Said(stuck)) == (0, pytest.approx(unit.calibrate.activations.mean()))
    assert math.isnan(Full("r2")(neuron(dead), Said(unigram)).value)


def test_without_documents_to_calibrate_by_r2_is_not_defined():
    unit = neuron(unigram)
    unit = replace(unit, calibrate=unit.calibrate.take(np.empty(0, dtype=int)))
    found = Full("r2")(unit, Said(unigram))
    assert math.isnan(found.value)
    assert reason(found.parts) == "no windows"
    assert Full()(unit, Said(unigram)).value == pytest.approx(100)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda windows: np.zeros(len(windows)), "the simulation has the shape"),
        (lambda windows: np.full(windows.ids.shape, np.nan), "not finite"),
        (lambda windows: np.full(windows.ids.shape, np.inf), "not finite"),
    ],
)
def test_a_simulation_that_is_none_is_an_error_of_the_description(rule, words):
    with pytest.raises(ValueError, match=words):
        RandomOnly()(neuron(unigram), Said(rule))


def test_what_a_description_gives_is_not_written_into():
    given = unigram(corpus())
    values = simulation(Said(lambda windows: given), corpus())
    values -= 1
    assert np.array_equal(given, unigram(corpus()))
