"""Agreement with programs: measures of rankings against all orders, and what they say of redundancy."""

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from builders import LinearModel, answers, attribution, text
from faithbench_explainers.occlusion import Occlusion
from faithbench_metrics.ranking import expected_average_precision, expected_ndcg, somers_d
from faithbench_metrics.truth_ap import TruthAP
from faithbench_metrics.truth_ndcg import TruthNDCG
from faithbench_metrics.truth_tau import TruthTau
from scipy import stats
from sklearn.metrics import average_precision_score, ndcg_score

SEEDS = pytest.mark.parametrize("seed", range(8))


def drawn(seed, n=6):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 3, n).astype(float), generator.permutation([0.0, 0.0, 0.5, 1.0, 1 / 3, 0.0])


def orders(scores):
    """All orders, highest score first."""
    every = (list(order) for order in permutations(range(len(scores))))
    return [order for order in every if (np.diff(scores[order]) <= 0).all()]


@SEEDS
def test_measures_are_means_over_the_orders_of_equal_scores(seed):
    scores, gains = drawn(seed)
    relevant = gains > 0
    untied = [-np.argsort(order).astype(float) for order in orders(scores)]
    expected = np.mean([average_precision_score(relevant, each) for each in untied])
    assert expected_average_precision(scores, relevant) == pytest.approx(expected)
    expected = np.mean([ndcg_score([gains], [each], ignore_ties=True) for each in untied])
    assert expected_ndcg(scores, gains) == pytest.approx(expected)
    assert expected_ndcg(scores, gains) == pytest.approx(ndcg_score([gains], [scores]))
    assert somers_d(scores, gains) == pytest.approx(np.mean([somers_d(each, gains) for each in untied]))


@SEEDS
def test_somers_d_is_scipys(seed):
    scores, gains = drawn(seed)
    assert somers_d(scores, gains) == pytest.approx(stats.somersd(gains, scores).statistic)
    assert somers_d(gains + 1e-6 * np.arange(6), gains) == 1.0  # equal gains ask for no order
    assert math.isnan(somers_d(scores, np.ones(6)))


def causes(degrees, shapley=None, label=1):
    """A text of so many content tokens, with what a program says of them."""
    one = text([1, *range(2, 2 + len(degrees)), 1])
    values = degrees if shapley is None else shapley
    truth = (np.array([0.0, *numbers, 0.0]) for numbers in (degrees, values))
    return replace(one, label=label, **dict(zip(("responsibility", "shapley"), truth, strict=True)))


def test_the_best_order_has_100_and_special_tokens_do_not_count():
    one = causes([1.0, 0.0, 0.5, 0.0])
    best = attribution(one, [9, 4, 1, 3, 2, 9], 1)
    for metric in (TruthAP(), TruthNDCG(), TruthTau(), TruthAP(least=1.0)):
        assert metric(one, best).value == pytest.approx(100)
    worst = attribution(one, [0, 1, 4, 2, 3, 0], 1)
    assert TruthTau()(one, worst).value == pytest.approx(-100)
    assert TruthAP()(one, worst).value == pytest.approx(100 * (1 / 3 + 2 / 4) / 2)
    assert TruthNDCG()(one, worst).value == pytest.approx(
        100 * (0.5 / math.log2(4) + 1 / math.log2(5)) / (1 + 0.5 / math.log2(3))
    )


def test_constant_scores_have_the_level_of_chance():
    one = causes([1.0, 0.0, 0.0])
    flat = attribution(one, [0, 1, 1, 1, 0], 1)
    assert TruthTau()(one, flat).value == 0
    assert TruthAP()(one, flat).value == pytest.approx(100 * (1 + 1 / 2 + 1 / 3) / 3)


def test_what_is_not_known_is_not_defined():
    nothing = causes([0.0, 0.0])
    scores = [0, 2, 1, 0]
    for metric in (TruthAP(), TruthNDCG(), TruthTau()):
        assert math.isnan(metric(nothing, attribution(nothing, scores, 1)).value)
        assert math.isnan(metric(text([1, 2, 3, 1]), attribution(nothing, scores, 1)).value)  # no program
        known = causes([1.0, 0.0])
        assert math.isnan(metric(known, attribution(known, scores, 0)).value)  # explains another class
        assert metric(known, attribution(known, scores, 1)).value == 100
    redundant = causes([0.5, 0.5])
    assert math.isnan(TruthAP(least=1.0)(redundant, attribution(redundant, scores, 1)).value)
    with pytest.raises(ValueError, match=r"least=2.0 is not allowed; it must be from 0 to 1"):
        TruthAP(least=2.0)


class Either(LinearModel):
    """Class 1 if id 5 is there, and id 6 once or more: ids 5 and 6 are cues, all others say nothing."""

    def logits(self, rows):
        found = [float(5 in row.ids and 6 in row.ids) for row in rows]
        return np.array([[1 - each, each] for each in found])


def test_redundant_cues_are_held_against_leave_one_out_only_where_asked_for():
    """Of 5 6 6 each 6 may go: leave-one-out sees 5 alone, which is right of it, and all that it claims."""
    model = Either.binary([0.0] * 9)
    one = text([1, 7, 6, 5, 8, 6, 1])
    degrees = np.array([0, 0, 1 / 2, 1, 0, 1 / 2, 0])
    one = replace(one, label=1, evidence=degrees > 0, responsibility=degrees)
    found = answers(model, Occlusion()(one, 1))
    assert found.scores.tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert TruthAP(least=1.0)(one, found).value == 100
    assert TruthAP()(one, found).value < TruthNDCG()(one, found).value < 100  # graded: the 6s count half
    both_gone = causes([0.5, 0.5])  # nothing is asked of leave-one-out where no word alone decides
    assert math.isnan(TruthAP(least=1.0)(both_gone, attribution(both_gone, [0, 0, 0, 0], 1)).value)
