"""What comes back from components and models, checked at its border; limits of time; what is put back."""

import math
import os
import pickle
import time

import numpy as np
import pytest
import torch
from builders import LinearModel, text, tiny_classifier

from faithbench.answering import answers
from faithbench.answering.engine import Engine
from faithbench.answering.returned import check_attribution, check_measurement, check_text
from faithbench.conversations import attempt, together
from faithbench.errors import ModelChangedError, QuestionError, describe
from faithbench.limits import OverTimeError, limited, put_back, state
from faithbench.models.steady import Steady
from faithbench.questions import Gradient, Inside, Logits, Point, Row
from faithbench.types import Attribution, Example, Measurement, Target, read_only, rows_of

ONE = text([1, 5, 6, 7, 1], name="one")
HERE = __name__


def but(one, /, **changed):
    """A value with some of its fields changed, whether or not they may be so."""
    other = object.__new__(type(one))
    vars(other).update({**vars(one), **changed})
    return other


def said(**changed):
    return but(Attribution("one", Target(0), np.arange(5.0)), **changed)


def measured(value=1.0, **changed):
    return but(Measurement(1.0), value=value, **changed)


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (None, "gave a NoneType, not an Attribution"),
        (np.zeros(5), "gave a ndarray, not an Attribution"),
        (said(text_id="two"), "about text 'one' and speaks of text 'two'"),
        (said(target=Target(1)), "about class 0 and speaks of class 1"),
        (said(scores=np.zeros(4)), r"shape \(4,\) for a text of 5 tokens"),
        (said(scores=np.zeros((5, 1))), r"shape \(5, 1\)"),
        (said(scores=[1, 2, 3, 4, None]), "no array of numbers"),
        (said(scores=["a"] * 5), "no array of numbers"),
        (said(scores=np.full(5, 1j)), "no array of numbers"),
        (said(scores=np.array([0, 0, 0, 0, math.nan])), "not finite"),
        (said(scores=np.full(5, np.longdouble("1e4000"))), "not finite"),
        (said(scores=np.full(5, 1e300)), "beyond 1e"),
        (said(standard_errors=np.zeros(4)), "standard errors of shape"),
        (said(standard_errors=np.full(5, -1.0)), "below 0"),
        (said(standard_errors=np.full(5, math.nan)), "not finite"),
        (said(notes={"a": "b"}), "note 'a'"),
        (said(notes={"a": math.inf}), "note 'a'"),
        (said(notes={"\x1b[1m": 1.0}), "printable name"),
        (said(notes=[1]), "no mapping"),
    ],
)
def test_an_attribution_that_is_none_is_refused_in_words(found, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_attribution(found, ONE, Target(0))


@pytest.mark.parametrize("scores", [[0, 1, 2, 3, 4], torch.arange(5.0), np.arange(5, dtype=np.float16), range(5)])
def test_scores_may_be_any_numbers_and_are_kept_so_that_nobody_writes_into_them(scores):
    found = check_attribution(said(scores=scores, notes={"gap": np.float32(0.5)}), ONE, Target(0))
    assert found.scores.tolist() == [0, 1, 2, 3, 4]
    assert found.notes == {"gap": 0.5}
    with pytest.raises(ValueError, match="read-only"):
        found.scores[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        found.scores.flags.writeable = True


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (0.5, "gave a float, not a Measurement"),
        (measured("good"), "value that is no number but a str"),
        (measured(1j), "no number but a complex"),
        (measured(np.zeros(2)), "no number but a ndarray"),
        (measured(math.inf), "infinite"),
        (measured(1e300), "beyond 1e"),
        (measured(1.0, weight=-1.0), "weight -1.0"),
        (measured(1.0, weight=math.nan), "weight nan"),
        (measured(1.0, weight=math.inf), "weight inf"),
        (measured(1.0, parts="12"), "no tuple"),
        (measured(1.0, parts=iter(int, 1)), "no tuple"),
        (measured(1.0, parts=(1.0, None)), "part that is no number"),
        (measured(1.0, parts=(0.0,) * 100_001), "at most 100,000"),
        (measured(10**400), "no number but a int"),
    ],
)
def test_a_measurement_that_is_none_is_refused_in_words(found, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_measurement(found)


def test_a_measurement_becomes_plain_numbers():
    found = check_measurement(measured(torch.tensor(2.0), parts=np.array([1, math.nan]), weight=np.int64(3)))
    assert (found.value, found.weight, found.parts[0]) == (2.0, 3.0, 1.0)
    assert math.isnan(found.parts[1])
    assert {type(number) for number in (found.value, found.weight, *found.parts)} == {float}
    assert math.isnan(check_measurement(Measurement(math.nan)).value)


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ("a text", "as a str, not as a Text"),
        (but(ONE, id="two"), "as text 'two'"),
        (but(ONE, ids=ONE.ids[:-1]), "ids that are no array of 5 whole numbers"),
        (but(ONE, ids=ONE.ids.astype(float)), "ids that are no array"),
        (but(ONE, words=None), "words"),
        (but(ONE, evidence=np.zeros(3, dtype=bool)), "evidence"),
        (but(ONE, outputs=(0, 9)), "outputs that it does not have, of 2"),
        (but(ONE, read=5), "position to read"),
        (but(ONE, link="probit"), "link"),
    ],
)
def test_a_text_that_does_not_hold_together_is_refused_in_words(found, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_text(found, Example("one", "", None), 2)
    assert check_text(ONE, Example("one", "", None), 2) is ONE


ROWS = [Row(ONE.ids), Row(ONE.ids)]
POINTS = [Point(ROWS[0], Target(0))]
SHORT = but(Gradient(np.zeros((5, 2)), np.zeros((5, 2)), 0.0), gradient=np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("check", "complaint"),
    [
        (lambda: answers.logits(np.zeros((1, 2)), 2, 2), r"shape \(1, 2\) for 2 rows of 2"),
        (lambda: answers.logits(np.zeros((2, 3)), 2, 2), r"shape \(2, 3\)"),
        (lambda: answers.logits([[0.0, 1.0]] * 2, 2, 2), "no array of numbers but a list"),
        (lambda: answers.logits(np.array([["a", "b"]] * 2), 2, 2), "no array of numbers"),
        (lambda: answers.embeddings([np.zeros((5, 3))], ROWS), "1 answers to 2 rows"),
        (lambda: answers.embeddings(None, ROWS), "no answers to 2 rows"),
        (lambda: answers.embeddings([np.zeros((4, 3))] * 2, ROWS), "for 5 tokens"),
        (lambda: answers.attentions([np.zeros((1, 1, 5, 4))] * 2, ROWS), "attention of shape"),
        (lambda: answers.gradients([None], POINTS, "rules"), "NoneType in place of a gradient under rules"),
        (
            lambda: answers.gradients([SHORT], POINTS, ""),
            "for 5 tokens",
        ),
    ],
)
def test_answers_of_another_shape_are_refused_in_words(check, complaint):
    with pytest.raises(QuestionError, match=complaint):
        check()


def test_answers_that_are_no_numbers_are_refused_row_by_row():
    logits = np.array([[0.0, 1.0], [math.nan, 1.0]])
    fine, refused = answers.logits(logits, 2, 2)
    assert fine.tolist() == [0.0, 1.0]
    assert "not finite" in str(refused)
    assert not fine.flags.writeable
    (gradient,) = answers.gradients([Gradient(np.zeros((5, 2)), np.full((5, 2), math.inf), 0.0)], POINTS, "")
    assert isinstance(gradient, QuestionError)


def test_an_array_that_is_read_only_stays_itself_and_others_are_copied():
    own = np.arange(6)[::2]
    locked = read_only(own)
    own[0] = 9
    assert locked.tolist() == [0, 2, 4]
    assert read_only(locked) is locked
    assert read_only(np.zeros((0, 3))).shape == (0, 3)
    assert pickle.loads(pickle.dumps(ONE)).ids.tolist() == ONE.ids.tolist()


@pytest.mark.parametrize("shape", [(6,), (6, 2), (0, 3)])
def test_rows_of_a_locked_array_lie_in_its_memory_and_nobody_can_write_into_them(shape):
    whole = read_only(np.arange(np.prod(shape)).reshape(shape))
    rows = rows_of(rows_of(whole, 1, 5), 1)
    assert rows.tolist() == whole[1:5][1:].tolist()
    assert read_only(rows) is rows
    assert np.shares_memory(rows, whole) or not rows.size
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        rows.setflags(write=True)
    assert rows_of(np.arange(4), 1, 3).tolist() == [1, 2]


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("a\nb \x0b c"), "ValueError: a b c"),
        (KeyError(), "KeyError"),
        (MuteError(), "MuteError"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_an_error_is_told_in_one_line(error, words):
    assert describe(error) == words


def test_a_long_error_is_told_by_its_ends():
    told = describe(ValueError("begin" + "x" * 10_000 + "end"))
    assert told.startswith("ValueError: begin")
    assert told.endswith("xend")
    assert len(told) < 330


def test_a_step_is_interrupted_when_its_time_is_over_and_the_timer_is_gone_afterwards():
    start = time.monotonic()
    with pytest.raises(OverTimeError), limited(0.1):
        time.sleep(30)
    assert time.monotonic() - start < 20
    with limited(0.05):
        pass
    time.sleep(0.1)
    with limited(None):
        assert True


def test_what_a_component_takes_is_counted_over_all_its_steps():
    def often(t):
        for number in range(20):
            time.sleep(0.03)
            keep = np.ones((1, len(t)), dtype=bool)
            keep[0, number % 3 + 1] = False
            yield Logits(t, keep)
        return "done"

    model = LinearModel.random()
    (outcomes,) = Engine(model).run([together({"slow": often(ONE), "sound": often(ONE)}, 0.2)])
    assert {outcome.error for outcome in outcomes.values()} == {"OverTimeError: it took longer than 0.2 seconds"}
    ((_, free),) = Engine(model).run([attempt("free", often(ONE))])
    assert free.value == "done"


def test_what_a_component_leaves_changed_is_put_back(tmp_path):
    before = (np.geterr(), os.getcwd(), torch.is_grad_enabled(), torch.get_default_dtype())
    kept = state()
    torch.set_autocast_enabled("cpu", True)
    torch.backends.cuda.enable_math_sdp(False)
    torch.device("meta").__enter__()
    torch.inference_mode().__enter__()
    np.seterr(all="raise")
    os.chdir(tmp_path)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    put_back(kept)
    assert (np.geterr(), os.getcwd(), torch.is_grad_enabled(), torch.get_default_dtype()) == before
    assert (torch.is_autocast_enabled("cpu"), torch.backends.cuda.math_sdp_enabled()) == (False, True)
    assert torch.zeros(1).device.type == "cpu"
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        (lambda model: setattr(model.bert.embeddings.LayerNorm, "eps", 1.0), "other eps"),
        (lambda model: setattr(model.config, "problem_type", "odd"), "other problem_type"),
        (lambda model: setattr(model.dropout, "forward", abs), "other forward"),
        (lambda model: torch.nn.modules.module.register_module_forward_hook(abs), "other hooks"),
        (lambda model: model.train(), "other training"),
        (lambda model: model.classifier.bias.requires_grad_(), "other requires_grad"),
        (lambda model: model.classifier.register_forward_hook(lambda *args: None), "other hooks"),
    ],
)
def test_a_model_that_is_left_changed_is_put_back_and_the_deed_is_told(deed, words):
    network = tiny_classifier("bert").model.requires_grad_(False)
    steady = Steady(network)
    with pytest.raises(QuestionError, match=words), steady.unchanged():
        deed(network)
    with steady.unchanged():
        assert not network.training
    assert not network.classifier._forward_hooks
    assert not network.classifier.bias.requires_grad


@pytest.mark.parametrize(
    "deed",
    [
        lambda weight: weight.mul_(2),
        lambda weight: weight.data.normal_(),
        lambda weight: weight[3].zero_(),
        lambda weight: setattr(weight, "data", torch.zeros_like(weight)),
        lambda weight: setattr(weight, "data", weight.double()),
    ],
)
def test_weights_that_are_written_into_end_the_run(deed):
    network = tiny_classifier("bert").model
    steady = Steady(network)
    told = pytest.raises(ModelChangedError, match="written into the model's weights")
    with torch.no_grad(), told, steady.unchanged():
        deed(network.get_input_embeddings().weight)


def test_weights_that_are_put_back_are_no_matter():
    network = tiny_classifier("bert").model
    weight = network.get_input_embeddings().weight
    with torch.no_grad(), Steady(network).unchanged():
        before = weight.clone()
        weight.mul_(3)
        weight.copy_(before)
    assert torch.equal(weight, before)


@pytest.mark.parametrize("fill", [10**9, -7])
def test_ids_that_the_model_does_not_know_never_reach_it(fill):
    classifier = tiny_classifier("bert")
    seen = []
    logits = classifier.logits
    classifier.logits = lambda rows: seen.append(len(rows)) or logits(rows)

    def asks(kind):
        return (yield Logits(ONE, np.zeros((2, len(ONE)), dtype=bool), fill=kind))

    (outcomes,) = Engine(classifier).run([together({"bad": asks(fill), "good": asks(5)})])
    assert outcomes["bad"].error == f"QuestionError: token id {fill} is not one of {classifier.tokens}"
    assert outcomes["good"].value.shape[0] == 2
    assert seen == [1]


def kept(model, one):
    return SHARED


SHARED = {"list": [1]}


def test_what_a_look_gives_is_each_askers_own():
    def writes(t):
        found = yield Inside(t, f"{HERE}:kept")
        found["list"].append(2)
        return found

    (outcomes,) = Engine(LinearModel.random()).run([together({"a": writes(ONE), "b": writes(ONE)})])
    assert [outcomes[name].value for name in "ab"] == [{"list": [1, 2]}] * 2
    assert SHARED == {"list": [1]}
