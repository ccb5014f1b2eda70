"""What is shown of columns: who is compared on what, who is tied, what is equal, what is negligible."""

import math
from itertools import product

import numpy as np
import pytest

from faithbench.statistics.paired_tests import flip_test, holm
from faithbench.statistics.verdicts import (
    ALPHA,
    NEGLIGIBLE,
    common_texts,
    enough_values,
    equal_columns,
    is_negligible,
    least_texts,
    tie_groups,
    width_of,
)

NAN = math.nan


def held(n: int, *sets: range) -> np.ndarray:
    found = np.zeros((n, len(sets)), dtype=bool)
    for column, texts in enumerate(sets):
        found[list(texts), column] = True
    return found


@pytest.mark.parametrize("pairs", [1, 3, 6, 10, 28, 45, 78])
def test_the_least_texts_are_the_first_on_which_a_corrected_test_shows_anything(pairs: int):
    n = least_texts(pairs)
    assert pairs * 2.0 ** (1 - n) < ALPHA <= pairs * 2.0 ** (2 - n)
    if n <= 10:  # all signs are gone through
        values = np.stack([np.ones(n), np.zeros(n)], axis=1)
        for texts, shown in ((n, True), (n - 1, False)):
            smallest = flip_test(values[:texts], np.ones((texts, 2)), np.array([[0, 1]]))[0]
            assert (holm(np.array([smallest] + [1.0] * (pairs - 1))).min() < ALPHA) == shown
    assert least_texts(0) == 1


def test_columns_are_compared_on_the_texts_of_the_fullest():
    found = common_texts(held(9, range(8), range(8), range(2)))
    np.testing.assert_array_equal(found, held(9, range(8))[:, 0])
    np.testing.assert_array_equal(common_texts(held(4, range(3))), held(4, range(3))[:, 0])
    assert not common_texts(held(4, range(0), range(0))).any()


def test_a_text_that_one_column_alone_has_costs_the_others_no_rank():
    one_more = common_texts(held(20, range(20), range(19), range(19), range(4)))
    np.testing.assert_array_equal(one_more, held(20, range(19))[:, 0])
    many_more = common_texts(held(20, range(20), range(10), range(10)))
    assert many_more.all()  # the others have fewer
    apart = common_texts(held(20, range(10), range(10, 20)))
    assert apart.sum() == 10  # one of them: the two have nothing in common


def test_undefined_values_leave_a_column_measured_unless_they_are_most():
    measured = held(40, range(40), range(40), range(40), range(39))
    defined = held(40, range(40), range(25), range(19), range(39))
    np.testing.assert_array_equal(enough_values(measured, defined, 6), [True, True, False, False])
    np.testing.assert_array_equal(enough_values(measured, defined, 30), [True, False, False, False])
    assert not enough_values(measured, np.zeros_like(defined), 1).any()


def test_nobody_shares_a_group_with_one_that_beats_it():
    scores = np.array([9.0, 8.0, 7.0, NAN])
    beats = np.zeros((4, 4), dtype=bool)
    beats[1, 2] = True  # the best, whose values are few or scattered, is tied with both
    tied = ~(beats | beats.T)
    np.testing.assert_array_equal(tie_groups(scores, beats, tied), [1, 1, 2, 0])
    np.testing.assert_array_equal(tie_groups(scores, beats & False, tied | True), [1, 1, 1, 0])


def test_nobody_leads_a_group_before_one_that_beats_it():
    beats = np.array([[False, False], [True, False]])  # means over other texts say the reverse
    np.testing.assert_array_equal(tie_groups(np.array([9.0, 8.0]), beats, ~(beats | beats.T)), [2, 1])


@pytest.mark.parametrize("seed", range(20))
def test_within_groups_all_are_tied_and_each_later_one_is_apart_from_one_before(seed: int):
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=7)
    apart = np.triu(generator.random((7, 7)) < 0.4, 1)
    apart |= apart.T
    beats = apart & (scores[:, None] > scores)
    groups = tie_groups(scores, beats, ~apart)
    assert sorted(set(groups)) == list(range(1, groups.max() + 1))
    for i, j in product(range(7), repeat=2):
        assert not (groups[i] == groups[j] and apart[i, j])
    for i in np.flatnonzero(groups > 1):
        assert apart[i, groups == groups[i] - 1].any()


def test_what_could_not_be_compared_is_not_tied():
    nothing = np.zeros((2, 2), dtype=bool)
    np.testing.assert_array_equal(tie_groups(np.array([2.0, 1.0]), nothing, nothing), [1, 2])


@pytest.mark.parametrize("scale", [1.0, 0.01, 250.0])
def test_what_is_negligible_follows_the_unit(scale: float):
    width = width_of((0.0, 100 * scale), np.array([]))
    gaps = scale * 100 * NEGLIGIBLE * np.array([0.9, 1.1, -0.9, -1.1])
    np.testing.assert_array_equal(is_negligible(gaps, np.full(4, width)), [True, False, True, False])


def test_a_range_without_ends_is_that_of_most_values():
    values = np.append(np.linspace(0.0, 1.0, 1001), [NAN, 1e9])
    for limits in (None, (0.0, math.inf)):
        assert width_of(limits, values) == pytest.approx(0.9, abs=0.01)
    assert width_of(None, np.array([NAN])) == 0.0
    np.testing.assert_array_equal(is_negligible(np.array([0.0, 1e-300]), np.zeros(2)), [True, False])


def test_equal_columns_are_found_by_their_values_whatever_is_missing():
    base = np.random.default_rng(0).normal(50, 10, (20, 2))
    same = base + 1e-5
    same[:3], same[7, 1] = NAN, NAN
    other = base.copy()
    other[11, 1] += 1.0  # on one text by one metric
    few = np.full((20, 2), NAN)
    few[:4] = base[:4]  # equal, on too few texts to tell
    values = np.stack([base, other, same, few], axis=1)
    np.testing.assert_array_equal(equal_columns(values, np.array([100.0, 100.0])), [0, 1, 0, 3])


def test_metrics_by_which_all_texts_are_alike_do_not_make_columns_equal():
    ceiling = np.full((20, 2, 1), 100.0)
    np.testing.assert_array_equal(equal_columns(ceiling, np.array([100.0])), [0, 1])
