"""What is explained: targets, tasks, the outputs that are named, token types; several targets of a text."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from builders import LinearModel, answers, one, random_texts, text, tiny_classifier
from faithbench_explainers.input_x_gradient import InputXGradient
from faithbench_explainers.occlusion import Occlusion
from faithbench_metrics.comprehensiveness import Comprehensiveness

from faithbench.answering.engine import Engine
from faithbench.conversations import together
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins.spec import build
from faithbench.probability import log_probabilities, probabilities
from faithbench.questions import GONE, Embeddings, Gradients, Logits, LogitsAt, Row
from faithbench.records.results import panels
from faithbench.records.store import Store
from faithbench.running.scoring import Scoring
from faithbench.tasks import Classification, MultiLabel, Regression
from faithbench.training.prepare import Prepared
from faithbench.training.setup import Setup
from faithbench.types import Example, Record, Target

TEXT = text([1, 3, 5, 7, 1])
MODEL = LinearModel.random()
WHOLE = np.ones((1, len(TEXT)), dtype=bool)


def test_a_target_stands_for_its_output():
    logits = np.array([[1.0, 2.0, 4.0], [0.0, 5.0, 1.0]], dtype=np.float32)
    target, contrast = Target(1), Target(1, against=2)
    assert logits[:, target].tolist() == [2.0, 5.0]
    assert target.value(logits).tolist() == [2.0, 5.0]
    assert contrast.value(logits).tolist() == [-2.0, 4.0]
    assert target == 1 == np.int64(1)
    assert hash(target) == hash(1)
    assert contrast not in (1, target, Target(1, 0))
    assert contrast == Target(1, 2)
    assert (str(target), str(contrast)) == ("1", "1, not 2")


@pytest.mark.parametrize(
    ("link", "row", "expected"),
    [
        ("softmax", [0.0, np.log(3.0)], [0.25, 0.75]),
        ("sigmoid", [0.0, np.log(3.0)], [0.5, 0.75]),
        ("identity", [0.0, -2.5], [0.0, -2.5]),
    ],
)
def test_links_lead_from_logits_to_what_is_said(link, row, expected):
    found = probabilities(np.array([row]), link)
    np.testing.assert_allclose(found, [expected], rtol=1e-12)
    if link == "identity":
        with pytest.raises(ValueError, match="no probabilities"):
            log_probabilities(np.array([row]), link)
    else:
        np.testing.assert_allclose(log_probabilities(np.array([row]), link), np.log([expected]), rtol=1e-12)
        assert np.isfinite(log_probabilities(np.array([[-1e5, 1e5]]), link)).all()


def test_tasks_say_what_is_explained():
    logits = MODEL.logits([Row(TEXT.ids)])[0]
    assert answers(MODEL, Classification().targets(TEXT)) == (int(logits.argmax()),)
    assert answers(MODEL, Regression().targets(TEXT)) == (0,)
    for shift in (-100.0, 0.0, 100.0):
        model = replace(MODEL, bias=MODEL.bias + shift)
        given = [c for c in range(3) if logits[c] + shift > 0] or [int(logits.argmax())]
        assert answers(model, MultiLabel().targets(TEXT)) == tuple(given)


@pytest.mark.parametrize("named", [(2, 0), (1,)])
def test_named_outputs_are_all_that_is_answered(named):
    every = answers(MODEL, one(Logits(TEXT, WHOLE)))
    found = answers(MODEL, one(Logits(TEXT, WHOLE, outputs=named)))
    np.testing.assert_allclose(found, every[:, list(named)], rtol=1e-12)
    classifier = tiny_classifier("bert", classes=3, dtype=torch.float64)
    (t,) = random_texts(classifier, (5,))
    both = answers(classifier, one((Logits(t, ~t.special[None]), Logits(t, ~t.special[None], outputs=named))))
    np.testing.assert_allclose(both[1], both[0][:, list(named)], rtol=1e-12)


def test_an_output_that_the_model_lacks_is_answered_in_one_sentence():
    with pytest.raises(RuntimeError, match="output 3 is not one of 3 classes"):
        answers(MODEL, one(Logits(TEXT, WHOLE, outputs=(0, 3))))
    with pytest.raises(RuntimeError, match="target 2 is not one of 2 classes"):
        answers(MODEL, one(Gradients(replace(TEXT, outputs=(2, 1)), Target(2))))


def test_outputs_of_a_text_are_counted_from_0_whoever_asks():
    """A text of two candidates is a text of two classes, to explainers and metrics alike."""
    classifier = tiny_classifier("bert", classes=3, dtype=torch.float64)
    (whole,) = random_texts(classifier, (6,))
    two, keep = replace(whole, outputs=(2, 0)), np.ones((1, len(whole)), dtype=bool)
    places = answers(classifier, one(Embeddings(two, keep)))
    found = answers(classifier, one((Logits(two, keep), LogitsAt(two, places), Logits(two, keep, outputs=(1,)))))
    every = answers(classifier, one(Logits(whole, keep)))
    np.testing.assert_allclose(found[0], every[:, [2, 0]], rtol=1e-9)
    np.testing.assert_allclose(found[1], every[:, [2, 0]], rtol=1e-9)
    np.testing.assert_allclose(found[2], every[:, [0]], rtol=1e-9)
    for explainer in (InputXGradient(), Occlusion()):
        scores = [answers(classifier, explainer(t, aim)).scores for t, aim in ((two, Target(0)), (whole, Target(2)))]
        np.testing.assert_allclose(*scores, rtol=1e-9, atol=1e-15)
    apart = [
        answers(classifier, InputXGradient()(t, aim)).scores for t, aim in ((two, Target(0, 1)), (whole, Target(2, 0)))
    ]
    np.testing.assert_allclose(*apart, rtol=1e-9, atol=1e-15)
    drop = answers(classifier, Comprehensiveness()(two, answers(classifier, Occlusion()(two, Target(0))))).parts
    chances = probabilities(every[:, [2, 0]])[0, 0]
    assert chances - 1 <= min(drop) <= max(drop) <= chances


def test_token_types_are_read_in_all_questions_alone_and_padded():
    classifier = tiny_classifier("bert", dtype=torch.float64)
    first, second = random_texts(classifier, (5, 9))
    types = (np.arange(len(first)) > 2).astype(np.int64)
    typed = replace(first, types=types)
    keep = np.ones((2, len(first)), dtype=bool)
    keep[1, 2] = False
    asked = (Logits(typed, keep), Logits(typed, keep, fill=GONE), Gradients(typed, Target(1)), Embeddings(typed, keep))

    def crowd(t):
        return (yield (Logits(t, np.ones((1, len(t)), dtype=bool)), Gradients(t, Target(0))))

    (outcomes,) = Engine(classifier).run([together({"typed": one(asked), "other": crowd(second)})])
    masked, gone, gradient, embeddings = outcomes["typed"].value

    def torch_logits(ids: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            given = {"input_ids": torch.from_numpy(ids)[None], "token_type_ids": torch.from_numpy(kinds)[None]}
            return classifier.model(**given).logits.numpy()[0]

    ids = np.where(keep[1], first.ids, first.mask_id)
    np.testing.assert_allclose(masked, [torch_logits(first.ids, types), torch_logits(ids, types)], rtol=1e-9)
    np.testing.assert_allclose(gone[1], torch_logits(first.ids[keep[1]], types[keep[1]]), rtol=1e-9)
    np.testing.assert_allclose(gradient.logit, masked[0, 1], rtol=1e-9)
    np.testing.assert_allclose(gradient.embeddings, embeddings[0], rtol=1e-12)
    plain = answers(classifier, one(Logits(first, keep)))
    assert np.abs(plain - masked).max() > 1e-6  # so that types left out would be seen


def test_only_the_position_that_the_head_really_reads_is_computed_whatever_is_said_of_it():
    network = tiny_classifier("bert", dtype=torch.float64).model
    classifier = HuggingFaceClassifier(
        network, tiny_classifier("bert").tokenizer, dtype=torch.float64, task=Classification("last")
    )
    seen = []
    handle = classifier.can.cut.register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
    (t,) = (classifier.encode(Example("a", "the film", 0)),)
    classifier.logits([Row(t.ids)])
    handle.remove()
    assert seen == [1]
    assert t.read == len(t) - 1


class Grid:
    """As much of a plan's data set as scoring needs."""

    dataset = build("dataset", "planted")
    fingerprint = "d"
    explainers = (build("explainer", "occlusion"), build("explainer", "random"))
    metrics = (build("metric", "comprehensiveness"), build("metric", "entropy"))


def scored(model: LinearModel, store: Store) -> Scoring:
    return Scoring(Grid(), Prepared(model, "m", "m", {}), store, Setup())


def test_every_target_of_a_text_is_explained_measured_and_stored_and_done_once(tmp_path):
    logits = MODEL.logits([Row(TEXT.ids)])[0]
    order = np.argsort(logits)
    model = replace(MODEL, bias=MODEL.bias - logits[order[:2]].mean(), task=MultiLabel())  # two labels are given
    texts = [replace(TEXT, id="a", link="sigmoid"), replace(TEXT, id="b", ids=TEXT.ids[::-1].copy(), link="sigmoid")]
    store = Store(tmp_path / "run").open()
    done = scored(model, store).run(texts)
    assert (done.failed, done.done) == (0, 8)  # texts, explainers, metrics
    records, attributions = store.read("records"), store.read("attributions")
    expected = {(t, label) for t in "ab" for label in order[1:]}
    for (_, _), cell in records.groupby(["explainer", "metric"]):
        assert set(zip(cell["unit"], cell["target"], strict=True)) == expected
    assert set(zip(attributions["text_id"], attributions["target"], strict=True)) == expected
    (panel,) = panels(records.assign(dataset_fingerprint="d"))
    assert len(panel.texts) == len(expected)
    again = scored(model, store).run(texts)
    assert (again.done, again.before) == (0, 8)
    half = Store(tmp_path / "half").open()
    kept = [f.name for f in fields(Record) if f.name not in ("target", "parts", "error")]
    for row in records.itertuples():
        error = "ValueError: no" if row.target == order[1] else None
        known = {name: getattr(row, name) for name in kept}
        half.add([], [Record(**known, target=Target(row.target), parts=tuple(row.parts), error=error)])
    half.flush()
    assert scored(model, half).run(texts).done == 8  # of one target each cell had failed
    assert half.read("records")["error"].isna().all()


def test_gradients_of_texts_with_other_outputs_share_no_batch_and_no_row():
    classifier = tiny_classifier("bert", classes=5, dtype=torch.float64)
    first, second = random_texts(classifier, (5, 5))
    named = [replace(first, outputs=(3, 4)), replace(first, outputs=(1, 2, 3)), replace(second, outputs=(0, 2)), second]
    every = {t.id: answers(classifier, one(Logits(t, np.ones((1, len(t)), dtype=bool))))[0] for t in (first, second)}
    askings = {str(i): one(Gradients(t, Target(1))) for i, t in enumerate(named)}
    (found,) = Engine(classifier).run([together(askings)])
    for i, t in enumerate(named):
        output = 1 if t.outputs is None else t.outputs[1]
        np.testing.assert_allclose(found[str(i)].value.logit, every[t.id][output], rtol=1e-9)


@pytest.mark.parametrize("wrong", [(-1,), (2,), ()])
def test_outputs_that_a_text_has_not_are_refused_when_they_are_asked(wrong):
    with pytest.raises(ValueError, match=r"outputs=.* is not allowed"):
        Logits(replace(TEXT, outputs=(1, 2)), WHOLE, outputs=wrong)


def test_what_fails_is_counted_as_cells_whatever_its_targets(tmp_path):
    class Failing:
        def __call__(self, text, target):
            raise RuntimeError("no")

    class Broken(Grid):
        explainers = (replace(Grid.explainers[0], object=Failing()),)

    model = replace(MODEL, bias=MODEL.bias + 100, task=MultiLabel())  # all labels are given
    done = Scoring(Broken(), Prepared(model, "m", "m", {}), Store(tmp_path).open(), Setup()).run([TEXT])
    assert (done.done, done.failed) == (0, 2)
    assert len(Store(tmp_path).read("records")) == 6


def test_a_failure_for_another_target_is_made_good_by_what_worked_later(tmp_path):
    store = Store(tmp_path).open()
    scored(MODEL, store).run([TEXT])
    records = store.read("records")
    kept = [f.name for f in fields(Record) if f.name not in ("target", "parts", "error")]
    other = (int(records["target"].iloc[0]) + 1) % 3
    early = Store(tmp_path / "early").open()
    for row in records.itertuples():
        known = {name: getattr(row, name) for name in kept}
        early.add([], [Record(**known, target=Target(other), parts=(), error="ValueError: no")])
    early.flush()
    assert scored(MODEL, early).run([TEXT]).done == 4
    assert scored(MODEL, early).run([TEXT]).before == 4
    early.compact()
    assert scored(MODEL, early).run([TEXT]).before == 4
    assert early.read("records")["error"].isna().all()
    assert len(early.read("records")) == 4
