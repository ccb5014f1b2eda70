"""Rules for stopping: what is asked until then, what it comes to, and whether standard errors are those of seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from builders import LinearModel, answers, text
from faithbench_explainers.coalitions import part
from faithbench_explainers.kernel_shap import KernelShap
from faithbench_explainers.lime import LIME
from faithbench_explainers.shap_sampl import ShapSampl
from faithbench_explainers.stopping import RISK, Estimate, Rule, sampled
from scipy import special

from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.questions import Row
from faithbench.types import Text

NEVER = 1e-9
SAMPLERS = [
    ShapSampl(40),
    ShapSampl(40, antithetic=True),
    ShapSampl(40, protocol="paper"),
    LIME(400),
    KernelShap(400),
    KernelShap(401, paired=False),
]
SAMPLED = pytest.mark.parametrize("explainer", SAMPLERS, ids=repr)


@dataclass(frozen=True)
class Game:
    """A squashed sum of tokens and of products of neighbours, row by row, so that no number depends on the batch."""

    own: np.ndarray
    near: np.ndarray
    classes: int = 2
    batch_tokens: int = 4096
    gradient_cost: int = 1

    @classmethod
    def random(cls, n: int) -> "Game":
        draws = np.random.default_rng(n)
        return cls(draws.normal(size=n + 3), draws.normal(size=n + 3))

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        return np.array([self._logits(row.ids) for row in rows])

    def _logits(self, ids: np.ndarray) -> tuple[float, float]:
        present = ids != 0
        inside = (self.own[ids] * present).sum() + (self.near[ids][1:] * present[1:] * present[:-1]).sum()
        return float(2 * np.tanh(inside / 2)), 0.5


def numbered(n: int, name: str = "text") -> Text:
    return text(range(1, n + 3), name=name)


def asked_of(explainer, game: Game, one: Text) -> tuple[list[bytes], object]:
    """The rows that it asks, in order, and what it gives."""
    asking, rows = explainer(one, 0), []
    question = next(asking)
    while True:
        rows += [row.tobytes() for row in question.keep]
        try:
            question = asking.send(game.logits([Row(np.where(row, one.ids, one.mask_id)) for row in question.keep]))
        except StopIteration as stop:
            return rows, stop.value


@SAMPLED
@pytest.mark.parametrize("n", [3, 9, 14])
def test_a_tolerance_that_is_never_reached_gives_the_same_scores_to_the_last_bit(explainer, n):
    game, one = Game.random(n), numbered(n)
    whole, wanted = (asked_of(e, game, one) for e in (explainer, replace(explainer, tolerance=NEVER)))
    assert wanted[1].scores.tobytes() == whole[1].scores.tobytes()
    assert set(wanted[0]) == set(whole[0])
    cap = explainer.n_permutations if isinstance(explainer, ShapSampl) else explainer.n_samples
    used = next(iter(wanted[1].notes.values()))
    complete = isinstance(explainer, KernelShap) and 2**n - 2 <= cap
    assert used == (2**n - 2 if complete else cap)
    assert wanted[1].notes["tolerance_reached"] == complete
    assert whole[1].notes == {}


@SAMPLED
def test_a_tolerance_asks_the_first_rows_of_the_fixed_number_and_says_when_it_stopped(explainer):
    game, one = Game.random(14), numbered(14)
    whole, few = (asked_of(e, game, one) for e in (explainer, replace(explainer, tolerance=0.2)))
    assert set(few[0]) < set(whole[0])
    if not isinstance(explainer, KernelShap):
        assert few[0] == whole[0][: len(few[0])]
    found = few[1]
    assert found.notes["tolerance_reached"] == 1
    assert 0 < found.standard_errors.max() <= 0.2 * np.ptp(found.scores)
    assert (found.standard_errors[one.special] == 0).all() or "paper" in repr(explainer)
    again = asked_of(replace(explainer, tolerance=0.2), game, one)[1]
    assert again.scores.tobytes() == found.scores.tobytes()
    finer = asked_of(replace(explainer, tolerance=0.05), game, one)
    assert finer[0][: len(few[0])] == few[0]


@pytest.mark.slow
@pytest.mark.parametrize("used", [0.4, 1.0])
@pytest.mark.parametrize(
    "explainer",
    [ShapSampl(40), LIME(500), KernelShap(400), KernelShap(400, paired=False), KernelShap(200)],
    ids=repr,
)
def test_standard_errors_are_the_spread_over_seeds(explainer, used):
    n, seeds = 10, 100
    game, one = Game.random(n), numbered(n)
    class_of, name = type(explainer), "n_permutations" if isinstance(explainer, ShapSampl) else "n_samples"

    class At(Rule):
        def looks(self, first, most):
            return [int(used * most)]

    found = []
    for seed in range(seeds):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"{class_of.__module__}.Rule", At)
            found.append(asked_of(replace(explainer, seed=seed, tolerance=NEVER), game, one)[1])
    scores = np.stack([each.scores[one.content] for each in found])
    errors = np.stack([each.standard_errors[one.content] for each in found])
    assert found[0].notes[name] == pytest.approx(used * getattr(explainer, name), rel=0.02)
    ratio = np.sqrt((errors**2).mean() / scores.var(axis=0, ddof=1).mean())
    assert 0.85 < ratio < 1.25


def test_coalitions_that_are_all_there_are_have_no_error():
    game, one = Game.random(7), numbered(7)
    found = asked_of(KernelShap(tolerance=NEVER), game, one)[1]
    assert found.standard_errors.max() == 0
    assert found.notes == {"n_samples": 126, "tolerance_reached": 1}


def test_parts_of_the_coalitions_take_each_size_by_its_weight():
    one, explainer = numbered(14), KernelShap(1200)
    strata = explainer.strata(one)
    assert [stratum.whole for stratum in strata] == [True, True, False]
    sizes = [set(np.minimum(s.members.sum(axis=1), 14 - s.members.sum(axis=1)).tolist()) for s in strata]
    assert sizes == [{1}, {2}, {3, 4, 5, 6, 7}]
    for units in (20, 100, 300):
        some = part(strata, units)
        assert sum(some.counts) == pytest.approx(units, abs=3)
        ends = np.cumsum([0, *some.counts])
        shares = [some.weights[a:b].sum() for a, b in pairwise(ends)]
        np.testing.assert_allclose(shares, [stratum.mass for stratum in strata])
    assert part(strata, None).counts == tuple(len(stratum.members) for stratum in strata)


@SAMPLED
def test_a_text_without_effect_and_a_text_of_one_token_end_at_the_first_look(explainer):
    model = LinearModel.binary(np.zeros(20))
    found = answers(model, replace(explainer, tolerance=0.01)(numbered(12), 0))
    assert found.notes["tolerance_reached"] == 1
    assert next(iter(found.notes.values())) < 300
    np.testing.assert_allclose(found.scores, 0, atol=1e-12)
    alone = answers(LinearModel.binary([0.0, 0.0, 1.0, 0.0]), replace(explainer, tolerance=0.2)(numbered(1), 1))
    assert alone.scores[1] != 0
    assert alone.notes["tolerance_reached"] == 1


def test_lime_that_stops_early_weighs_penalty_and_text_as_all_samples_do():
    model, one = LinearModel.binary([0.3, -1.0, 2.0, -1.0], bias=0.5), numbered(1)
    difference = special.expit(-2 + 2.0 + 0.5) - special.expit(-2 + 0.3 + 0.5)
    empty = 3000 * np.exp(-8)  # weight of 3,000 masks of the only token; that of the text is 1
    spread = empty / (1 + empty)
    found = answers(model, LIME(n_samples=3000, tolerance=0.2)(one, 1))
    assert found.notes == {"n_samples": 32, "tolerance_reached": 1}
    np.testing.assert_allclose(found.scores, [0, difference * spread / (spread + 1), 0], atol=1e-14)


@SAMPLED
def test_few_samples_are_no_ground_to_stop(explainer):
    name = "n_permutations" if isinstance(explainer, ShapSampl) else "n_samples"
    small = replace(explainer, **{name: 2}, tolerance=1.0)
    found = asked_of(small, Game.random(14), numbered(14))[1]
    assert found.notes[name] == 2
    assert found.standard_errors is None or found.notes["tolerance_reached"] in (0, 1)
    if not isinstance(explainer, ShapSampl) or explainer.antithetic:
        assert found.notes["tolerance_reached"] == 0
        assert found.standard_errors is None


def estimate(scores, spread, freedom=1000, largest=0.0) -> Estimate:
    scores = np.array(scores, dtype=float)
    return Estimate(scores, np.full(len(scores), spread), spread**2 * np.eye(len(scores)), freedom, largest)


def test_the_tolerance_is_a_share_of_the_gap_between_the_scores():
    rule = Rule(0.1, 0)
    assert rule.met(estimate([-1, 0, 3], 0.4), 1)
    assert not rule.met(estimate([-1, 0, 3], 0.41), 1)
    assert rule.met(estimate([2, 2.1, 4], 0.4), 1)  # tokens without a part have 0
    assert not rule.met(estimate([-1, 0, 3], 0.0, freedom=0), 1)
    assert rule.met(estimate([0, 0], 1e-7, largest=1.0), 1)  # beneath the rounding of what was asked
    assert not Rule(0.0, 0).met(estimate([1, 2], 0.0), 1)


def test_the_highest_are_settled_where_no_other_may_exceed_them():
    far, near = estimate([5, 4, 0, 0, -9], 0.5), estimate([5, 4, 3.5, 0, -9], 0.5)
    assert Rule(0.0, 2).met(far, 1)
    assert not Rule(0.0, 2).met(near, 1)
    assert Rule(0.0, 3).met(replace(near, scores=near.scores + np.eye(5)[2]), 1)
    assert Rule(0.2, 2).met(near, 1)  # 4 and 3.5 are a tie within 0.2 of a gap of 14
    assert Rule(0.0, 5).met(near, 1)
    assert not Rule(0.0, 2).met(replace(far, freedom=2), 1)  # Student's t with few samples
    together = replace(near, covariance=0.25 * np.ones((5, 5)))
    assert Rule(0.0, 2).met(together, 1)  # errors that all share move no rank
    assert not Rule(0.0, 2).met(replace(far, covariance=far.covariance * 4), 100)
    assert Rule(0.0, 2).met(replace(far, covariance=far.covariance * 4), 1)


@pytest.mark.slow
def test_tokens_are_wrongly_called_the_highest_less_often_than_the_risk_over_all_looks():
    truth, rule, wrong, settled, trials = np.array([1.0, 0.8, 0.7, 0.0, -0.2]), Rule(0.0, 1), 0, 0, 300
    sizes = rule.looks(8, 1000)
    for trial in range(trials):
        drawn = truth + np.random.default_rng(trial).normal(size=(1000, 5))

        def look(count, drawn=drawn):
            return mean(drawn[:count])
            yield

        found, _, met = run(sampled(rule, sizes, look))
        settled += met
        wrong += met and found.scores.argmax() != 0
    assert settled > trials / 4
    assert wrong <= RISK * trials


def mean(drawn: np.ndarray) -> Estimate:
    spread = np.cov(drawn.T) / len(drawn)
    return Estimate(drawn.mean(axis=0), np.sqrt(spread.diagonal()), spread, len(drawn) - 1, 0.0)


def run(asking):
    """The result of a generator that asks nothing."""
    with pytest.raises(StopIteration) as stop:
        next(asking)
    return stop.value.value


def test_looks_are_further_and_further_apart_and_end_at_the_most():
    assert Rule(0.1, 0).looks(8, 50) == [8, 12, 18, 27, 41, 50]
    assert Rule(0.1, 0).looks(8, 18) == [8, 12, 18]
    assert Rule(0.1, 0).looks(8, 5) == [5]
    assert Rule(0.0, 0).looks(8, 50) == [50]
    assert Rule(0.0, 3).looks(8, 9) == [8, 9]


@pytest.mark.parametrize("name", ["shap_sampl", "lime", "kernel_shap"])
def test_the_rules_are_part_of_an_identity_only_where_they_are_used(name):
    assert "tolerance" not in spec.build("explainer", name).identity
    assert "settled" not in spec.build("explainer", f"{name}(tolerance=0, settled=0)").identity
    stated = spec.build("explainer", f"{name}(settled=5, tolerance=0.05)").identity
    assert "tolerance=0.05, settled=5" in stated
    assert spec.build("explainer", stated).object.tolerance == 0.05
    assert (
        spec.build("explainer", f"{name}(tolerance=1)").identity
        == spec.build("explainer", f"{name}(tolerance=1.0)").identity
    )


@pytest.mark.parametrize("explainer", [ShapSampl, LIME, KernelShap])
@pytest.mark.parametrize("tolerance", [-1.0, -1e-9, 1.5, float("nan"), float("inf")])
def test_no_other_tolerance_is_allowed(explainer, tolerance):
    with pytest.raises(ValueError, match=r"tolerance=.* is not allowed; it must be from 0 to 1"):
        explainer(tolerance=tolerance)


@pytest.mark.parametrize("explainer", [ShapSampl, LIME, KernelShap])
@pytest.mark.parametrize("settled", [-1, 10**9])
def test_no_other_number_of_settled_tokens_is_allowed(explainer, settled):
    with pytest.raises(ValueError, match=r"settled=.* is not allowed; it must be a whole number"):
        explainer(settled=settled)


@pytest.mark.parametrize("name", ["shap_sampl", "lime", "kernel_shap"])
@pytest.mark.parametrize("rule", ["tolerance=rank", "tolerance=None", "tolerance=-1", "settled=2.5", "settled=five"])
def test_a_spec_with_another_rule_is_refused_in_a_sentence(name, rule):
    with pytest.raises(UserError, match=rf"{rule.split('=')[0]}=\S+ is not allowed; it must be "):
        spec.build("explainer", f"{name}({rule})")


def test_lime_with_selected_features_has_no_standard_errors_to_stop_by():
    for rule in ({"tolerance": 0.1}, {"settled": 3}):
        with pytest.raises(ValueError, match="feature_selection='auto' is not allowed with"):
            LIME(feature_selection="auto", **rule)
