"""Normalised metrics and the search for the best order: against brute force, by hand, and what they promise."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import LinearModel, all_answers, answers, attribution, random_texts, shared_classifier, text
from faithbench_metrics.comprehensiveness import Comprehensiveness
from faithbench_metrics.deletion import Deletion
from faithbench_metrics.insertion import Insertion
from faithbench_metrics.normalised import Normalised, in_order
from faithbench_metrics.perturbation.operators import OPERATORS, Operator
from faithbench_metrics.perturbation.search import Search
from slow import all_orders, slow_chances

from faithbench.answering.engine import Engine
from faithbench.conformance import check_metric
from faithbench.conversations import gather, together
from faithbench.draws import generator
from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.questions import Logits

CLS, SEP = 1, 2
DELETION_METRICS = ("comprehensiveness", "sufficiency", "log_odds", "decision_flip", "deletion", "insertion")
EVERY = pytest.mark.parametrize("name", [*DELETION_METRICS, "loo_correlation", "monotonicity(steps)"])
WEIGHTS = [0.5, -1.5, 2.0, 0.2, 1.1]
MODEL = LinearModel.binary([0.0, 0.3, -0.1, *WEIGHTS], bias=-1.0)
ONE = text([CLS, 3, 4, 5, 6, 7, SEP])
BEST = attribution(ONE, [9, *WEIGHTS, 9], 1)
WORST = attribution(ONE, [9, *(-weight for weight in WEIGHTS), 9], 1)


def values(metric, orders, model=MODEL, one=ONE):
    return [found.value for found in all_answers(model, [metric(one, order) for order in orders], 9999)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DELETION_METRICS, "loo_correlation"])
def test_on_a_linear_model_the_best_order_of_all_is_100_and_chance_is_0(name):
    metric, inner = Normalised(name, randoms=500), spec.build("metric", name).object
    sign = 1 if inner.higher_is_better else -1
    every = values(inner, all_orders(ONE, 1))
    best, floor = sign * max(sign * value for value in every), np.mean(every)
    found = answers(MODEL, metric(ONE, BEST), batch_tokens=9999)
    assert found.value == pytest.approx(100)
    assert found.parts == pytest.approx((best, floor, best), abs=0.1 * abs(best - floor))
    assert found.parts[2] == pytest.approx(best)
    wrong = answers(MODEL, metric(ONE, WORST), batch_tokens=9999)
    worst = values(inner, [WORST])[0]
    assert wrong.value == pytest.approx(100 * (worst - floor) / (best - floor), abs=10)
    assert wrong.value < 0


@pytest.mark.slow
def test_random_orders_are_0_on_average():
    """Over all orders the mean of the metric is the floor, up to the error of the random orders."""
    metric = Normalised("deletion", randoms=400)
    found = all_answers(MODEL, [metric(ONE, order) for order in all_orders(ONE, 1)[::17]], 9999)
    assert len({each.weight for each in found}) == 1
    every = values(Deletion(), all_orders(ONE, 1)[::17])
    floor, best = found[0].parts[1:]
    assert floor == pytest.approx(np.mean(values(Deletion(), all_orders(ONE, 1))), abs=1)
    assert [each.value for each in found] == pytest.approx([100 * (v - floor) / (best - floor) for v in every])
    assert np.mean([each.value for each in found]) == pytest.approx(0, abs=15)


@pytest.mark.slow
@EVERY
def test_the_contract_holds(name):
    classifier = shared_classifier("bert", 1.5, classes=3, dtype=torch.float64)
    metric = Normalised(f"{name}(operator=sample)" if name == "deletion" else name, randoms=3)
    assert check_metric(metric, classifier, random_texts(classifier, (5, 1, 3))) is None


def slow_costs(classifier, one, target, operator, remove):
    """What greedy search makes small, for a list of tokens that it has taken away, or put in."""

    def cost(taken):
        gone = taken if remove else [int(t) for t in one.content if t not in taken]
        chance = float(slow_chances(classifier, one, gone, operator)[target])
        return chance if remove else -chance

    return cost


def slow_greedy(content, cost, width):
    """Tries those tokens in every step that saved most when they were last tried; all of them at first."""
    order, now = [], cost([])
    saved = {int(t): now - cost([int(t)]) for t in content}
    while saved:
        tried = {t: cost([*order, t]) for t in sorted(saved, key=saved.get, reverse=True)[:width]}
        saved |= {t: now - each for t, each in tried.items()}
        best = min(tried, key=tried.get)
        order, now = [*order, best], tried[best]
        del saved[best]
    return order


@pytest.mark.slow
@pytest.mark.parametrize("width", [2, 6])
@pytest.mark.parametrize("operator", OPERATORS)
def test_candidates_agree_with_slow_greedy_search(operator, width):
    classifier, done = shared_classifier("bert", classes=3, dtype=torch.float64), 0
    for target, one in enumerate(random_texts(classifier, (6, 1, 6))):
        if len(set(one.ids[one.content])) < len(one.content):
            continue  # equal words may be equally good
        done += 1
        found = answers(classifier, Search(Operator(operator), beam=1, width=width).candidates(one, target))
        lost, won = (slow_costs(classifier, one, target, operator, remove) for remove in (True, False))
        assert [order.tolist() for order in found[-2:]] == [
            slow_greedy(one.content, cost, width) for cost in (lost, won)
        ]
        out, into = ({int(t): cost([]) - cost([int(t)]) for t in one.content} for cost in (lost, won))
        absolute, both = {t: abs(out[t]) for t in out}, {t: out[t] + into[t] for t in out}
        for gains, order in zip((out, absolute, into, both), found, strict=False):
            assert order.tolist() == sorted(gains, key=gains.get, reverse=True)
    assert done >= 2


@pytest.mark.parametrize("seed", range(3))
def test_a_beam_of_everything_finds_the_least_area_of_all_orders(seed):
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64, seed=seed)
    one = random_texts(classifier, (4,), seed)[0]
    search = Search(Operator("mask"), beam=100, width=4)
    candidates = answers(classifier, search.candidates(one, 1))
    orders = all_orders(one, 1)
    for metric, sign in ((Deletion(), -1), (Insertion(), 1)):
        found = [
            answers(classifier, metric(one, attribution(one, -np.argsort(np.argsort(rank(order, one))), 1))).value
            for order in candidates
        ]
        most = max(sign * value for value in values(metric, orders, classifier, one))
        assert max(sign * value for value in found) == pytest.approx(most, abs=1e-9)


def rank(order, one):
    """For each position, its place in the order; special tokens come last."""
    places = {int(position): place for place, position in enumerate(order)}
    return [places.get(t, len(one)) for t in range(len(one))]


def test_narrow_search_keeps_within_its_rows_and_is_almost_as_good():
    classifier = shared_classifier("bert", dtype=torch.float64)
    one = random_texts(classifier, (30,))[0]
    engine = Engine(classifier, 2048)
    (outcomes,) = engine.run([together({"it": Search(Operator("mask"), 1, 3).candidates(one, 1)})])
    assert engine.counts.run <= 2 * 31 + 2 * 3 * 30
    wide = answers(classifier, Search(Operator("mask"), 1, 30).candidates(one, 1), 2048)
    areas = [
        min(answers(classifier, Deletion()(one, attribution(one, -np.array(rank(o, one)), 1))).value for o in found)
        for found in (outcomes["it"].value, wide)
    ]
    randoms = [np.random.default_rng(i).normal(size=len(one)) for i in range(10)]
    floor = np.mean([answers(classifier, Deletion()(one, attribution(one, r, 1))).value for r in randoms])
    assert areas[0] < floor
    assert areas[0] == pytest.approx(areas[1], abs=0.15 * (floor - areas[1]))


@pytest.mark.slow
@pytest.mark.parametrize(("inner", "remove"), [("deletion", True), ("comprehensiveness(operator=delete)", True)])
def test_best_is_no_worse_than_any_random_order(inner, remove):
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64)
    one = random_texts(classifier, (7,))[0]
    metric, component = Normalised(inner), spec.build("metric", inner).object
    draws = np.random.default_rng(0)
    sign = 1 if component.higher_is_better else -1
    for _ in range(5):
        explained = attribution(one, draws.normal(size=len(one)), 1)
        found = answers(classifier, metric(one, explained))
        own, floor, best = found.parts
        assert own == pytest.approx(answers(classifier, component(one, explained)).value)
        orders = generator(one, "orders")
        randoms = [attribution(one, -np.array(rank(orders.permutation(one.content), one)), 1) for _ in range(16)]
        scores = values(component, randoms, classifier, one)
        assert floor == pytest.approx(np.mean(scores))
        assert sign * best >= max(sign * value for value in scores) - 1e-9
        assert found.value == pytest.approx(100 * (own - floor) / (best - floor))
        assert found.weight == pytest.approx(abs(best - floor))


def test_the_weighted_mean_over_texts_is_a_ratio_of_means():
    texts = [replace(ONE, id=name, ids=ids) for name, ids in (("a", ONE.ids), ("b", ONE.ids[[0, 3, 2, 5, 1, 4, 6]]))]
    found = [answers(MODEL, Normalised("deletion")(one, attribution(one, [0, 5, 3, 4, 1, 2, 0], 1))) for one in texts]
    mean = sum(each.value * each.weight for each in found) / sum(each.weight for each in found)
    own, floor, best = np.mean([each.parts for each in found], axis=0)
    assert mean == pytest.approx(100 * (own - floor) / (best - floor))


def test_undefined_where_no_order_is_better_than_another():
    alike = text([CLS, 3, 3, 3, SEP])
    single = text([CLS, 3, SEP])
    empty = replace(single, special=np.ones(3, dtype=bool))
    for one in (alike, single, empty):
        for name in ("comprehensiveness", "deletion", "loo_correlation"):
            found = answers(MODEL, Normalised(name)(one, attribution(one, np.arange(len(one)), 1)))
            assert math.isnan(found.value)
            assert found.weight == 0


def test_undefined_where_the_model_gives_no_number():
    asking = Normalised("comprehensiveness")(ONE, BEST)
    question = next(asking)
    found = None
    while found is None:
        try:
            question = asking.send(tuple(np.full((len(each.keep), 2), np.nan) for each in question))
        except StopIteration as stop:
            found = stop.value
    assert math.isnan(found.value)
    assert (found.parts, found.weight) == ((), 0.0)


def test_orders_and_search_are_shared_between_explainers():
    classifier = shared_classifier("bert", dtype=torch.float64)
    one = random_texts(classifier, (8,))[0]
    metric, engines = Normalised("deletion"), []
    for explainers in (1, 5):
        engine = Engine(classifier, 2048)
        made = [attribution(one, np.random.default_rng(i).normal(size=len(one)), 1) for i in range(explainers)]
        list(engine.run([together({i: metric(one, each) for i, each in enumerate(made)})]))
        engines.append(engine.counts)
    assert engines[1].run - engines[0].run <= 4 * 9
    assert engines[1].asked > 4 * engines[0].asked


def test_identity_and_what_is_taken_over_from_the_metric_inside():
    built = spec.build("metric", "normalised(log_odds(sample))")
    inside = "metric='log_odds(operator=sample)'"
    assert built.identity == f"normalised({inside}, randoms=16, beam=1, width=5)"
    assert built.object.needs == ("vocabulary",)
    assert (built.object.kind, built.object.version, built.object.higher_is_better) == ("faithfulness", 2, True)
    assert spec.build("metric", built.identity).identity == built.identity
    assert Normalised("deletion").needs == ()
    worst = spec.build("metric", "normalised(deletion, lower=worst)")
    assert worst.identity.endswith("randoms=16, beam=1, width=5, lower=worst)")


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("lower", ["chance", "worst"])
def test_up_to_five_tokens_the_ends_are_those_of_all_orders(name, lower):
    """On a transformer, by brute force."""
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64)
    for length in (2, 4):
        (one,) = random_texts(classifier, (length,), seed=1)
        inner, metric = spec.build("metric", name).object, Normalised(name, lower=lower)
        orders = all_orders(one, 1)
        every = np.array(values(inner, orders, classifier, one))
        best, worst = (every.max(), every.min()) if inner.higher_is_better else (every.min(), every.max())
        bottom = worst if lower == "worst" else every.mean()
        found = all_answers(classifier, [metric(one, order) for order in orders], 9999)
        if np.isnan(every).any() or best == pytest.approx(bottom, abs=1e-9):
            assert all(math.isnan(each.value) for each in found)
            continue
        assert [each.value for each in found] == pytest.approx(list(100 * (every - bottom) / (best - bottom)))
        assert max(each.value for each in found) == pytest.approx(100)
        assert lower == "chance" or min(each.value for each in found) == pytest.approx(0, abs=1e-9)
        assert lower == "worst" or np.mean([each.value for each in found]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("lower", ["chance", "worst"])
def test_the_ends_belong_to_the_text_and_are_the_same_for_all_explainers(lower):
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64)
    (one,) = random_texts(classifier, (7,))
    metric, draws = Normalised("comprehensiveness(operator=delete)", lower=lower), np.random.default_rng(0)
    made = [attribution(one, draws.normal(size=len(one)), 1) for _ in range(40)]
    found = all_answers(classifier, [metric(one, each) for each in made], 9999)
    assert len({each.parts[1:] for each in found}) == 1
    assert len({each.weight for each in found}) == 1
    assert len({each.parts[0] for each in found}) > 5


def test_who_knows_a_better_order_than_the_search_has_more_than_100(monkeypatch):
    """Nothing is cut off at the ends, and the ends stay where they were."""
    monkeypatch.setattr("faithbench_metrics.normalised.EXACT", 0)
    monkeypatch.setattr(Search, "candidates", lambda *_: gather([]))
    metric = Normalised("deletion", randoms=3)
    best, worst = all_answers(MODEL, [metric(ONE, BEST), metric(ONE, WORST)], 9999)
    assert best.parts[1:] == worst.parts[1:]
    own, floor, end = best.parts
    assert own < end < floor
    assert best.value == pytest.approx(100 * (own - floor) / (end - floor))
    assert best.value > 110
    assert Normalised.range == (-math.inf, math.inf)


def test_the_lower_end_is_the_worst_of_all_orders_tried_those_of_its_own_search_among_them():
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64)
    (one,) = random_texts(classifier, (9,))
    found = answers(classifier, Normalised("deletion", lower="worst")(one, attribution(one, np.arange(11), 1)), 9999)
    draws, tried = generator(one, "orders"), []
    for worst in (False, True):
        orders = answers(classifier, Search(Operator("mask"), 1, 5, worst).candidates(one, 1))
        tried.append([in_order(one, 1, order) for order in orders])
    random = [in_order(one, 1, draws.permutation(one.content)) for _ in range(16)]
    best, worst, chance = (values(Deletion(), orders, classifier, one) for orders in (*tried, random))
    assert found.parts[1:] == pytest.approx((max(*best, *worst, *chance), min(*best, *worst, *chance)))
    assert max(worst) > max(*best, *chance)


def test_the_worst_order_is_searched_for_as_the_best_is():
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64)
    one = random_texts(classifier, (9,))[0]
    for operator in ("mask", "delete"):
        orders = answers(classifier, Search(Operator(operator), 1, 9, worst=True).candidates(one, 1))
        for remove, order in zip((True, False), orders[-2:], strict=True):
            cost = slow_costs(classifier, one, 1, operator, remove)
            assert order.tolist() == slow_greedy(one.content, lambda taken, cost=cost: -cost(taken), 9)


@pytest.mark.parametrize(
    "name", ["infidelity", "entropy", "evidence", "soft_comprehensiveness", "normalised(deletion)", "monotonicity"]
)
def test_only_metrics_of_orders_with_a_direction_are_normalised(name):
    with pytest.raises(UserError, match="must have a direction and depend on the order of scores alone"):
        spec.build("metric", f"normalised({name})")


def test_parameters_are_refused_by_name_and_value():
    for given in ({"randoms": 0}, {"beam": 0}, {"width": 0}):
        (name,) = given
        with pytest.raises(ValueError, match=f"{name}=0 is not allowed; it must be a whole number from 1"):
            Normalised("deletion", **given)


def test_gather_asks_everybodys_questions_at_once():
    rounds = []

    def one_after_another(count):
        total = 0.0
        for i in range(count):
            logits = yield Logits(ONE, np.eye(len(ONE), dtype=bool)[[i]])
            total += logits[0, 1]
        return total

    def pairs():
        both = yield (Logits(ONE, ~ONE.special[None]), Logits(ONE, ONE.special[None]))
        return float(both[0][0, 1] + both[1][0, 1])

    def silent():
        return 7.0
        yield

    def counted(asking):
        answer = None
        while True:
            try:
                question = asking.send(answer)
            except StopIteration as stop:
                return stop.value
            rounds.append(len(question))
            answer = yield question

    found = answers(MODEL, counted(gather([one_after_another(3), silent(), pairs(), one_after_another(1)])))
    alone = [answers(MODEL, each) for each in (one_after_another(3), silent(), pairs(), one_after_another(1))]
    assert found == alone
    assert rounds == [4, 1, 1]
    assert list(itertools.chain(answers(MODEL, gather([])))) == []


def test_normalising_changes_no_order_of_explainers_of_a_text():
    draws = np.random.default_rng(1)
    made = [attribution(ONE, draws.normal(size=7), 1) for _ in range(6)]
    own = values(Comprehensiveness(operator="delete"), made)
    relative = values(Normalised("comprehensiveness(operator=delete)"), made)
    assert np.argsort(own).tolist() == np.argsort(relative).tolist()
