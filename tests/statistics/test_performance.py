"""Accuracy, macro F1 and R² against scikit-learn; chance against the binomial distribution written out."""

from math import comb

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, r2_score

from faithbench.statistics.performance import (
    accuracy_interval,
    is_above_chance,
    of_choices,
    of_classes,
    of_labels,
    of_values,
)

DRAWS = np.random.default_rng(0)


def test_classes_are_judged_as_scikit_learn_does():
    labels, predicted = DRAWS.integers(0, 4, 50), DRAWS.integers(0, 3, 50)
    found = of_classes(predicted, labels)
    assert found["accuracy"] == pytest.approx(100 * accuracy_score(labels, predicted))
    assert found["macro F1"] == pytest.approx(100 * f1_score(labels, predicted, average="macro"))
    assert found["chance"] == 100 * np.bincount(labels).max() / 50


def test_labels_are_judged_as_scikit_learn_does():
    labels, predicted = DRAWS.random((40, 3)) > 0.6, DRAWS.random((40, 3)) > 0.4
    found = of_labels(predicted, labels)
    assert found["subset accuracy"] == pytest.approx(100 * accuracy_score(labels, predicted))
    assert found["macro F1"] == pytest.approx(100 * f1_score(labels, predicted, average="macro"))
    assert found["chance"] == 100 * np.unique(labels, axis=0, return_counts=True)[1].max() / 40


def test_values_are_judged_as_scikit_learn_does():
    values = DRAWS.normal(size=30)
    predicted = values + DRAWS.normal(size=30)
    assert of_values(predicted, values)["R²"] == pytest.approx(r2_score(values, predicted))
    assert of_values(predicted, np.ones(30)) == {}


def test_chance_is_left_behind_where_it_would_be_so_good_in_one_case_of_twenty_at_most():
    n, p = 20, 0.6
    tails = {right: sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(right, n + 1)) for right in range(n + 1)}
    for right, tail in tails.items():
        found = {"accuracy": 100 * right / n, "chance": 100 * p, "labelled": n}
        assert is_above_chance(found) == (tail <= 0.05), right
    assert {right for right, tail in tails.items() if tail <= 0.05} == set(range(17, 21))


def test_nothing_is_doubted_that_cannot_be_shown():
    assert is_above_chance({"accuracy": 0.0, "chance": 100.0, "labelled": 9})
    assert is_above_chance({"R²": 0.1, "labelled": 9})
    assert not is_above_chance({"R²": 0.0, "labelled": 9})


def test_choices_between_two_are_right_where_the_first_is_strictly_preferred():
    logits = np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 2.0], [3.0, 2.5]])
    assert of_choices(logits) == {"accuracy": 50.0, "chance": 50.0}
    assert is_above_chance({**of_choices(logits[[0, 3] * 4]), "labelled": 8})
    assert not is_above_chance({**of_choices(logits), "labelled": 4})


@pytest.mark.parametrize(("right", "n"), [(0, 9), (9, 9), (30, 50), (61, 100)])
def test_an_accuracy_has_the_interval_whose_ends_leave_a_fortieth_on_either_side(right, n):
    low, high = accuracy_interval(right, n)

    def tail(p, counts):
        return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in counts)

    assert low == 0 if right == 0 else tail(low / 100, range(right, n + 1)) == pytest.approx(0.025, abs=1e-6)
    assert high == 100 if right == n else tail(high / 100, range(right + 1)) == pytest.approx(0.025, abs=1e-6)
    assert np.isnan(accuracy_interval(0, 0)).all()
