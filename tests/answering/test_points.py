"""Questions at points in embedding space and inside the model: as the adapter answers them, and as the engine asks."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, random_texts, text, tiny_classifier
from slow_transformer import SlowTransformer, State
from torch import Tensor

from faithbench.answering.engine import Engine
from faithbench.conversations import Outcome, together
from faithbench.errors import QuestionError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.questions import ATTN_LRP, FROZEN, Embeddings, Gradient, Gradients, Inside, Logits, Point, Question, Row
from faithbench.types import Target, Text

MODELS = pytest.mark.parametrize(("kind", "b"), [(kind, b) for kind in KINDS for b in (None, 1.5)])
HERE = __name__


def slow_embeddings(classifier: HuggingFaceClassifier, point: Point) -> Tensor:
    """Where a point is: token by token between the embeddings of two texts, positions counted from the left."""
    slow = SlowTransformer(classifier)
    here = text(point.row.ids)
    own, fill = (slow.embeddings(each) for each in (here, replace(here, ids=np.full(len(here), point.fill))))
    if point.interpolation is None:
        return own
    return torch.stack([(1 - s) * b + s * e for s, e, b in zip(point.interpolation.tolist(), own, fill, strict=True)])


def slow_gradient(classifier: HuggingFaceClassifier, point: Point, rules: str) -> Gradient:
    """The gradient of the slow model there; frozen, it is the product of its matrices."""
    embeddings = slow_embeddings(classifier, point).requires_grad_()
    logits: State = SlowTransformer(classifier).forward(embeddings)[0]
    value, slope = (
        each[0, point.target.output] - (0 if point.target.against is None else each[0, point.target.against])
        for each in (logits.value, logits.slope)
    )
    gradient = slope.reshape(embeddings.shape) if rules else torch.autograd.grad(value, embeddings)[0]
    return Gradient(embeddings.detach().numpy(), gradient.detach().numpy(), value.item())


def random_points(classifier: HuggingFaceClassifier, lengths: Sequence[int]) -> list[Point]:
    """Points of all kinds: at texts, on paths and off them, from mask and pad tokens, of one class and of two."""
    draws = np.random.default_rng(0)
    fills = (classifier.tokenizer.mask_token_id, classifier.tokenizer.pad_token_id)
    found = []
    for i, one in enumerate(random_texts(classifier, lengths)):
        interpolations = (None, np.full(len(one), 0.3), draws.random(len(one)), np.zeros(len(one)))
        found += [
            Point(
                Row(one.ids),
                Target((i + j) % 3, None if j % 2 else (i + j + 1) % 3),
                weights,
                fills[(i + j // 2) % 2],
            )
            for j, weights in enumerate(interpolations)
        ]
    return found


@pytest.mark.slow
@MODELS
@pytest.mark.parametrize("rules", ["", FROZEN], ids=["plain", "frozen"])
def test_gradients_at_points_are_those_of_the_slow_model_alone_and_padded(kind, b, rules):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    points = random_points(classifier, (5, 2, 9))
    for point, padded in zip(points, classifier.gradients(points, rules), strict=True):
        expected = slow_gradient(classifier, point, rules)
        scale = np.abs(expected.gradient).max()
        for found in (padded, *classifier.gradients([point], rules)):
            np.testing.assert_allclose(found.embeddings, expected.embeddings, rtol=0, atol=1e-12)
            np.testing.assert_allclose(found.gradient, expected.gradient, rtol=0, atol=1e-10 * scale)
            assert found.logit == pytest.approx(expected.logit, abs=1e-10)


@MODELS
def test_embeddings_are_those_of_the_slow_model_alone_and_padded(kind, b):
    classifier = tiny_classifier(kind, b, dtype=torch.float64)
    rows = [one.ids.copy() for one in random_texts(classifier)]
    rows[2][3] = classifier.tokenizer.pad_token_id  # inside a text it is a token like others
    for row, found in zip(rows, classifier.embed([Row(row) for row in rows]), strict=True):
        expected = SlowTransformer(classifier).embeddings(text(row)).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(classifier.embed([Row(row)])[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pad_id", [0, 1, 3])
def test_positions_of_roberta_are_those_of_transformers_where_no_padding_is_inside(pad_id):
    classifier = tiny_classifier("roberta", dtype=torch.float64, pad_token_id=pad_id, max_position_embeddings=44)
    rows = [np.where(one.ids == pad_id, 7, one.ids) for one in random_texts(classifier)]
    width = max(map(len, rows))
    classifier.tokenizer.pad_token = classifier.tokenizer.convert_ids_to_tokens(pad_id)
    ids = torch.tensor([[*row, *[pad_id] * (width - len(row))] for row in rows])
    with torch.no_grad():  # transformers counts positions over tokens that are not padding
        expected = classifier.model(input_ids=ids, attention_mask=(ids != pad_id).long()).logits.numpy()
    np.testing.assert_allclose(classifier.logits([Row(row) for row in rows]), expected, rtol=0, atol=1e-12)
    for row, one in zip(rows, expected, strict=True):
        np.testing.assert_allclose(classifier.logits([Row(row)])[0], one, rtol=0, atol=1e-12)


def test_padding_inside_a_roberta_text_does_not_shift_positions():
    classifier = tiny_classifier("roberta", dtype=torch.float64)
    rows = [one.ids.copy() for one in random_texts(classifier, (6, 3))]
    rows[0][[2, 3]] = rows[1][0] = classifier.tokenizer.pad_token_id
    for row, padded in zip(rows, classifier.logits([Row(row) for row in rows]), strict=True):
        slow = SlowTransformer(classifier)
        expected = slow.forward(slow.embeddings(text(row)))[0].value[0].numpy()
        np.testing.assert_allclose(padded, expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(classifier.logits([Row(row)])[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_model_reads_given_embeddings_within_a_with_and_its_own_after(kind):
    classifier = tiny_classifier(kind, dtype=torch.float64)
    one, other = random_texts(classifier, (4, 4))
    own, foreign = (classifier.logits([Row(each.ids)]) for each in (one, other))
    embeddings = classifier.embedded(torch.from_numpy(other.ids)[None])
    with classifier.reading(embeddings):
        np.testing.assert_allclose(classifier.logits([Row(one.ids)]), foreign, rtol=0, atol=1e-12)
    with pytest.raises(KeyError), classifier.reading(embeddings):
        raise KeyError
    np.testing.assert_array_equal(classifier.logits([Row(one.ids)]), own)
    assert not any(module._forward_hooks for module in classifier.model.modules())


@dataclass
class Watched:
    """A linear model that notes what it was given, and may run out of memory or give what is no number."""

    model: LinearModel = field(default_factory=LinearModel.random)
    batch_tokens: int = 64
    gradient_cost: int = 4
    classes: int = 3
    reads_embeddings: bool = True
    memory: int = 10**9  # tokens that fit
    poison: int | None = None  # a class whose gradients are not finite
    batches: list[list[Any]] = field(default_factory=list)

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        return self.model.logits(rows)

    def embed(self, rows: Sequence[Row]) -> list[np.ndarray]:
        self.note(rows, [row.ids for row in rows])
        return self.model.embed(rows)

    def gradients(self, points: Sequence[Point], rules: str) -> list[Gradient]:
        self.note(points, [point.row.ids for point in points])
        found = self.model.gradients(points, rules)
        bad = [replace(each, gradient=each.gradient * np.inf) for each in found]
        return [bad[i] if point.target == self.poison else found[i] for i, point in enumerate(points)]

    def note(self, given: Sequence[Any], rows: Sequence[np.ndarray]) -> None:
        if len(rows) * max(map(len, rows)) > self.memory:
            raise MemoryError
        self.batches.append(list(given))

    @property
    def given(self) -> list[Any]:
        return [row for batch in self.batches for row in batch]


def asks(question: Question | tuple[Question, ...], times: int = 1) -> Iterator[object]:
    """A component that asks the same again and again."""
    for _ in range(times):
        found = yield question
    return found


def run(model: Any, **questions: Any) -> dict[str, Outcome[Any]]:
    """Components that ask a question each about one text, side by side."""
    (outcomes,) = Engine(model).run([together({name: asks(question) for name, question in questions.items()})])
    return outcomes


ONE = text([1, 5, 6, 7, 1])
PLAIN = Logits(ONE, np.ones((1, 5), dtype=bool))


def test_embeddings_are_answered_for_each_variant_and_equal_rows_run_once():
    model = Watched()
    keep = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]], dtype=bool)
    found = run(model, masked=Embeddings(ONE, keep), filled=Embeddings(ONE, keep, 9))
    for name, fill in (("masked", ONE.mask_id), ("filled", 9)):
        rows = [[1, 5, 6, 7, 1], [1, fill, 6, fill, 1], [1, 5, 6, 7, 1]]
        np.testing.assert_array_equal(found[name].value, model.model.table[rows])
        assert found[name].rows == 3
    assert len(model.given) == 3


def test_points_are_answered_as_a_list_in_order_and_equal_ones_run_once():
    model = Watched()
    weights = np.array([[0.5] * 5, [0, 0.1, 0.2, 0.3, 0.4], [0.5] * 5, [0] * 5, [1] * 5], dtype=float)
    found = run(
        model, path=Gradients(ONE, Target(2, 0), "", weights), fill=Gradients(ONE, Target(2, 0), "", weights[:1], 9)
    )
    values = found["path"].value
    assert isinstance(values, list)
    assert values[0] is values[2]
    for row, each in zip(weights, values, strict=True):
        expected = model.model.gradient(Point(Row(ONE.ids), Target(2, 0), row, 0)).embeddings
        np.testing.assert_array_equal(each.embeddings, expected)
    (filled,) = found["fill"].value
    np.testing.assert_allclose(filled.embeddings, (model.model.table[ONE.ids] + model.model.table[9]) / 2)
    assert (found["path"].rows, found["fill"].rows, len(model.given)) == (5, 1, 5)


def test_a_text_and_a_single_point_are_answered_in_the_form_they_were_asked():
    found = run(Watched(), here=Gradients(ONE, 1), point=Gradients(ONE, 1, interpolation=np.ones((1, 5))))
    assert isinstance(found["here"].value, Gradient)
    np.testing.assert_allclose(found["point"].value[0].gradient, found["here"].value.gradient)


def test_rules_targets_rivals_and_fills_tell_points_apart():
    model, weights = Watched(), np.full((1, 5), 0.5)
    questions = [
        *(Gradients(ONE, 0), Gradients(ONE, 1), Gradients(ONE, Target(0, 1)), Gradients(ONE, 0, rules=FROZEN)),
        *(
            Gradients(ONE, 0, interpolation=weights),
            Gradients(ONE, 0, interpolation=weights, fill=3),
            Gradients(ONE, 0, rules=ATTN_LRP),
        ),
    ]
    run(model, **{str(i): question for i, question in enumerate(questions * 2)})
    assert len(model.given) == len(questions)


def test_cost_of_gradients_bounds_their_batches():
    model = Watched(batch_tokens=100, gradient_cost=4)
    weights = np.random.default_rng(0).random((23, 5))
    run(model, path=Gradients(ONE, 0, interpolation=weights), here=Embeddings(ONE, ~PLAIN.keep))
    assert sorted(map(len, model.batches)) == [1, 3, 5, 5, 5, 5]  # 100 tokens / 4 / 5 of a text


def test_points_that_do_not_fit_into_memory_are_asked_in_smaller_batches():
    model = Watched(batch_tokens=400, memory=30)
    found = run(model, path=Gradients(ONE, 0, interpolation=np.random.default_rng(0).random((23, 5))))
    assert len(found["path"].value) == len(model.given) == 23
    assert max(map(len, model.batches)) <= 6


def test_gradients_that_are_not_finite_fail_only_those_who_asked_for_them():
    model = Watched(poison=1)
    weights = np.random.default_rng(0).random((4, 5))
    found = run(model, bad=Gradients(ONE, 1, interpolation=weights), frozen=Gradients(ONE, 1, rules=FROZEN), good=PLAIN)
    assert "gradients that are not finite" in found["bad"].error
    assert FROZEN in found["frozen"].error
    assert found["good"].error is None
    assert run(model, good=Gradients(ONE, 0, interpolation=weights))["good"].error is None


@pytest.mark.parametrize(("target", "against"), [(3, None), (-1, None), (0, 3), (0, -1)])
def test_a_class_that_the_model_lacks_is_answered_in_one_sentence(target, against):
    found = run(
        Watched(), wrong=Gradients(ONE, Target(target, against)), path=Gradients(ONE, 0, interpolation=np.ones((2, 5)))
    )
    wrong = target if against is None else against
    assert found["wrong"].error == f"QuestionError: target {wrong} is not one of 3 classes"
    assert found["path"].error is None


@pytest.mark.parametrize("shape", [(0, 5), (2, 4)])
def test_rows_that_do_not_fit_the_text_are_refused_when_they_are_asked(shape):
    complaint = re.escape(f"has shape {shape}; it needs one row or more of 5 tokens each")
    with pytest.raises(ValueError, match=f"keep {complaint}"):
        Logits(ONE, np.ones(shape, dtype=bool))
    with pytest.raises(ValueError, match=f"keep {complaint}"):
        Embeddings(ONE, np.ones(shape, dtype=bool))
    with pytest.raises(ValueError, match=f"interpolation {complaint}"):
        Gradients(ONE, 0, interpolation=np.ones(shape))


looks_taken: list[tuple[Any, str, dict[str, Any]]] = []


@pytest.fixture(autouse=True)
def _no_looks() -> None:
    looks_taken.clear()


def inspect_model(model: Any, one: Text, **arguments: Any) -> Any:
    """Looks into a model, or fails as it is told."""
    looks_taken.append((model, one.id, arguments))
    if arguments.get("fail") is not None:
        raise {"memory": MemoryError, "question": QuestionError}.get(arguments["fail"], ZeroDivisionError)("in there")
    return SimpleNamespace(number=len(looks_taken), **arguments)


def inside(one: Text = ONE, **arguments: Any) -> Inside:
    return Inside(one, f"{HERE}:inspect_model", arguments)


def test_a_look_is_given_the_classifier_the_text_and_the_arguments():
    model = Watched()
    found = run(model, it=inside(depth=2, name="x"))["it"]
    assert looks_taken == [(model, "text", {"depth": 2, "name": "x"})]
    assert (found.value.depth, found.value.name, found.rows) == (2, "x", 1)


def test_looks_are_taken_once_for_the_same_arguments_in_whatever_order():
    found = run(
        Watched(), a=inside(depth=2, name="x"), b=Inside(ONE, f"{HERE}:inspect_model", {"name": "x", "depth": 2})
    )
    assert found["a"].value.number == found["b"].value.number == 1
    assert found["a"].value is not found["b"].value, "what one of them writes into it, the other would read"
    run(Watched(), a=inside(), b=inside(depth=1), c=inside(depth="1"), d=inside(text([1, 5, 6, 8, 1], name="other")))
    assert len(looks_taken) == 1 + 4


def test_looks_are_taken_one_text_at_a_time_and_each_text_gets_its_own():
    texts = [text([1, *range(2, n), 1], name=str(n)) for n in (4, 9, 5, 6)]
    conversations = (together({"it": asks(inside(t, name=t.id))}) for t in texts)
    for taken, outcomes in enumerate(Engine(Watched(batch_tokens=10**6)).run(conversations), start=1):
        assert len(looks_taken) == taken  # the next text's look waits until this one's answer is used
        assert outcomes["it"].value.name == looks_taken[-1][1]


@pytest.mark.parametrize(
    ("question", "error"),
    [
        (inside(fail="division"), "QuestionError: ZeroDivisionError: in there"),
        (inside(fail="question"), "QuestionError: in there"),
        (inside(fail="memory"), "QuestionError: a text of 5 tokens does not fit into memory"),
        (Inside(ONE, f"{HERE}:no_such_look"), f"QuestionError: AttributeError: module {HERE!r} has no attribute"),
        (Inside(ONE, "no_such_module:look"), "QuestionError: ModuleNotFoundError: No module named 'no_such_module'"),
        (Inside(ONE, f"{HERE}:slow_embeddings", {"x": 1}), "QuestionError: TypeError: slow_embeddings() got"),
    ],
    ids=["raises", "refuses", "memory", "name", "module", "arguments"],
)
def test_what_goes_wrong_inside_reaches_only_who_asked(question, error):
    found = run(Watched(), bad=question, twice=question, good=inside(), rows=PLAIN, both=(PLAIN, inside()))
    assert found["bad"].error.startswith(error)
    assert found["twice"].error == found["bad"].error
    assert [found[name].error for name in ("good", "rows", "both")] == [None] * 3


def test_an_asker_may_catch_what_went_wrong_inside_and_ask_on():
    def patient() -> Iterator[object]:
        try:
            yield inside(fail="memory")
        except QuestionError as error:
            return str(error), (yield inside(depth=1)).depth

    assert answers(Watched(), patient()) == ("a text of 5 tokens does not fit into memory", 1)
