"""Columns of one table do not meddle with each other, and missing values of a column not with its interval."""

import numpy as np
import pytest

from faithbench.statistics.intervals import intervals, resampled_means, standard_errors
from faithbench.statistics.paired_tests import flip_test


def draws(columns: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(20, columns)) * np.arange(1, columns + 1)


def test_standard_errors_of_columns_are_those_of_each_alone():
    values = draws(3)
    alone = [standard_errors(values[:, [i]], np.ones((20, 1)))[0] for i in range(3)]
    np.testing.assert_allclose(standard_errors(values, np.ones((20, 3))), alone, rtol=1e-12)


def test_resampled_means_keep_the_shape_of_their_resamples():
    values, rows = draws(2), np.random.default_rng(1).integers(0, 20, (3, 4, 20))
    found = resampled_means(rows, values, np.ones((20, 2)))
    assert found.shape == (3, 4, 2)
    np.testing.assert_allclose(found, values[rows].mean(axis=2), rtol=1e-12)


@pytest.mark.parametrize("missing", [0, 3])
def test_equal_values_are_constant_even_where_some_are_missing(missing):
    values = np.full((12, 2), 7.0)
    values[:missing, 0] = np.nan
    values[:, 1] = np.arange(12)
    found = intervals(values, np.ones((12, 2)))
    assert found.method[0] == "constant"
    assert (found.low[0], found.high[0]) == (7, 7)
    assert found.method[1] == "bca"


@pytest.mark.parametrize("n", [1, 5, 40])
def test_columns_of_zeros_are_not_different(n):
    values = np.zeros((n, 2))
    assert flip_test(values, np.ones((n, 2)), np.array([[0, 1]])) == pytest.approx([1.0])
