"""Log-odds, decision flip, deletion, insertion, leave-one-out correlation and monotonicity: slow versions, by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import LinearModel, all_answers, answers, attribution, random_texts, shared_classifier, text
from faithbench_metrics.comprehensiveness import Comprehensiveness
from faithbench_metrics.decision_flip import DecisionFlip
from faithbench_metrics.deletion import Deletion
from faithbench_metrics.insertion import Insertion
from faithbench_metrics.log_odds import LogOdds
from faithbench_metrics.loo_correlation import LooCorrelation
from faithbench_metrics.monotonicity import Monotonicity
from faithbench_metrics.perturbation.curves import area
from faithbench_metrics.perturbation.operators import OPERATORS
from faithbench_metrics.perturbation.ordering import even_sizes
from faithbench_metrics.sufficiency import Sufficiency
from scipy import integrate, stats
from slow import all_orders, slow_chances, slow_logits, slow_ranking

from faithbench.questions import Row
from faithbench.ranks import kendall_tau_b

CLS, SEP, MASK = 1, 2, 0
METRICS = (Comprehensiveness, Sufficiency, LogOdds, DecisionFlip, Deletion, Insertion, LooCorrelation, Monotonicity)
BY_ORDER = (*METRICS[:6], lambda: Monotonicity("steps"))
SIGMOID = {x: 1 / (1 + math.exp(-x)) for x in range(-5, 6)}


def scored(one, seed=0, target=1):
    """Small whole numbers: many are equal, some are negative."""
    return attribution(one, np.random.default_rng(seed).integers(-3, 4, len(one)), target)


def slow_log_odds(chance, ranked):
    ratios = [max(1, len(ranked) * tenth // 10) for tenth in range(1, 10)]
    return float(np.mean([math.log(chance(ranked[:k])) - math.log(chance([])) for k in ratios]))


def slow_deletion(chance, ranked):
    curve = [chance(ranked[:k]) for k in range(len(ranked) + 1)]
    return 100 * float(integrate.trapezoid(curve, np.linspace(0, 1, len(curve))))


def slow_insertion(chance, ranked):
    curve = [chance(ranked[k:]) for k in range(len(ranked) + 1)]
    return 100 * float(integrate.trapezoid(curve, np.linspace(0, 1, len(curve))))


def slow_steps(chance, ranked):
    steps = []
    for k in range(len(ranked)):  # the k least important are there
        before, after = chance(ranked[: len(ranked) - k]), chance(ranked[: len(ranked) - k - 1])
        steps.append(after >= before)
    return 100 * sum(steps) / len(steps)


@pytest.mark.slow
@pytest.mark.parametrize("operator", OPERATORS)
def test_curves_agree_with_slow_versions(operator):
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64)
    slow = {LogOdds: slow_log_odds, Deletion: slow_deletion, Insertion: slow_insertion, Monotonicity: slow_steps}
    for target, one in enumerate(random_texts(classifier, (11, 1, 4))):
        explained = scored(one, target, target)
        ranked = slow_ranking(one, explained.scores)
        for metric, version in slow.items():
            made = Monotonicity("steps", operator) if metric is Monotonicity else metric(operator)
            expected = version(lambda gone: slow_chances(classifier, one, gone, operator)[target], ranked)  # noqa: B023
            assert answers(classifier, made(one, explained)).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_decision_flip_agrees_with_a_slow_version(operator, seed):
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64, seed=seed)
    for one in random_texts(classifier, (12, 1, 5), seed):
        target = int(slow_chances(classifier, one, [], operator).argmax())
        ranked = slow_ranking(one, scored(one, seed).scores)
        expected, flips = 100.0, 0.0
        for k in range(1, len(ranked) + 1):
            if slow_chances(classifier, one, ranked[:k], operator).argmax() != target:
                expected, flips = 100 * k / len(ranked), 1.0
                break
        found = answers(classifier, DecisionFlip(operator)(one, scored(one, seed, target)))
        assert (found.value, found.parts) == (pytest.approx(expected), (flips,))


@pytest.mark.slow
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
def test_correlations_agree_with_scipy(operator):
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (11, 2, 6))):
        explained = scored(one, 5 + target, target)
        content = explained.scores[one.content]
        full = slow_chances(classifier, one, [], operator)[target]
        loss = [full - slow_chances(classifier, one, [t], operator)[target] for t in one.content]
        found = answers(classifier, LooCorrelation(operator=operator)(one, explained)).value
        assert found == pytest.approx(100 * stats.kendalltau(content, loss).statistic, nan_ok=True)
        value = slow_logits(classifier, one, [], operator)[:, target].mean()
        loss = [value - slow_logits(classifier, one, [t], operator)[:, target].mean() for t in one.content]
        found = answers(classifier, LooCorrelation("logit", operator)(one, explained)).value
        assert found == pytest.approx(100 * stats.kendalltau(content, loss).statistic, nan_ok=True)
        effects = []
        for t in one.content:
            draws = [np.exp(z - np.log(np.exp(z).sum())) for z in slow_logits(classifier, one, [t], operator)]
            effects.append(np.mean([(full - draw[target]) ** 2 for draw in draws]))
        found = answers(classifier, Monotonicity(operator=operator)(one, explained)).value
        assert found == pytest.approx(100 * stats.spearmanr(np.abs(content), effects).statistic, nan_ok=True)


# By hand: class 1 has the sigmoid of the sum of weights. [CLS] weighs 1, the words 3: 2, 4: 1, 5: -1, the mask 0.
GOLDEN = LinearModel.binary([0.0, 1.0, 0.0, 2.0, 1.0, -1.0])
ONE = text([CLS, 4, 5, 3, SEP])
RANKED = attribution(ONE, [99, 1, -1, 2, 99], target=1)  # takes 3, then 4, then 5 away


def test_golden_values():
    logs = {x: math.log(SIGMOID[x]) for x in SIGMOID}
    found = answers(GOLDEN, LogOdds()(ONE, RANKED))
    assert found.parts == pytest.approx([logs[1] - logs[3]] * 6 + [logs[0] - logs[3]] * 3)
    assert found.value == pytest.approx((6 * (logs[1] - logs[3]) + 3 * (logs[0] - logs[3])) / 9)
    deletion = (SIGMOID[3] / 2 + SIGMOID[1] + SIGMOID[0] + SIGMOID[1] / 2) / 3
    assert answers(GOLDEN, Deletion()(ONE, RANKED)).value == pytest.approx(100 * deletion)
    insertion = (SIGMOID[1] / 2 + SIGMOID[3] + SIGMOID[4] + SIGMOID[3] / 2) / 3
    assert answers(GOLDEN, Insertion()(ONE, RANKED)).value == pytest.approx(100 * insertion)
    assert answers(GOLDEN, LooCorrelation()(ONE, RANKED)).value == pytest.approx(100)
    wrong = attribution(ONE, [0, 2, -1, 1, 0], target=1)  # one pair of three is the wrong way round
    assert answers(GOLDEN, LooCorrelation()(ONE, wrong)).value == pytest.approx(100 / 3)
    # |scores| 1, 1, 2 have ranks 1.5, 1.5, 3; squared changes (sigmoid 3 to 2, 4, 1) have 2, 1, 3
    assert answers(GOLDEN, Monotonicity()(ONE, RANKED)).value == pytest.approx(100 * math.sqrt(3) / 2)
    found = answers(GOLDEN, Monotonicity("steps")(ONE, RANKED))  # 5 makes it fall, 4 and 3 make it rise
    assert (found.value, found.parts) == (pytest.approx(200 / 3), (0.0,))


def test_decision_flip_by_hand():
    model = LinearModel.binary([0.0, 0.0, 0.0, 2.0, 1.0, -1.5], bias=-1.2)
    one = text([CLS, 3, 4, 5, 4, SEP])  # 2 + 1 - 1.5 + 1 - 1.2 > 0
    for scores, share, flips in (
        ([0, 4, 3, 1, 2, 0], 25, 1),
        ([0, 1, 4, 2, 3, 0], 50, 1),
        ([0, 2, 3, 4, 1, 0], 75, 1),
        ([0, 1, 3, 4, 2, 0], 100, 1),
    ):
        found = answers(model, DecisionFlip()(one, attribution(one, scores, target=1)))
        assert (found.value, found.parts) == (share, (flips,))
    sure = LinearModel.binary([0.0, 0.0, 0.0, 2.0, 1.0, -1.5], bias=9.0)
    found = answers(sure, DecisionFlip()(one, attribution(one, [0, 4, 3, 1, 2, 0], target=1)))
    assert (found.value, found.parts) == (100, (0,))  # never


def test_decision_flip_needs_another_class_to_be_ahead():
    model, one = LinearModel.binary([0.0, 0.0, 0.0, 1.0, -1.0]), text([CLS, 3, SEP])
    tied = answers(model, DecisionFlip()(one, attribution(one, [0, 1, 0], target=1)))  # both classes 1/2 without it
    assert (tied.value, tied.parts) == (100, (0,))
    not_predicted = answers(model, DecisionFlip()(one, attribution(one, [0, 1, 0], target=0)))
    assert math.isnan(not_predicted.value)


# A planted model: one word of six decides. Its place in the ranking is all that matters.
PLANTED = LinearModel.binary([0.0, 0.0, 0.0, 8.0, 0.0], bias=-4.0)
PLANTED_TEXT = text([CLS, 4, 4, 3, 4, 4, 4, SEP])


def planted(place):
    """The planted word at this place of the ranking."""
    scores = np.array([9.0, 5, 4, 0, 3, 2, 1, 9])
    scores[3] = 5.5 - place
    return attribution(PLANTED_TEXT, scores, target=1)


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric is not Monotonicity])
def test_perfect_scores_are_best_and_wrong_ones_worst(metric):
    values = [answers(PLANTED, metric()(PLANTED_TEXT, planted(place))).value for place in range(6)]
    sign = 1 if metric.higher_is_better else -1
    assert sign * values[0] == max(sign * value for value in values) > sign * values[5]
    assert sign * values[5] == min(sign * value for value in values)


def test_what_perfect_and_wrong_scores_come_to():
    there, gone = SIGMOID[4], SIGMOID[-4]
    expected = {
        Comprehensiveness: (100 * (there - gone), 0),
        Sufficiency: (0, 100 * (there - gone)),
        LogOdds: (math.log(gone / there), 0),
        DecisionFlip: (100 / 6, 100),
        Deletion: (100 * (there / 12 + gone * 11 / 12), 100 * (there * 11 / 12 + gone / 12)),
        Insertion: (100 * (there * 11 / 12 + gone / 12), 100 * (there / 12 + gone * 11 / 12)),
    }
    for metric, (best, worst) in expected.items():
        assert answers(PLANTED, metric()(PLANTED_TEXT, planted(0))).value == pytest.approx(best, abs=1e-9)
        assert answers(PLANTED, metric()(PLANTED_TEXT, planted(5))).value == pytest.approx(worst, abs=1e-9)


@pytest.mark.slow
def test_what_random_orders_come_to():
    """Over all 720 orders; the planted word is among the first k of 6 in k/6 of them."""
    there, gone = SIGMOID[4], SIGMOID[-4]
    taken = np.mean([max(1, 6 * tenth // 10) / 6 for tenth in range(1, 10)])
    expected = {
        Comprehensiveness(): 100 * (there - gone) * taken,
        Sufficiency(): 100 * (there - gone) * (1 - taken),
        LogOdds(): math.log(gone / there) * taken,
        DecisionFlip(): 100 * 7 / 12,
        Deletion(): 50 * (there + gone),
        Insertion(): 50 * (there + gone),
        LooCorrelation(): 0,
        Monotonicity(): 0,
    }
    orders = all_orders(PLANTED_TEXT, 1)
    for metric, chance in expected.items():
        found = all_answers(PLANTED, [metric(PLANTED_TEXT, order) for order in orders], batch_tokens=999)
        assert np.mean([each.value for each in found]) == pytest.approx(chance, abs=1e-9)


MIXED = LinearModel.binary([0.0, 0.3, -0.1, 0.5, -1.5, 2.0, 0.2])
MIXED_TEXT = text([CLS, 3, 4, 5, 6, SEP])


@pytest.mark.parametrize("metric", [LogOdds, Deletion, Insertion, LooCorrelation])
def test_the_order_of_the_weights_is_best_and_its_reverse_worst(metric):
    sign = 1 if metric.higher_is_better else -1
    values = {
        tuple(order.scores[MIXED_TEXT.content]): sign * answers(MIXED, metric()(MIXED_TEXT, order)).value
        for order in all_orders(MIXED_TEXT, 1)
    }
    assert max(values, key=values.get) == (3, 1, 4, 2)
    assert min(values, key=values.get) == (2, 4, 1, 3)


def test_monotonicity_by_correlation_is_most_for_absolute_weights():
    for scores, expected in (([0, 0.5, -1.5, 2, 0.2, 0], 100), ([0, -3, 2, 1, 4, 0], -100)):
        assert answers(MIXED, Monotonicity()(MIXED_TEXT, attribution(MIXED_TEXT, scores, 1))).value == pytest.approx(
            expected
        )


def test_monotonicity_in_steps_cannot_tell_an_order_from_its_reverse():
    steps, correlation = Monotonicity("steps"), Monotonicity()
    all_speak_for_it = LinearModel.binary([0.0, 0.3, -0.1, 0.5, 1.5, 2.0, 0.2])
    for model, share in ((all_speak_for_it, 100), (MIXED, 75)):
        for order in all_orders(MIXED_TEXT, 1):
            assert answers(model, steps(MIXED_TEXT, order)).value == pytest.approx(share)
    perfect = attribution(MIXED_TEXT, [0, 0.5, 1.5, 2, 0.2, 0], 1)
    reverse = attribution(MIXED_TEXT, [0, 1.5, 0.5, 0.2, 2, 0], 1)
    assert answers(all_speak_for_it, correlation(MIXED_TEXT, perfect)).value == pytest.approx(100)
    assert answers(all_speak_for_it, correlation(MIXED_TEXT, reverse)).value == pytest.approx(-100)


def test_equal_scores_are_taken_by_position():
    one = text([CLS, 3, 4, 5, 6, SEP])
    alike, ordered = attribution(one, [7] * 6, 1), attribution(one, [0, 4, 3, 2, 1, 0], 1)
    for make in BY_ORDER:
        by_position = answers(MIXED, make()(one, ordered)).value
        assert answers(MIXED, make()(one, alike)).value == pytest.approx(by_position, nan_ok=True)


def test_correlations_are_undefined_where_there_is_nothing_to_rank():
    alike = attribution(MIXED_TEXT, [0, 2, 2, 2, 2, 0], 1)
    no_effect = attribution(text([CLS, 2, 2, SEP]), [0, 1, 2, 0], 1)
    for metric in (LooCorrelation(), LooCorrelation("logit"), Monotonicity()):
        assert math.isnan(answers(MIXED, metric(MIXED_TEXT, alike)).value)
        assert math.isnan(answers(LinearModel.binary([0.0] * 3), metric(text([CLS, 2, 2, SEP]), no_effect)).value)
        one = text([CLS, 3, SEP])
        assert math.isnan(answers(MIXED, metric(one, attribution(one, [0, 1, 0], 1))).value)


def test_a_text_of_one_content_token():
    one = text([CLS, 3, SEP])
    explained = attribution(one, [0, -1, 0], 1)
    model = LinearModel.binary([0.0, 1.0, 0.0, 2.0])
    assert answers(model, LogOdds()(one, explained)).value == pytest.approx(math.log(SIGMOID[1] / SIGMOID[3]))
    both = 50 * (SIGMOID[3] + SIGMOID[1])
    assert answers(model, Deletion()(one, explained)).value == pytest.approx(both)
    assert answers(model, Insertion()(one, explained)).value == pytest.approx(both)
    assert answers(model, DecisionFlip()(one, explained)).value == 100
    assert answers(model, Monotonicity("steps")(one, explained)).value == 100


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_is_defined_without_content(metric):
    one = replace(text([CLS, 3, SEP]), special=np.ones(3, dtype=bool))
    assert math.isnan(answers(MIXED, metric()(one, attribution(one, [1, 2, 3], 1))).value)


class Broken(LinearModel):
    """Gives NaN as soon as anything is taken away."""

    def logits(self, rows):
        found = super().logits(rows)
        return np.where(np.array([[MASK in row.ids] for row in rows]), np.nan, found)


@pytest.mark.parametrize("make", [*METRICS, BY_ORDER[-1]])
def test_nothing_is_defined_where_the_model_gives_no_number(make):
    """As a component sees it; the engine would have refused such a model before."""
    model, asking = Broken(MIXED.weights, MIXED.table, MIXED.bias), make()(MIXED_TEXT, scored(MIXED_TEXT))
    question = next(asking)
    with pytest.raises(StopIteration) as stop:
        asking.send(model.logits(list(map(Row, np.where(question.keep, MIXED_TEXT.ids, MASK)))))
    assert math.isnan(stop.value.value.value)


@pytest.mark.parametrize(("tokens", "steps"), [(1, 64), (63, 64), (64, 64), (65, 64), (200, 64), (7, 3), (9, 1)])
def test_sizes_are_even(tokens, steps):
    sizes = even_sizes(tokens, steps)
    assert (sizes[0], sizes[-1], len(sizes)) == (0, tokens, min(tokens, steps) + 1)
    gaps = np.diff(sizes)
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1
    assert area(sizes, np.ones(len(sizes)), 100.0) == pytest.approx(100)


def test_long_texts_are_taken_apart_in_steps():
    one = text([CLS, *[3, 4] * 100, SEP])
    explained = attribution(one, np.arange(202.0), 1)
    model = LinearModel.binary([0.0, 0.0, 0.0, 0.02, 0.01], bias=-1.0)
    for metric in (Deletion, Insertion):
        assert len(next(metric()(one, explained)).keep) == 65
        fine = answers(model, metric(steps=200)(one, explained)).value
        assert answers(model, metric()(one, explained)).value == pytest.approx(fine, abs=0.05)
    with pytest.raises(ValueError, match="steps=0 is not allowed; it must be a whole number from 1"):
        Deletion(steps=0)


@pytest.mark.parametrize("seed", range(20))
def test_kendall_agrees_with_scipy(seed):
    draws = np.random.default_rng(seed)
    one, other = draws.integers(-3, 3, (2, draws.integers(2, 40))).astype(float)
    assert kendall_tau_b(one, other) == pytest.approx(stats.kendalltau(one, other).statistic, abs=1e-12, nan_ok=True)
    other = draws.normal(size=len(one))
    assert kendall_tau_b(one, other) == pytest.approx(stats.kendalltau(one, other).statistic, abs=1e-12, nan_ok=True)


def test_choices_are_refused_by_name_and_value():
    with pytest.raises(ValueError, match="form='both' is not allowed; use correlation or steps"):
        Monotonicity("both")
    with pytest.raises(ValueError, match="effect='odds' is not allowed; use probability or logit"):
        LooCorrelation("odds")
