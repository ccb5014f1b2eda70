"""Neurons matched by density: pairs against all ways there are, and scores that depend on density alone."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from faithbench.statistics.density import (
    CALIPER,
    DECILES,
    decile_edges,
    deciles,
    matched,
    matched_gap,
    means_by_decile,
    unmatched_gap,
)


def slowly_matched(first, second):
    """The number of pairs and the sum of distances of the best of all ways, decile by decile."""
    edges = np.quantile(np.concatenate([first, second]), np.arange(1, DECILES) / DECILES)
    count, total = 0, 0.0
    for decile in range(DECILES):
        own = [[x for x in side if (edges < x).sum() == decile] for side in (first, second)]
        few, many = sorted(own, key=len)
        ways = [
            [d for d in (abs(np.log10(a) - np.log10(b)) for a, b in zip(few, way, strict=False)) if d <= CALIPER]
            for way in permutations(many, len(few))
        ]
        best = min(ways, key=lambda way: (-len(way), sum(way)))
        count, total = count + len(best), total + sum(best)
    return count, total


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_the_most_and_the_nearest_of_all_ways(seed):
    draws = np.random.default_rng(seed)
    first, second = 10 ** draws.uniform(-3, 0, 14), 10 ** draws.uniform(-3, 0, 12)
    pairs = matched(first, second)
    apart = np.abs(np.log10(first[pairs[:, 0]]) - np.log10(second[pairs[:, 1]]))
    assert (len(pairs), pytest.approx(apart.sum())) == slowly_matched(first, second)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    assert (apart <= CALIPER).all()


def test_neurons_that_never_fire_are_in_no_pair_and_in_no_decile():
    density = np.array([0.0, 0.1, 0.2])
    assert not (matched(density, density)[:, 0] == 0).any()
    assert deciles(density, decile_edges(density))[0] == -1
    assert matched(np.zeros(3), np.zeros(3)).shape == (0, 2)


def test_deciles_hold_as_many_neurons_each_and_their_means():
    draws = np.random.default_rng(0)
    density, scores = draws.uniform(0.01, 1, 1000), draws.normal(size=1000)
    scores[density.argmin()] = np.nan
    places = deciles(density, decile_edges(density))
    assert (np.bincount(places) == 100).all()
    means, counts = means_by_decile(scores, places)
    assert counts.tolist() == [99] + [100] * 9
    order = density.argsort()
    assert means[1:] == pytest.approx([scores[order[i : i + 100]].mean() for i in range(100, 1000, 100)])


def by_density(draws, centre, n=400):
    """Neurons whose score is a function of how often they fire, and chance."""
    density = 10 ** np.clip(draws.normal(centre, 0.5, n), -4, 0)
    return density, 20 * np.log10(density) + 80 + draws.normal(0, 3, n)


def test_what_density_alone_makes_is_gone_at_equal_density():
    draws = np.random.default_rng(1)
    (first, one), (second, other) = by_density(draws, -1.0), by_density(draws, -1.5)
    apart, pairs = unmatched_gap(one, other), matched(first, second)
    together = matched_gap(np.stack([one[pairs[:, 0]], other[pairs[:, 1]]], axis=1))
    assert apart.low > 5
    assert together.low < 0 < together.high
    assert together.n > 150


def test_what_density_does_not_make_is_left_at_equal_density():
    draws = np.random.default_rng(2)
    (first, one), (second, other) = by_density(draws, -1.2), by_density(draws, -1.2)
    pairs = matched(first, second)
    together = matched_gap(np.stack([one[pairs[:, 0]] + 4, other[pairs[:, 1]]], axis=1))
    assert together.low > 3


def test_the_interval_of_two_samples_is_that_of_welch():
    draws = np.random.default_rng(3)
    one, other = draws.normal(1, 1, 200), draws.normal(0, 3, 80)
    found, welch = unmatched_gap(one, other), stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high))
    assert found.mean == pytest.approx(one.mean() - other.mean())


def test_a_gap_of_too_few_has_no_interval():
    assert np.isnan(unmatched_gap(np.array([np.nan]), np.ones(3)).mean)
    assert np.isnan(unmatched_gap(np.ones(1), np.ones(3)).low)
    assert unmatched_gap(np.full(3, 2.0), np.ones(3)).low == 1.0
    assert matched_gap(np.array([[1.0, np.nan]])).n == 0


def test_weighted_means_differ_with_an_interval_that_covers_as_often_as_it_says():
    draws, held, tries = np.random.default_rng(4), np.zeros(2), 100
    for _ in range(tries):
        weights = draws.gamma(2, size=(100, 2))
        scores = 50 + draws.normal(0, 10, (100, 2)) + 5 * weights  # of which the weighted means are 50 + 5 · 3
        gaps = matched_gap(scores, weights), unmatched_gap(*scores.T, tuple(weights.T))
        held += [gap.low <= 0 <= gap.high for gap in gaps]
        told = np.average(scores, axis=0, weights=weights)
        assert [gap.mean for gap in gaps] == pytest.approx([told[0] - told[1]] * 2)
    assert (held >= 0.9 * tries).all()
    assert (held <= 0.99 * tries).all()


def test_weights_that_are_alike_change_nothing():
    scores = np.random.default_rng(5).normal(size=(40, 2))
    assert matched_gap(scores, np.full((40, 2), 3.0)) == matched_gap(scores)
    alike = unmatched_gap(*scores.T, (np.full(40, 3.0), np.full(40, 3.0)))
    assert (alike.low, alike.high) == pytest.approx((unmatched_gap(*scores.T).low, unmatched_gap(*scores.T).high))


def test_means_of_deciles_are_weighted():
    places = np.array([0, 0, 1, -1])
    means, counts = means_by_decile(np.array([1.0, 4.0, np.nan, 7.0]), places, np.array([1.0, 2.0, 1.0, 1.0]))
    assert means[0] == pytest.approx(3)
    assert np.isnan(means[1:]).all()
    assert counts.tolist() == [2] + [0] * 9
