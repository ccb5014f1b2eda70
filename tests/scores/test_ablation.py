"""Ablation: what a description keeps of what a neuron does, asked of a model that is a formula."""

import math
from dataclasses import replace

import numpy as np
import pytest
from faithbench_scores.ablation import LEAST, Ablation
from faithbench_scores.fitted import Fitted
from neurons import Said, dead, gelu, neuron, noise, stuck, token_table, unigram

from faithbench.activations import Overwritten, reason


def asked(asking, answer):
    """The measurement, and the questions on the way to it."""
    questions = []
    try:
        question = next(asking)
        while True:
            questions.append(question)
            assert isinstance(question, Overwritten)
            question = asking.send(answer(question))
    except StopIteration as stop:
        return stop.value, questions


def square(rule, size=0.01):
    """A divergence that grows with the square of the distance from what the neuron does."""
    return lambda question: size * (question.values - rule(question.windows)) ** 2


def test_it_is_one_minus_a_ratio_of_divergences():
    unit, score = neuron(gelu), Ablation(30)
    description = token_table(unit.fit)
    found, (by_mean, by_simulation) = asked(score(unit, description), square(gelu))
    assert len(by_mean.windows) == 30
    assert np.array_equal(by_mean.windows.ids, by_simulation.windows.ids)
    assert set(by_mean.windows.documents) <= set(unit.evaluate.windows.documents)
    mean = unit.calibrate.activations.mean()
    assert np.allclose(by_mean.values, mean)
    actual = gelu(by_mean.windows)
    line = np.polyfit(description.simulate(unit.calibrate.windows).ravel(), unit.calibrate.activations.ravel(), 1)
    assert np.allclose(by_simulation.values, np.polyval(line, description.simulate(by_mean.windows)))
    worth, base = np.mean((by_simulation.values - actual) ** 2), np.mean((actual - mean) ** 2)
    assert found.value == pytest.approx(100 * (1 - worth / base))
    assert found.weight == pytest.approx(0.01 * base)
    assert found.parts[2:] == pytest.approx((30 * 32, 0.01 * worth, 0.01 * base))


def test_a_perfect_simulation_on_any_scale_keeps_all():
    found, _ = asked(Ablation()(neuron(gelu), Said(lambda windows: 3 - 2 * gelu(windows))), square(gelu))
    assert found.value == pytest.approx(100)


def test_a_constant_keeps_exactly_nothing():
    found, _ = asked(Ablation()(neuron(gelu), Said(stuck)), square(gelu))
    assert found.value == pytest.approx(0, abs=1e-9)
    assert found.parts[1] == 0
    assert found.weight > 0


def test_a_description_that_does_harm_is_negative():
    unit = neuron(unigram)
    wrong = replace(unit, calibrate=replace(unit.calibrate, activations=-unit.calibrate.activations))
    found, _ = asked(Ablation()(wrong, Said(unigram)), square(unigram))
    assert found.value < -100


@pytest.mark.parametrize("answer", [0.0, LEAST / 10])
def test_a_neuron_whose_mean_changes_nothing_is_not_defined_and_is_asked_about_once(answer):
    unit = neuron(gelu)
    found, questions = asked(Ablation()(unit, Said(gelu)), lambda question: np.full(question.values.shape, answer))
    assert math.isnan(found.value)
    assert found.weight == 0
    assert len(questions) == 1
    assert reason(found.parts) == "the mean in its place changes nothing"
    found, _ = asked(Ablation()(neuron(dead), Said(noise)), square(dead))
    assert math.isnan(found.value)
    assert reason(found.parts) == "activations constant"


def test_means_over_neurons_are_ratios_of_means():
    strong, weak = (asked(Ablation()(neuron(gelu), token_table(neuron(gelu).fit)), square(gelu, s))[0] for s in (1, 2))
    none = asked(Ablation()(neuron(gelu), Said(stuck)), square(gelu, 3))[0]
    every = (strong, weak, none)
    mean = sum(one.value * one.weight for one in every) / sum(one.weight for one in every)
    kept, lost = (sum(one.parts[place] for one in every) for place in (3, 4))
    assert mean == pytest.approx(100 * (1 - kept / lost))


@pytest.mark.parametrize("part", ["calibrate", "evaluate"])
def test_without_windows_nothing_is_asked(part):
    unit = neuron(gelu)
    unit = replace(unit, **{part: getattr(unit, part).take(np.empty(0, dtype=int))})
    found, questions = asked(Ablation()(unit, Said(gelu)), square(gelu))
    assert math.isnan(found.value)
    assert not questions
    assert reason(found.parts) == "no windows"


def test_it_can_be_asked_of_the_documents_that_were_fitted():
    unit = neuron(gelu)
    found, questions = asked(Fitted("ablation")(unit, Said(gelu)), square(gelu))
    assert found.value == pytest.approx(100)
    assert set(questions[0].windows.documents) <= set(unit.fit.windows.documents)
