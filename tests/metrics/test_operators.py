"""Perturbation operators against the torch model itself, and what each promises."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, attribution, random_texts, shared_classifier, text
from faithbench_metrics.comprehensiveness import Comprehensiveness
from faithbench_metrics.decision_flip import DecisionFlip
from faithbench_metrics.deletion import Deletion
from faithbench_metrics.infidelity import Infidelity
from faithbench_metrics.insertion import Insertion
from faithbench_metrics.log_odds import LogOdds
from faithbench_metrics.loo_correlation import LooCorrelation
from faithbench_metrics.monotonicity import Monotonicity
from faithbench_metrics.perturbation.operators import DRAWS, OPERATORS, Operator, replacements
from faithbench_metrics.sufficiency import Sufficiency
from slow import slow_chances, slow_logits

from faithbench.answering.engine import Engine
from faithbench.conformance import check_metric
from faithbench.conversations import together
from faithbench.plugins import spec

METRICS = (Comprehensiveness, Sufficiency, LogOdds, DecisionFlip, Deletion, Insertion, LooCorrelation, Monotonicity,
           Infidelity)  # fmt: skip
CLS, SEP = 1, 1
EVERY_METRIC = pytest.mark.parametrize("metric", METRICS)
EVERY_OPERATOR = pytest.mark.parametrize("operator", OPERATORS)


def some_keep(one, seed=0):
    """Everything; nothing but special tokens; and some of the content."""
    keep = np.random.default_rng(seed).random((5, len(one))) < 0.5
    keep[0], keep[1] = True, False
    return keep | one.special


@pytest.mark.slow
@EVERY_OPERATOR
@pytest.mark.parametrize("b", [None, 1.5])
@pytest.mark.parametrize("kind", KINDS)
def test_operator_agrees_with_the_torch_model(kind, b, operator):
    classifier = shared_classifier(kind, b, classes=3, dtype=torch.float64)
    for one in random_texts(classifier, (9, 1)):
        keep = some_keep(one)
        logits = answers(classifier, Operator(operator).logits(one, keep))
        chances = answers(classifier, Operator(operator).chances(one, keep))
        logs = answers(classifier, Operator(operator).log_chances(one, keep))
        for row, *found in zip(keep, logits, chances, logs, strict=True):
            gone = np.flatnonzero(~row)
            expected = slow_logits(classifier, one, gone, operator)
            assert found[0] == pytest.approx(np.broadcast_to(expected, found[0].shape), abs=1e-10)
            assert found[1] == pytest.approx(slow_chances(classifier, one, gone, operator), abs=1e-12)
            assert found[2] == pytest.approx(np.log(slow_chances(classifier, one, gone, operator)), abs=1e-10)


@pytest.mark.parametrize("operator", ["pad", "attention", "delete", "sample"])
@pytest.mark.parametrize("kind", KINDS)
def test_operators_differ_from_the_mask_token(kind, operator):
    classifier = shared_classifier(kind, dtype=torch.float64)
    one = random_texts(classifier, (9,))[0]
    mine = answers(classifier, Operator(operator).chances(one, some_keep(one)))
    masked = answers(classifier, Operator("mask").chances(one, some_keep(one)))
    assert mine[0] == pytest.approx(masked[0], abs=1e-12)
    assert np.abs(mine[1:] - masked[1:]).max() > 1e-3


def test_log_chances_stay_finite_where_probabilities_vanish():
    model, one = LinearModel.binary([0.0, 0.0, 5000.0]), text([CLS, 2, SEP])
    logs = answers(model, Operator("mask").log_chances(one, np.ones((1, 3), dtype=bool)))
    assert logs[0] == pytest.approx([-5000, 0], abs=1e-9)


@EVERY_OPERATOR
def test_where_everything_is_taken_special_tokens_stay(operator):
    model = LinearModel.binary([0.7, 0.3, 2.0, -1.0])
    one = replace(text([CLS, 2, 3, 2, SEP]), vocabulary=np.array([3]), pad_id=2)
    nothing = answers(model, Operator(operator).logits(one, one.special[None]))[0]
    fill = {"mask": 0.7, "pad": 2.0, "sample": -1.0}.get(operator, 0.0)
    assert nothing[:, 1] == pytest.approx([0.6 + 3 * fill] * (DRAWS if operator == "sample" else 1))


def test_samples_are_drawn_from_the_vocabulary_as_often_as_it_holds_them():
    one = replace(text([CLS, *[2] * 4000, SEP]), vocabulary=np.array([3, 3, 3, 5]))
    drawn = replacements(one)
    assert drawn.shape == (DRAWS, len(one))
    assert set(np.unique(drawn)) == {3, 5}
    assert (drawn == 3).mean() == pytest.approx(0.75, abs=0.02)
    assert (drawn[0] != drawn[1]).any()


def test_a_draw_has_one_replacement_for_a_place_whatever_else_is_gone():
    one = replace(text([CLS, 2, 3, 4, 5, SEP]), vocabulary=np.arange(2, 9))
    question = next(Operator("sample").logits(one, some_keep(one)))
    rows = np.where(question.keep, one.ids, question.fill).reshape(5, DRAWS, len(one))
    for draw, drawn in enumerate(replacements(one)):
        for row, keep in zip(rows[:, draw], some_keep(one), strict=True):
            assert (row == np.where(keep, one.ids, drawn)).all()


def test_samples_belong_to_the_text():
    one = replace(text([CLS, *[2] * 20, SEP], name="a"), vocabulary=np.arange(2, 9))
    assert (replacements(one) == replacements(replace(one, ids=one.ids + 1))).all()
    assert (replacements(one) != replacements(replace(one, id="b"))).any()


@EVERY_METRIC
def test_sampling_needs_a_vocabulary(metric):
    one = text([CLS, 2, 3, SEP])
    assert metric(operator="sample").needs == ("vocabulary",)
    with pytest.raises(RuntimeError, match="ValueError: text 'text' has no vocabulary, which operator=sample draws"):
        answers(LinearModel.random(), metric(operator="sample")(one, attribution(one, [0, 1, 2, 0])))


@EVERY_METRIC
def test_only_sampling_needs_anything(metric):
    assert all(metric(operator=operator).needs == () for operator in OPERATORS if operator != "sample")


@EVERY_METRIC
def test_metrics_refuse_an_operator_by_name_and_value(metric):
    allowed = "use mask or pad or attention or delete or sample"
    with pytest.raises(ValueError, match=f"operator='blur' is not allowed; {allowed}"):
        metric(operator="blur")


@pytest.mark.parametrize("metric", [Comprehensiveness, Sufficiency])
@pytest.mark.parametrize("operator", ["pad", "attention", "delete", "sample"])
def test_the_paper_protocol_knows_only_the_mask_token(metric, operator):
    with pytest.raises(ValueError, match=f"operator='{operator}' is not allowed; protocol=paper allows only mask"):
        metric(protocol="paper", operator=operator)
    assert metric(protocol="paper", operator="mask").needs == ()


def test_the_operator_is_part_of_a_metrics_identity():
    assert spec.build("metric", "comprehensiveness").identity == "comprehensiveness(protocol=strict, operator=mask)"
    assert spec.build("metric", "deletion(operator=delete)").label == "deletion(operator=delete)"


@pytest.mark.slow
@EVERY_OPERATOR
@EVERY_METRIC
def test_metrics_keep_their_contract_under_every_operator(metric, operator):
    classifier = shared_classifier("roberta", 1.5, classes=3, dtype=torch.float64)
    assert check_metric(metric(operator=operator), classifier, random_texts(classifier, (5, 1, 3))) is None


def test_metrics_and_explanations_of_a_text_share_their_rows():
    classifier = shared_classifier("bert", dtype=torch.float64)
    one = random_texts(classifier, (8,))[0]
    order = attribution(one, np.arange(len(one)))
    engine = Engine(classifier)
    asked = [Deletion()(one, order), DecisionFlip()(one, order), Monotonicity("steps")(one, order)]
    list(engine.run([together(dict(enumerate(asked)))]))
    assert engine.counts.run == 9  # 0 to 8 tokens gone
    assert engine.counts.asked == 27
