"""AttnLRP against the authors' package and against its equations in loops."""

from collections.abc import Iterator
from itertools import product
from math import exp

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import KINDS, answers, random_texts, tiny_classifier
from faithbench_explainers.attn_lrp import AttnLRP
from faithbench_explainers.input_x_gradient import InputXGradient
from slow_transformer import SlowTransformer, assert_close
from torch import Tensor

from faithbench.answering.engine import Engine
from faithbench.conformance.explainers import ExplainerTrial, leaves_all_as_found_explaining
from faithbench.conversations import ask, together
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.lrp import AttnLRP as Rules
from faithbench.questions import ATTN_LRP, Gradients, Row
from faithbench.types import Text

MODELS = pytest.mark.parametrize(("kind", "b"), [(kind, b) for kind in KINDS for b in (None, 1.5)])
Array = np.ndarray
EPS = 1e-14  # what stabilises the package's divisions; 0 in the paper's equations, and in ours


class LxtTransformer(SlowTransformer):
    """The same transformers in the operations of `lxt.explicit`, whose backward pass hands down relevances."""

    def relevance(self, text: Text, target: int) -> tuple[np.ndarray, float]:
        """Relevance of each token's embedding for a logit, and the logit."""
        embeddings = self.embeddings(text).requires_grad_()
        states = embeddings
        for layer in range(2):
            states = self.normed(self.residual(self.attended(states, layer), states), "mix_norm", layer)
            inner = self.rules.identity(F.gelu, self.project(states, "expand", layer))
            states = self.normed(self.residual(self.project(inner, "contract", layer), states), "contract_norm", layer)
        first = self.project(states[:1], "dense")
        if self.b is None:
            first = self.rules.identity(torch.relu if self.kind == "distilbert" else torch.tanh, first)
        logits = self.project(first, "out")[0]
        (relevance,) = torch.autograd.grad(logits[target], embeddings, logits[target].detach())
        return relevance.sum(-1).numpy(), logits[target].item()

    def __init__(self, classifier: HuggingFaceClassifier) -> None:
        super().__init__(classifier)
        self.functions = pytest.importorskip("lxt.explicit.functional")
        self.rules = pytest.importorskip("lxt.explicit.rules")

    def residual(self, one: Tensor, other: Tensor) -> Tensor:
        return self.functions.add2(one, other, False, EPS)

    def project(self, states: Tensor, part: str, layer: int = 0) -> Tensor:
        """A linear layer; a B-cos one has unit rows and a constant factor for each output."""
        weight, bias = self.weight(part, layer), self.weights.get(f"{self.names[part].format(layer)}.bias")
        if self.b is None or part in ("query", "key", "value"):
            return self.functions.linear_epsilon(states, weight, bias, EPS)
        unit = weight / weight.norm(dim=1, keepdim=True)
        cosine = states.detach() @ unit.T / (states.detach().square().sum(-1, keepdim=True) + 1e-6).sqrt()
        scale = (cosine.abs() + 1e-6) ** (self.b - 1)
        return self.functions.mul2(self.functions.linear_epsilon(states, unit, None, EPS), scale)

    def attended(self, states: Tensor, layer: int) -> Tensor:
        query, key, value = (
            self.project(states, part, layer).reshape(-1, 2, 8).transpose(0, 1) for part in ("query", "key", "value")
        )
        scores = self.functions.mul2(self.functions.matmul(query, key.transpose(1, 2), False, EPS), 8**-0.5)
        mixed = self.functions.matmul(self.functions.softmax(scores, -1), value, False, EPS)
        return self.project(mixed.transpose(0, 1).reshape(-1, 16), "mix", layer)

    def normed(self, states: Tensor, part: str, layer: int) -> Tensor:
        gain, bias = self.weight(part, layer), self.weights.get(f"{self.names[part].format(layer)}.bias")
        return self.functions.layer_norm_grad_fn.apply(states, gain, bias, 1e-12, EPS)


@pytest.mark.slow
@MODELS
def test_relevances_are_those_of_the_authors_package(kind, b):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        expected, logit = LxtTransformer(classifier).relevance(one, target)
        assert logit == pytest.approx(classifier.logits([Row(one.ids)])[0, target], abs=1e-10)  # the same model
        assert_close(answers(classifier, AttnLRP()(one, target)).scores, expected, torch.float64)


def slow_attention(query: Array, key: Array, value: Array, relevance: Array) -> tuple[Array, Array, Array]:
    """Relevance of one head's queries, keys and values, number by number, from that of what it gives."""
    n, d = query.shape
    scores = np.array([[sum(query[i] * key[j]) for j in range(n)] for i in range(n)])
    inputs = scores / d**0.5
    shares = np.array([[exp(x) / sum(map(exp, row)) for x in row] for row in inputs])
    out = np.array([[sum(shares[i] * value[:, p]) for p in range(d)] for i in range(n)])
    r_share, r_query, r_key, r_value = np.zeros((n, n)), np.zeros((n, d)), np.zeros((n, d)), np.zeros((n, d))
    for i, j, p in product(range(n), range(n), range(d)):  # proposition 3.3: half to each factor
        part = shares[i, j] * value[j, p] * relevance[i, p] / (2 * out[i, p])
        r_share[i, j] += part
        r_value[j, p] += part
    for i, j in product(range(n), range(n)):  # proposition 3.1: x (R − s ΣR)
        r_score = inputs[i, j] * (r_share[i, j] - shares[i, j] * sum(r_share[i]))
        for p in range(d):  # proposition 3.3 again; a constant factor passes relevance on
            part = query[i, p] * key[j, p] * r_score / (2 * scores[i, j])
            r_query[i, p] += part
            r_key[j, p] += part
    return r_query, r_key, r_value


def test_attention_hands_relevance_down_by_the_papers_equations():
    inputs = [torch.randn(1, 2, 4, 3, generator=torch.Generator().manual_seed(i)).double() for i in range(4)]
    slopes = inputs.pop()
    for each in inputs:
        each.requires_grad_()
    with Rules():
        out = F.scaled_dot_product_attention(*inputs)
    np.testing.assert_allclose(out.detach(), F.scaled_dot_product_attention(*inputs).detach(), rtol=1e-12)
    found = [(x * g).detach().numpy() for x, g in zip(inputs, torch.autograd.grad(out, inputs, slopes), strict=True)]
    relevance = (out * slopes).detach().numpy()
    for head in range(2):
        parts = [each[0, head].detach().numpy() for each in inputs]
        for one, expected in zip(found, slow_attention(*parts, relevance[0, head]), strict=True):
            np.testing.assert_allclose(one[0, head], expected, rtol=1e-8, atol=1e-12)


ELEMENTWISE = {
    "gelu": F.gelu,
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "tanh of a module": torch.nn.Tanh(),
    "tanh of a tensor": Tensor.tanh,
}


@pytest.mark.parametrize("function", ELEMENTWISE.values(), ids=ELEMENTWISE.keys())
def test_elementwise_functions_pass_on_all_relevance(function):
    inputs = torch.tensor([-3.0, -0.7, -1e-9, 0.0, 1e-9, 0.4, 2.0]).double().requires_grad_()
    slopes = torch.tensor([1.0, -2.0, 0.5, 3.0, 1.0, 0.1, -1.0]).double()
    with Rules():
        out = function(inputs)
    torch.testing.assert_close(out, function(inputs), rtol=1e-14, atol=0)
    (gradient,) = torch.autograd.grad(out, inputs, slopes)
    torch.testing.assert_close(gradient * inputs, slopes * out, rtol=1e-14, atol=0)  # equation 9
    assert gradient.isfinite().all()


def test_layer_norm_passes_relevance_through_the_mean_and_not_through_the_deviation():
    x, weight, bias, slopes = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).double()
    with Rules():
        out = F.layer_norm(x.requires_grad_(), (5,), weight, bias, 1e-12)
    torch.testing.assert_close(out, F.layer_norm(x, (5,), weight, bias, 1e-12), rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(out, x, slopes)
    x, weight, out, relevance = (each.detach().numpy() for each in (x, weight, out, out * slopes))
    centred = x - sum(x) / 5
    normed = centred / sum(centred**2 / 5) ** 0.5
    passed = [relevance[j] * weight[j] * normed[j] / out[j] for j in range(5)]  # the bias keeps its share
    expected = [sum(((i == j) - 1 / 5) * x[i] * passed[j] / centred[j] for j in range(5)) for i in range(5)]
    np.testing.assert_allclose(gradient.numpy() * x, expected, rtol=1e-8)


@MODELS
def test_values_are_the_models_own_and_the_model_is_left_as_found(kind, b):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    texts = random_texts(classifier, (4, 7))
    before = [answers(classifier, InputXGradient()(one, 2)).scores for one in texts]
    leaves_all_as_found_explaining(ExplainerTrial(AttnLRP(), classifier, texts))
    for one, scores in zip(texts, before, strict=True):
        found = answers(classifier, asks(one, ATTN_LRP))
        assert found.logit == pytest.approx(classifier.logits([Row(one.ids)])[0, 2], abs=1e-12)
        np.testing.assert_allclose(found.embeddings, classifier.embed([Row(one.ids)])[0], rtol=1e-14)
        np.testing.assert_array_equal(answers(classifier, InputXGradient()(one, 2)).scores, scores)
        assert np.abs(answers(classifier, AttnLRP()(one, 2)).scores - scores).max() > 1e-3


def asks(one: Text, rules: str) -> Iterator[object]:
    return (yield Gradients(one, 2, rules=rules))


@pytest.mark.parametrize(("kind", "b"), [("bert", None), ("distilbert", 1.5)])
def test_contrast_is_the_difference_between_two_classes(kind, b):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    (one,) = random_texts(classifier, (5,))
    ranking = [int(c) for c in np.argsort(-classifier.logits([Row(one.ids)])[0])]
    for target, rival in [(ranking[0], ranking[1]), (ranking[2], ranking[0])]:
        own, other = (answers(classifier, AttnLRP()(one, c)).scores for c in (target, rival))
        found = answers(classifier, AttnLRP(contrastive=True)(one, target)).scores
        assert_close(found, own - other, torch.float64)


@pytest.mark.parametrize("b", [None, 1.5])
def test_attention_written_out_in_python_has_the_same_relevances(b):
    classifier = tiny_classifier("bert", b, dtype=torch.float64)
    eager = tiny_classifier("bert", b, dtype=torch.float64, attn_implementation="eager")
    for one in random_texts(classifier):
        assert_close(
            answers(eager, AttnLRP()(one, 1)).scores, answers(classifier, AttnLRP()(one, 1)).scores, torch.float64
        )


def test_a_model_that_the_rules_do_not_know_is_refused_and_others_go_on():
    classifier = tiny_classifier("bert", hidden_act="sigmoid")
    complaint = "QuestionError: the activation 'sigmoid' of BertForSequenceClassification is 0.5 at 0, so that"
    (one,) = random_texts(classifier, (4,))
    askings = {"lrp": ask(AttnLRP(), one, 0), "product": ask(InputXGradient(), one, 0)}
    (outcomes,) = Engine(classifier).run([together(askings)])
    assert outcomes["lrp"].error.startswith(complaint)
    assert outcomes["product"].error is None
