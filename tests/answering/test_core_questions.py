"""Tokens taken away, embeddings put in place, explanations that metrics ask for: against torch, alone and padded."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders import EXACT, LinearModel, answers, one, random_texts, text, tiny_classifier
from fixtures_run import DATA, add_distribution, checkpoint, trained_cache, use_cache
from slow_transformer import MODELS, SlowTransformer

import faithbench
from faithbench.answering.engine import Engine
from faithbench.conformance import Crowded
from faithbench.conversations import answering, ask, gather, together
from faithbench.errors import QuestionError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import spec
from faithbench.questions import GONE, HIDDEN, Embeddings, Explain, Gradients, Logits, LogitsAt, OnVariant, Row, Variant
from faithbench.records.store import Store
from faithbench.types import Attribution, Text

ONE = text(range(1, 9), name="one")
LINEAR = LinearModel.random(classes=3)


def both_ways(classifier: HuggingFaceClassifier, texts: Sequence[Text], question: object) -> list[np.ndarray]:
    """The answer alone, and where every batch is padded by other texts."""
    return [answers(each, one(question)) for each in (classifier, Crowded(classifier, texts))]


def torch_logits(classifier: HuggingFaceClassifier, ids: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """One row by the torch model, whose positions count from the left."""
    first = classifier.model.config.pad_token_id + 1
    roberta = classifier.model.config.model_type == "roberta"
    positions = {"position_ids": torch.arange(first, first + len(ids))[None]} if roberta else {}
    mask = torch.ones(1, len(ids)) if seen is None else torch.from_numpy(seen)[None].long()
    with torch.no_grad():
        logits = classifier.model(input_ids=torch.from_numpy(ids)[None], attention_mask=mask.long(), **positions).logits
    return logits[0].numpy()


def random_keep(one: Text, rows: int = 4) -> np.ndarray:
    """Some content tokens are kept in each row, all in the first, none in the last."""
    keep = np.random.default_rng(len(one)).random((rows, len(one))) < 0.6
    keep[0], keep[-1] = True, False
    keep[:, one.special] = True
    return keep


@pytest.mark.slow
@MODELS
def test_hidden_tokens_are_seen_by_none_and_keep_their_places(kind, b):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    texts = random_texts(classifier, (5, 1, 9))
    for t in texts:
        keep = random_keep(t)
        expected = [torch_logits(classifier, t.ids, row) for row in keep]
        for found in both_ways(classifier, texts, Logits(t, keep, HIDDEN)):
            np.testing.assert_allclose(found, expected, **EXACT)
        other = t.ids.copy()
        other[~keep[2]] = 7  # what is hidden makes no difference
        np.testing.assert_allclose(torch_logits(classifier, other, keep[2]), expected[2], **EXACT)


@MODELS
def test_tokens_that_are_gone_leave_a_shorter_text(kind, b):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    texts = random_texts(classifier, (5, 1, 9))
    for t in texts:
        keep = random_keep(t)
        expected = [torch_logits(classifier, t.ids[row]) for row in keep]
        for found in both_ways(classifier, texts, Logits(t, keep, GONE)):
            np.testing.assert_allclose(found, expected, **EXACT)


@MODELS
def test_each_place_may_have_an_id_of_its_own(kind, b):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    texts = random_texts(classifier, (5, 1, 9))
    for t in texts:
        keep = random_keep(t)
        fill = np.random.default_rng(0).integers(5, 20, keep.shape)
        fill[1, 1] = HIDDEN
        keep[1, 1] = False
        expected = []
        for row, ids in zip(keep, fill, strict=True):
            replaced = np.array([own if kept else new for own, kept, new in zip(t.ids, row, ids, strict=True)])
            expected.append(torch_logits(classifier, np.maximum(replaced, 0), replaced != HIDDEN))
        for found in both_ways(classifier, texts, Logits(t, keep, fill)):
            np.testing.assert_allclose(found, expected, **EXACT)


def test_an_id_fills_all_places_and_none_means_the_mask_token():
    classifier = tiny_classifier("bert", dtype=torch.float64)
    (t,) = random_texts(classifier, (5,))
    keep = random_keep(t)
    for fill, same in ((7, np.full(keep.shape, 7)), (None, np.full(keep.shape, t.mask_id))):
        np.testing.assert_array_equal(*(answers(classifier, one(Logits(t, keep, each))) for each in (fill, same)))


def test_rows_that_come_to_the_same_are_run_once_and_others_are_not_taken_for_them():
    model, t = LinearModel.random(), text([1, 3, 3, 4, 1])
    first, second = np.ones((2, 1, 5), dtype=bool)
    first[0, 1] = second[0, 2] = False
    engine = Engine(model)

    def curious() -> Iterator[object]:
        return (yield Logits(t, first, GONE), Logits(t, second, GONE), Logits(t, first, HIDDEN), Logits(t, first, 3))

    (found,) = engine.run([together({0: ask(curious)})])
    assert engine.counts.asked == 4
    assert engine.counts.run == 3  # which of two equal neighbours is gone makes no difference
    same, again, hidden, whole = found[0].value
    np.testing.assert_array_equal(same, again)
    np.testing.assert_allclose(same, hidden, **EXACT)  # in a bag of words, which has no places
    np.testing.assert_allclose(whole, model.logits([Row(t.ids)]), **EXACT)


@pytest.mark.parametrize("fill", [GONE, np.full((2, 4), GONE)], ids=["whole row", "some places"])
def test_what_cannot_be_read_is_refused_where_it_is_asked(fill):
    t, keep = text([1, 3, 4, 1]), np.zeros((2, 4), dtype=bool)
    with pytest.raises(ValueError, match=r"GONE|fill"):
        Logits(t, keep, fill)


@pytest.mark.slow
@MODELS
def test_logits_at_embeddings_are_those_of_the_slow_model(kind, b):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    texts = random_texts(classifier, (5, 1, 9))
    slow = SlowTransformer(classifier)
    for t in texts:
        places = slow.embeddings(t).numpy() + np.random.default_rng(0).normal(size=(3, len(t), 16))
        expected = [slow.forward(torch.from_numpy(place))[0].value[0].numpy() for place in places]
        for found in both_ways(classifier, texts, LogitsAt(t, places)):
            np.testing.assert_allclose(found, expected, **EXACT)


@MODELS
def test_logits_at_the_embeddings_of_a_text_are_its_own(kind, b):
    classifier = tiny_classifier(kind, b, dtype=torch.float64)
    one_text, other = random_texts(classifier, (4, 4))

    def curious() -> Iterator[object]:
        keep = random_keep(other)
        places = yield Embeddings(other, keep)
        return (yield LogitsAt(one_text, places), Logits(other, keep))

    at, expected = answers(classifier, curious())
    np.testing.assert_allclose(at, expected, **EXACT)
    np.testing.assert_allclose(answers(classifier, curious(), batch_tokens=1)[0], expected, **EXACT)


def test_a_classifier_that_reads_no_embeddings_refuses_only_who_asks_for_it():
    random = LinearModel.random()
    model, t = replace(random, reads_embeddings=False), text([1, 3, 1])
    askings = {"at": one(LogitsAt(t, np.zeros((1, 3, 4)))), "ids": one(Logits(t, np.ones((1, 3), dtype=bool)))}
    (found,) = Engine(model).run([together(askings)])
    assert found["at"].error.startswith("QuestionError: ")
    assert "embeddings" in found["at"].error
    np.testing.assert_allclose(found["ids"].value, random.logits([Row(t.ids)]))


# Explanations that a metric asks for


PLUGIN = """
from dataclasses import dataclass

import numpy as np

from faithbench.questions import NOISE, Explain, Logits, Variant
from faithbench.types import Attribution, Measurement


class Other:
    '''Scores for another class, for the same, and for a variant, beside logits; all in one question.'''

    def __call__(self, text, attribution):
        keep = np.ones((1, len(text)), dtype=bool)
        noise = Variant(NOISE, (("radius", 0.5), ("seed", 0)))
        same, logits, other, noisy, again = yield (
            Explain(text, attribution.target),
            Logits(text, keep),
            Explain(text, 1 - attribution.target.output),
            Explain(text, attribution.target, noise),
            Logits(text, keep),
        )
        assert (logits == again).all()
        assert (same.target, other.target) == (attribution.target, 1 - attribution.target.output)
        assert not np.allclose(noisy.scores, same.scores)
        return Measurement(float(same.scores[1]), tuple(map(float, (*other.scores, *logits[0]))))


class Plain:
    def __call__(self, text, attribution):
        return Measurement(float(attribution.scores[1]))


class OnlyPredicted:
    '''An explainer that knows only the class that the model predicts.'''

    def __call__(self, text, target):
        logits = yield Logits(text, np.ones((1, len(text)), dtype=bool))
        if target != logits[0].argmax():
            raise LookupError("no such class")
        return Attribution(text.id, target, np.ones(len(text)))
"""
ENTRIES = {
    "metrics": {"other": "acme_other:Other", "plain": "acme_other:Plain"},
    "explainers": {"only_predicted": "acme_other:OnlyPredicted"},
}


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_cache(monkeypatch, trained_cache())
    monkeypatch.syspath_prepend(add_distribution(tmp_path / "acme", "acme", ENTRIES, {"acme_other": PLUGIN}))
    monkeypatch.delitem(sys.modules, "acme_other", raising=False)


def records_of(folder: Path, explainers: tuple[str, ...]) -> dict[tuple[str, str], list]:
    plan = faithbench.Plan(
        datasets=(DATA,), models=("conv-tiny",), explainers=explainers, metrics=("other", "plain"), limit=3
    )
    faithbench.run(plan, folder, device="cpu")
    frame = Store(folder).read("records")
    keys = zip(frame["explainer"].str.split("(").str[0], frame["metric"], strict=True)
    found: dict[tuple[str, str], list] = {}
    for key, row in zip(keys, frame.itertuples(), strict=True):
        found.setdefault(key, []).append(row)
    return found


@pytest.mark.usefixtures("plugin")
def test_a_run_answers_what_a_metric_asks_the_explainer(tmp_path):
    found = records_of(tmp_path / "run", ("input_x_gradient", "occlusion"))
    examples = {e.id: e for e in spec.build("dataset", DATA).object.load("test")}
    for name in ("input_x_gradient", "occlusion"):
        assert len(found[name, "other"]) == 3
        for row in found[name, "other"]:
            assert pd.isna(row.error)
            both = [
                faithbench.attribute(str(checkpoint()), [examples[row.unit].text], name, target=target, device="cpu")
                for target in (row.target, 1 - row.target)
            ]
            same, other = (each[0].scores for each in both)
            assert row.value == pytest.approx(same[1], rel=1e-4, abs=1e-6)
            np.testing.assert_allclose(row.parts[: len(other)], other, rtol=1e-3, atol=1e-5)
            assert len(row.parts) == len(other) + 2
            assert int(np.argmax(row.parts[-2:])) == row.target


@pytest.mark.usefixtures("plugin")
def test_an_explainer_that_fails_when_asked_again_fails_only_that_cell(tmp_path):
    found = records_of(tmp_path / "run", ("only_predicted", "occlusion"))
    assert {row.error for row in found["only_predicted", "other"]} == {
        "QuestionError: the explainer failed: LookupError: no such class"
    }
    for case in (("only_predicted", "plain"), ("occlusion", "other"), ("occlusion", "plain")):
        assert [pd.isna(row.error) for row in found[case]] == [True] * 3
    assert [row.value for row in found["only_predicted", "plain"]] == [1.0] * 3


def test_explanations_may_stand_in_a_tuple_alone_and_with_questions_before_and_after():
    model, t = LinearModel.random(), text([1, 3, 4, 1])
    keep = np.ones((1, 4), dtype=bool)

    def explainer(question: Explain) -> Iterator[object]:
        logits = yield Logits(t, keep)
        return Attribution(t.id, question.target, np.full(4, logits[0, question.target]))

    def metric() -> Iterator[object]:
        alone = yield Explain(t, 2)
        pair = yield (Explain(t, 0), Explain(t, 1))
        before, logits, after = yield (Explain(t, 1), Logits(t, keep), Explain(t, 2))
        (single,) = yield (Explain(t, 0),)
        return [each.scores[0] for each in (alone, *pair, before, after, single)], logits

    found, logits = answers(model, answering(metric(), explainer))
    expected = model.logits([Row(t.ids)])[0]
    np.testing.assert_allclose(found, expected[[2, 0, 1, 1, 2, 0]])
    np.testing.assert_allclose(logits[0], expected)


def test_an_explainer_that_fails_is_raised_in_the_metric_which_may_go_on():
    model, t = LinearModel.random(), text([1, 3, 4, 1])

    def explainer(question: Explain) -> Iterator[object]:
        if question.target == 2:
            raise LookupError("no such class")
        return (yield from ask(lambda: Attribution(t.id, question.target, np.ones(4))))

    def metric() -> Iterator[object]:
        try:
            yield (Explain(t, 0), Explain(t, 2))
        except LookupError as error:
            other = yield Explain(t, 1)
            return str(error), other.target

    assert answers(model, answering(metric(), explainer)) == ("no such class", 1)


def test_an_explanation_asked_by_an_explainer_is_no_question():
    (found,) = Engine(LinearModel.random()).run([together({0: one(Explain(text([1, 3, 1]), 0))})])
    assert "is no question" in found[0].error


def refusing(target: int) -> Iterator[object]:
    """Asks for a class that the model may not have, and makes do without."""
    try:
        return (yield Gradients(ONE, target)).logit
    except QuestionError as error:
        return str(error)


def test_a_refused_question_is_raised_in_its_asker_alone():
    found = answers(LINEAR, gather([refusing(0), refusing(99), refusing(1)]))
    assert [type(each) for each in found] == [float, str, float]
    assert "target 99 is not one of" in found[1]


def test_of_a_relayed_round_the_refused_question_is_raised_in_its_asker_alone():
    def metric() -> Iterator[object]:
        return (yield from gather([refusing(0), refusing(99)]))

    found = answers(LINEAR, answering(metric(), one))
    assert isinstance(found[0], float)
    assert "target 99 is not one of" in found[1]


def test_what_a_gathered_questioner_does_not_handle_is_raised_by_the_gathering():
    def careless() -> Iterator[object]:
        return (yield Gradients(ONE, 99))

    with pytest.raises(RuntimeError, match="QuestionError: target 99"):
        answers(LINEAR, gather([refusing(0), careless()]))


def test_explanations_that_are_asked_at_once_are_asked_at_once():
    rounds = []

    def explained(question: Explain) -> Iterator[object]:
        first = yield Gradients(question.text, question.target)
        second = yield Gradients(question.text, question.target, interpolation=np.full((1, len(question.text)), 0.5))
        return first.logit + second[0].logit

    def metric() -> Iterator[object]:
        return (yield (Explain(ONE, 0), Explain(ONE, 1), Logits(ONE, np.ones((1, len(ONE)), dtype=bool))))

    def counted(asking: Iterator[object]) -> Iterator[object]:
        answer = None
        while True:
            try:
                asked = asking.send(answer)
            except StopIteration as stop:
                return stop.value
            rounds.append(len(asked))
            answer = yield asked

    first, second, logits = answers(LINEAR, counted(answering(metric(), explained)))
    assert rounds == [3, 2]
    assert first != second
    assert logits.shape == (1, LINEAR.classes)


def test_an_explanation_cannot_be_asked_of_a_variant():
    with pytest.raises(TypeError, match=r"cannot be asked of a variant|parameter .question."):
        OnVariant(Variant("module:Class"), Explain(ONE, 0))
