"""Integrated gradients and sequential ones against captum and closed forms; their quadrature; contrast of classes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, random_texts, shared_classifier, text
from captum import attr
from faithbench_explainers.bcos import Bcos
from faithbench_explainers.input_x_gradient import InputXGradient
from faithbench_explainers.integrated_gradients import IntegratedGradients
from faithbench_explainers.occlusion import Occlusion
from faithbench_explainers.quadrature import gauss_legendre
from faithbench_explainers.saliency import Saliency
from faithbench_explainers.sig import SIG
from slow_transformer import SlowTransformer, torch_logits_from_embeddings
from torch import Tensor

from faithbench.answering.engine import Engine
from faithbench.conversations import ask, together
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.questions import Gradients, Row
from faithbench.types import Text

MODELS = pytest.mark.parametrize(("kind", "b"), [(kind, b) for kind in KINDS for b in (None, 1.5)])
BASELINES = pytest.mark.parametrize("baseline", ["mask", "pad"])
SMOOTH = pytest.mark.parametrize("kind", ["bert", "roberta"])  # DistilBERT's head has a ReLU, which has a kink
Read = Callable[[Tensor], Tensor]


@contextmanager
def captum_in(dtype: torch.dtype) -> Iterator[None]:
    """captum rounds its quadrature weights to float32; here it keeps them in the precision of the model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", lambda tensor: tensor.to(dtype))
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def path(classifier: HuggingFaceClassifier, one: Text, baseline: str) -> tuple[Read, Tensor, Tensor]:
    """Logits from embeddings, and the two ends: the text's embeddings and the baseline's, each token at its place."""
    fill = classifier.tokenizer.mask_token_id if baseline == "mask" else classifier.tokenizer.pad_token_id
    slow = SlowTransformer(classifier)
    ends = (slow.embeddings(each) for each in (one, replace(one, ids=np.full(len(one), fill))))
    own, base = (end.to(classifier.model.dtype) for end in ends)
    return torch_logits_from_embeddings(classifier, one.ids), own, base


def with_token(read: Read, own: Tensor, token: int) -> Read:
    """Logits as a function of the embedding of one token, the others as they are."""

    def forward(embeddings: Tensor) -> Tensor:
        rows = own.expand(len(embeddings), -1, -1).clone()
        rows[:, token] = embeddings
        return read(rows)

    return forward


def captums(read: Read, own: Tensor, base: Tensor, target: int, steps: int) -> np.ndarray:
    """captum's integrated gradients, dimension by dimension."""
    explainer = attr.IntegratedGradients(read)
    with captum_in(own.dtype):
        found = explainer.attribute(own[None], base[None], target=target, n_steps=steps, method="gausslegendre")
    return found[0].detach().numpy()


def captums_one_by_one(read: Read, own: Tensor, base: Tensor, target: int, steps: int) -> np.ndarray:
    """The same along a path of its own for each token."""
    tokens = range(len(own))
    return np.stack([captums(with_token(read, own, t), own[t], base[t], target, steps) for t in tokens])


def falls(read: Read, own: Tensor, base: Tensor, target: int) -> np.ndarray:
    """z(e) − z(e with e_t replaced by the baseline's), for each token."""
    with torch.no_grad():
        full = read(own[None])[0, target]
        replaced = [with_token(read, own, t)(base[t][None])[0, target] for t in range(len(own))]
    return (full - torch.stack(replaced)).numpy()


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Differences are small beside the largest expected score."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("steps", [1, 2, 5, 50])
def test_quadrature_is_exact_for_polynomials_of_degree_two_steps_less_one(steps):
    nodes, weights = gauss_legendre(steps)
    assert len(nodes) == len(weights) == steps
    assert (nodes > 0).all()
    assert (nodes < 1).all()
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    for degree in range(2 * steps):
        assert weights @ nodes**degree == pytest.approx(1 / (degree + 1), abs=1e-14)
    if steps <= 5:
        assert abs(weights @ nodes ** (2 * steps) - 1 / (2 * steps + 1)) > 1e-7


def test_quadrature_of_two_steps_has_the_nodes_of_the_textbook():
    nodes, weights = gauss_legendre(2)
    np.testing.assert_allclose(nodes, [0.5 - sqrt(3) / 6, 0.5 + sqrt(3) / 6], rtol=1e-14)
    np.testing.assert_allclose(weights, [0.5, 0.5], rtol=1e-14)


@pytest.mark.slow
@MODELS
@BASELINES
def test_integrated_gradients_are_captums(kind, b, baseline):
    classifier = shared_classifier(kind, b, classes=3, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        read, own, base = path(classifier, one, baseline)
        expected = captums(read, own, base, target, 50).sum(-1)
        found = answers(classifier, IntegratedGradients(baseline=baseline)(one, target))
        assert_close(found.scores, expected, 1e-10)
        with torch.no_grad():
            there, start = read(torch.stack([own, base]))[:, target].tolist()
        assert found.notes["completeness_gap"] == pytest.approx(there - start - expected.sum(), abs=1e-10)


@pytest.mark.slow
@MODELS
def test_integrated_gradients_are_captums_in_float32(kind, b):
    classifier = shared_classifier(kind, b, classes=3)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        expected = captums(*path(classifier, one, "mask"), target, 50).sum(-1)
        assert_close(answers(classifier, IntegratedGradients()(one, target)).scores, expected, 1e-5)


@pytest.mark.slow
@SMOOTH
@BASELINES
def test_integrated_gradients_of_a_conventional_model_sum_to_the_difference(kind, baseline):
    classifier = shared_classifier(kind, dtype=torch.float64)
    for one in random_texts(classifier):
        found = answers(classifier, IntegratedGradients(baseline=baseline)(one, 1))
        assert abs(found.notes["completeness_gap"]) < 1e-10
        read, own, base = path(classifier, one, baseline)
        with torch.no_grad():
            there, start = read(torch.stack([own, base]))[:, 1].tolist()
        assert found.scores.sum() == pytest.approx(there - start, abs=1e-10)


def test_integrated_gradients_ask_for_all_points_at_once():
    one = text([1, 5, 6, 7, 1])
    questions = next(IntegratedGradients(n_steps=7)(one, 0))
    points = [question.interpolation.shape for question in questions if isinstance(question, Gradients)]
    assert points == [(7, 5)]
    assert sorted(type(question).__name__ for question in questions) == ["Embeddings", "Gradients", "Logits"]


@pytest.mark.slow
@MODELS
@BASELINES
def test_sequential_steps_are_captums_on_one_token_at_a_time(kind, b, baseline):
    classifier = shared_classifier(kind, b, classes=3, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (3, 1))):
        read, own, base = path(classifier, one, baseline)
        vectors = captums_one_by_one(read, own, base, target, 50)
        sums = answers(classifier, SIG(50, baseline)(one, target))
        norms = answers(classifier, SIG(50, baseline, "l2")(one, target))
        assert_close(sums.scores, vectors.sum(-1), 1e-10)
        assert_close(norms.scores, np.sqrt((vectors**2).sum(-1)), 1e-10)
        gap = np.abs(vectors.sum(-1) - falls(read, own, base, target)).max()
        assert sums.notes["completeness_gap"] == pytest.approx(gap, abs=1e-10)
        assert norms.notes["completeness_gap"] == sums.notes["completeness_gap"]


@pytest.mark.slow
@MODELS
@BASELINES
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)], ids=str)
def test_exact_sequential_scores_leave_one_embedding_out(kind, b, baseline, dtype, tolerance):
    classifier = shared_classifier(kind, b, classes=3, dtype=dtype)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        expected = falls(*path(classifier, one, baseline), target)
        assert_close(answers(classifier, SIG(baseline=baseline)(one, target)).scores, expected, tolerance)
        assert np.abs(expected[[0, -1]]).min() > 0  # special tokens have scores


@pytest.mark.slow
@SMOOTH
@pytest.mark.parametrize(("b", "steps", "tolerance"), [(None, 50, 1e-9), (1.0, 50, 1e-9), (1.5, 200, 1e-3)])
def test_steps_come_to_the_exact_sequential_scores(kind, b, steps, tolerance):
    classifier = shared_classifier(kind, b, dtype=torch.float64)
    (one,) = random_texts(classifier, (4,))
    exact = answers(classifier, SIG()(one, 1)).scores
    found = answers(classifier, SIG(steps)(one, 1))
    assert_close(found.scores, exact, tolerance)
    assert found.notes["completeness_gap"] == pytest.approx(np.abs(found.scores - exact).max(), rel=1e-6, abs=1e-15)


def test_exact_sequential_scores_cost_a_row_for_each_token_and_share_them_with_occlusion():
    model, one = LinearModel.random(), text([1, 5, 6, 7, 8, 1])
    engine = Engine(model)
    (outcomes,) = engine.run([together({"sig": ask(SIG(), one, 0), "occlusion": ask(Occlusion(), one, 0)})])
    assert outcomes["sig"].rows == 7
    assert (engine.counts.asked, engine.counts.run) == (12, 7)
    np.testing.assert_allclose(outcomes["sig"].value.scores[1:-1], outcomes["occlusion"].value.scores[1:-1])


@pytest.mark.parametrize("baseline", [0, 9])
@pytest.mark.parametrize("explainer", [IntegratedGradients, SIG], ids=["ig", "sig"])
def test_linear_model_knows_both(explainer, baseline):
    model = LinearModel.random()
    one = replace(text([1, 5, 6, 7, 5, 1]), pad_id=9)
    share = model.table @ model.weights[:, 2]
    name = "mask" if baseline == 0 else "pad"
    for steps in (1, 3):
        found = answers(model, explainer(n_steps=steps, baseline=name)(one, 2))
        np.testing.assert_allclose(found.scores, share[one.ids] - share[baseline], atol=1e-12)
        assert found.notes["completeness_gap"] == pytest.approx(0, abs=1e-12)


def test_sequential_l2_of_a_linear_model_is_the_norm_of_the_products():
    model, one = LinearModel.random(), text([1, 5, 6, 1])
    products = (model.table[one.ids] - model.table[0]) * model.weights[:, 1]
    expected = [sqrt(sum(x**2 for x in row)) for row in products]
    np.testing.assert_allclose(answers(model, SIG(3, aggregation="l2")(one, 1)).scores, expected, rtol=1e-12)


def test_baseline_of_padding_does_not_shift_positions():
    classifier = shared_classifier("roberta", dtype=torch.float64)
    (one,) = random_texts(classifier, (5,))
    pad = classifier.tokenizer.pad_token_id
    places = torch.arange(pad + 1, pad + 1 + len(one))[None]

    def logit(ids: np.ndarray, **positions: Tensor) -> float:
        with torch.no_grad():
            return float(classifier.model(input_ids=torch.from_numpy(ids)[None], **positions).logits[0, 1])

    rows = np.where(np.eye(len(one), dtype=bool), pad, one.ids)
    expected = [logit(one.ids) - logit(row, position_ids=places) for row in rows]
    np.testing.assert_allclose(answers(classifier, SIG(baseline="pad")(one, 1)).scores, expected, rtol=0, atol=1e-12)
    found = answers(classifier, IntegratedGradients(baseline="pad")(one, 1))
    start = logit(np.full(len(one), pad), position_ids=places)
    assert found.scores.sum() == pytest.approx(logit(one.ids) - start, abs=1e-10)
    assert abs(logit(rows[2]) - logit(rows[2], position_ids=places)) > 1e-3  # so that a shift would be seen


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: IntegratedGradients(0), "n_steps=0 is not allowed; it must be a whole number from 1 to 1,000"),
        (lambda: IntegratedGradients(1001), "n_steps=1001 is not allowed"),
        (lambda: IntegratedGradients(baseline="zero"), "baseline='zero' is not allowed; use mask or pad"),
        (lambda: SIG(-1), "n_steps=-1 is not allowed; it must be a whole number from 0 to 1,000"),
        (lambda: SIG(baseline="zero"), "baseline='zero' is not allowed; use mask or pad"),
        (lambda: SIG(50, aggregation="mean"), "aggregation='mean' is not allowed; use sum or l2"),
        (lambda: SIG(aggregation="l2"), "aggregation='l2' needs n_steps"),
    ],
)
def test_parameters_are_refused_by_name_and_value(build, complaint):
    with pytest.raises(ValueError, match=complaint):
        build()


CONTRASTIVE = [InputXGradient, Bcos, IntegratedGradients, SIG]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "b"), [("bert", None), ("distilbert", 1.5)])
@pytest.mark.parametrize("explainer", CONTRASTIVE, ids=lambda explainer: explainer.__name__)
def test_contrast_is_the_difference_between_target_and_best_other_class(explainer, kind, b):
    classifier = shared_classifier(kind, b, classes=4, dtype=torch.float64)
    steps = {"n_steps": 5} if explainer in (IntegratedGradients, SIG) else {}
    (one,) = random_texts(classifier, (3,))
    ranking = np.argsort(-classifier.logits([Row(one.ids)])[0])
    for target, rival in [(ranking[0], ranking[1]), (ranking[3], ranking[0])]:
        found = answers(classifier, explainer(contrastive=True, **steps)(one, int(target)))
        own, other = (answers(classifier, explainer(**steps)(one, int(c))) for c in (target, rival))
        assert found.target == target
        assert_close(found.scores, own.scores - other.scores, 1e-10)
        if explainer in (Bcos, IntegratedGradients):  # whose gaps have a sign
            gap = own.notes["completeness_gap"] - other.notes["completeness_gap"]
            assert found.notes["completeness_gap"] == pytest.approx(gap, abs=1e-10)


@MODELS
def test_contrast_of_exact_sequential_scores_and_saliency(kind, b):
    classifier = shared_classifier(kind, b, classes=3, dtype=torch.float64)
    (one,) = random_texts(classifier, (5,))
    target, rival = (int(c) for c in np.argsort(-classifier.logits([Row(one.ids)])[0])[[2, 0]])
    own, other = (answers(classifier, SIG()(one, c)).scores for c in (target, rival))
    assert_close(answers(classifier, SIG(contrastive=True)(one, target)).scores, own - other, 1e-10)
    read, point, _ = path(classifier, one, "mask")
    logits = read(point.requires_grad_()[None])[0]
    (gradient,) = torch.autograd.grad(logits[target] - logits[rival], point)
    found = answers(classifier, Saliency(contrastive=True)(one, target)).scores
    assert_close(found, gradient.abs().sum(-1).numpy(), 1e-10)


@pytest.mark.parametrize("explainer", [*CONTRASTIVE, Saliency], ids=lambda explainer: explainer.__name__)
def test_contrast_asks_for_one_row_more(explainer):
    model, one = LinearModel.random(), text([1, 5, 6, 1])
    askings = {contrastive: ask(explainer(contrastive=contrastive), one, 0) for contrastive in (False, True)}
    (outcomes,) = Engine(model).run([together(askings)])
    assert outcomes[True].rows == outcomes[False].rows + 1
