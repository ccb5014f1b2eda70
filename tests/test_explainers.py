"""Every explainer against a slow version of its definition, against captum, and against a linear model."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, random_texts, text, tiny_classifier
from captum import attr
from faithbench_explainers.attention import Attention, rollout
from faithbench_explainers.bcos import Bcos
from faithbench_explainers.input_x_gradient import InputXGradient
from faithbench_explainers.occlusion import Occlusion
from faithbench_explainers.random import Random
from faithbench_explainers.saliency import Saliency
from scipy import stats
from torch import Tensor

from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.types import Text

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
PRECISIONS = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
MODELS = pytest.mark.parametrize(("kind", "b"), [(kind, b) for kind in KINDS for b in (None, 1.5)])
NAMES = {
    "bert": """bert.embeddings.word_embeddings bert.embeddings.position_embeddings bert.embeddings.LayerNorm
        bert.encoder.layer.{}.attention.self.query bert.encoder.layer.{}.attention.self.key
        bert.encoder.layer.{}.attention.self.value bert.encoder.layer.{}.attention.output.dense
        bert.encoder.layer.{}.attention.output.LayerNorm bert.encoder.layer.{}.intermediate.dense
        bert.encoder.layer.{}.output.dense bert.encoder.layer.{}.output.LayerNorm bert.pooler.dense classifier""",
    "roberta": """roberta.embeddings.word_embeddings roberta.embeddings.position_embeddings roberta.embeddings.LayerNorm
        roberta.encoder.layer.{}.attention.self.query roberta.encoder.layer.{}.attention.self.key
        roberta.encoder.layer.{}.attention.self.value roberta.encoder.layer.{}.attention.output.dense
        roberta.encoder.layer.{}.attention.output.LayerNorm roberta.encoder.layer.{}.intermediate.dense
        roberta.encoder.layer.{}.output.dense roberta.encoder.layer.{}.output.LayerNorm classifier.dense
        classifier.out_proj""",
    "distilbert": """distilbert.embeddings.word_embeddings distilbert.embeddings.position_embeddings
        distilbert.embeddings.LayerNorm distilbert.transformer.layer.{}.attention.q_lin
        distilbert.transformer.layer.{}.attention.k_lin distilbert.transformer.layer.{}.attention.v_lin
        distilbert.transformer.layer.{}.attention.out_lin distilbert.transformer.layer.{}.sa_layer_norm
        distilbert.transformer.layer.{}.ffn.lin1 distilbert.transformer.layer.{}.ffn.lin2
        distilbert.transformer.layer.{}.output_layer_norm pre_classifier classifier""",
}
PARTS = "word position norm query key value mix mix_norm expand contract contract_norm dense out".split()


@dataclass
class State:
    """Hidden states, and how they depend on all embeddings when the dynamic weights are held fixed."""

    value: Tensor  # tokens d
    slope: Tensor  # tokens d inputs

    def times(self, matrices: Tensor, bias: Tensor | float = 0.0) -> "State":
        """Each token's own matrix times its state."""
        value = torch.einsum("toi,ti->to", matrices, self.value) + bias
        return State(value, torch.einsum("toi,tik->tok", matrices, self.slope))

    def __add__(self, other: "State") -> "State":
        return State(self.value + other.value, self.slope + other.slope)


class SlowTransformer:
    """BERT, RoBERTa and DistilBERT for one text, conventional or B-cos, as a product of matrices, in float64."""

    def __init__(self, classifier: HuggingFaceClassifier) -> None:
        self.kind = classifier.model.config.model_type
        self.b = (getattr(classifier.model.config, "bcos", None) or {}).get("b")
        self.weights = {name: tensor.double() for name, tensor in classifier.model.state_dict().items()}
        self.names = dict(zip(PARTS, NAMES[self.kind].split(), strict=True))
        if self.kind == "distilbert" and self.b is not None:
            self.names |= {"dense": "pre_classifier.0", "out": "classifier.1"}

    def weight(self, part: str, layer: int = 0) -> Tensor:
        return self.weights[f"{self.names[part].format(layer)}.weight"]

    def bias(self, part: str, layer: int = 0) -> Tensor | float:
        return self.weights.get(f"{self.names[part].format(layer)}.bias", 0.0)

    def embeddings(self, text: Text) -> Tensor:
        start = 1 if self.kind == "roberta" else 0
        embedded = self.weight("word")[text.ids] + self.weight("position")[start : start + len(text)]
        if self.kind != "distilbert":
            embedded = embedded + self.weights[f"{self.kind}.embeddings.token_type_embeddings.weight"][0]
        return self.norm(State(embedded, torch.zeros(len(text), 16, 1).double()), "norm", 0).value

    def forward(self, embeddings: Tensor) -> tuple[State, list[Tensor]]:
        """Logits as the state of one token, and the attention probabilities of each layer."""
        tokens, d = embeddings.shape
        state = State(embeddings, torch.eye(tokens * d).double().reshape(tokens, d, tokens * d))
        attentions = []
        for layer in range(2):
            attention = self.attention(state, layer)
            mixed = self.linear(self.mix(self.plain(state, "value", layer), attention), "mix", layer)
            state = self.norm(mixed + state, "mix_norm", layer)
            inner = self.linear(state, "expand", layer)
            gate = torch.diag_embed(0.5 * (1 + torch.erf(inner.value / 2**0.5)))
            state = self.norm(self.linear(inner.times(gate), "contract", layer) + state, "contract_norm", layer)
            attentions.append(attention)
        first = self.linear(State(state.value[:1], state.slope[:1]), "dense", 0)
        return self.linear(first if self.b is not None else self.activate(first), "out", 0), attentions

    def attention(self, state: State, layer: int) -> Tensor:
        query, key = (
            (state.value @ self.weight(part, layer).T + self.bias(part, layer)).reshape(-1, 2, 8)
            for part in ("query", "key")
        )
        scores = torch.stack([query[:, head] @ key[:, head].T / 8**0.5 for head in range(2)])
        return scores.exp() / scores.exp().sum(-1, keepdim=True)

    def mix(self, values: State, attention: Tensor) -> State:
        """Each token's sum of values, weighed by attention, head by head."""
        value = torch.cat([attention[h] @ values.value[:, 8 * h : 8 * h + 8] for h in range(2)], dim=1)
        slopes = [torch.einsum("qt,tdk->qdk", attention[h], values.slope[:, 8 * h : 8 * h + 8]) for h in range(2)]
        return State(value, torch.cat(slopes, dim=1))

    def plain(self, state: State, part: str, layer: int) -> State:
        weight = self.weight(part, layer)
        return state.times(weight.expand(len(state.value), *weight.shape), self.bias(part, layer))

    def linear(self, state: State, part: str, layer: int) -> State:
        if self.b is None:
            return self.plain(state, part, layer)
        return state.times(torch.stack([self.dynamic_weight(part, layer, x) for x in state.value]))

    def dynamic_weight(self, part: str, layer: int, x: Tensor) -> Tensor:
        weight = self.weight(part, layer)
        unit = torch.stack([row / (row @ row).sqrt() for row in weight])
        cosine = unit @ x / (x @ x + 1e-6).sqrt()
        return (cosine.abs() + 1e-6)[:, None] ** (self.b - 1) * unit

    def norm(self, state: State, part: str, layer: int) -> State:
        centre = torch.eye(16).double() - 1 / 16
        centred = state.value @ centre.T
        scale = 1 / ((centred**2).mean(-1, keepdim=True) + 1e-12).sqrt()
        matrices = self.weight(part, layer)[:, None] * scale[:, :, None] * centre
        return state.times(matrices, self.bias(part, layer))

    def activate(self, state: State) -> State:
        """The conventional head's activation, which is not frozen."""
        if self.kind == "distilbert":
            return state.times(torch.diag_embed((state.value > 0).double()))
        value = state.value.tanh()
        return State(value, (1 - value**2)[:, :, None] * state.slope)


def slow_logits(classifier: HuggingFaceClassifier, ids: np.ndarray) -> np.ndarray:
    """The torch model on one row."""
    with torch.no_grad():
        return classifier.model(input_ids=torch.from_numpy(ids)[None]).logits[0].numpy()


def slow_gradient(classifier: HuggingFaceClassifier, text: Text, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings, and the gradient of the slow model's logit at them."""
    slow = SlowTransformer(classifier)
    embeddings = slow.embeddings(text).requires_grad_()
    logits, _ = slow.forward(embeddings)
    (gradient,) = torch.autograd.grad(logits.value[0, target], embeddings)
    return embeddings.detach().numpy(), gradient.numpy()


def torch_logits_from_embeddings(classifier: HuggingFaceClassifier, ids: np.ndarray):
    """The torch model as a function of what its embedding module gives: what captum needs."""

    def forward(embeddings: Tensor) -> Tensor:
        handle = classifier.embeddings.register_forward_hook(lambda *_: embeddings)
        try:
            return classifier.model(input_ids=torch.from_numpy(ids).expand(len(embeddings), -1)).logits
        finally:
            handle.remove()

    return forward


def torch_embeddings(classifier: HuggingFaceClassifier, ids: np.ndarray) -> Tensor:
    return classifier.embeddings(torch.from_numpy(ids)[None]).detach()


def assert_close(found: np.ndarray, expected: np.ndarray, dtype: torch.dtype) -> None:
    """Differences are small beside the largest expected score."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE[dtype] * np.abs(expected).max()


@MODELS
@PRECISIONS
def test_slow_transformer_is_the_model(kind, b, dtype):
    classifier = tiny_classifier(kind, b, dtype=dtype)
    for one in random_texts(classifier):
        slow = SlowTransformer(classifier)
        logits, _ = slow.forward(slow.embeddings(one))
        assert_close(slow_logits(classifier, one.ids), logits.value[0].numpy(), dtype)


@MODELS
@PRECISIONS
def test_attention_is_the_mean_attention_of_the_first_token(kind, b, dtype):
    classifier = tiny_classifier(kind, b, dtype=dtype)
    for one in random_texts(classifier):
        slow = SlowTransformer(classifier)
        _, layers = slow.forward(slow.embeddings(one))
        expected = sum(layer[head, 0] for layer in layers for head in range(2)) / 4
        assert_close(answers(classifier, Attention()(one, 1)).scores, expected.numpy(), dtype)


@MODELS
@PRECISIONS
def test_attention_rollout_multiplies_layers_with_residuals(kind, b, dtype):
    classifier = tiny_classifier(kind, b, dtype=dtype)
    for one in random_texts(classifier):
        slow = SlowTransformer(classifier)
        _, layers = slow.forward(slow.embeddings(one))
        first, second = ((layer[0] + layer[1]) / 2 for layer in layers)
        identity = torch.eye(len(one)).double()
        expected = (second + identity) / 2 @ ((first + identity) / 2)  # rows of attention sum to 1
        assert_close(answers(classifier, Attention("rollout")(one, 1)).scores, expected[0].numpy(), dtype)


def test_attention_is_what_transformers_shows():
    classifier = tiny_classifier("bert", 1.5)
    one = random_texts(classifier)[2]
    scores = answers(classifier, Attention()(one, 0)).scores
    classifier.model.set_attn_implementation("eager")
    shown = classifier.model(input_ids=torch.from_numpy(one.ids)[None], output_attentions=True).attentions
    assert_close(scores, torch.stack(shown).mean(dim=(0, 1, 2))[0].numpy(), torch.float32)


def test_rollout_normalises_rows_that_do_not_sum_to_one():
    layers = np.array([[[3.0, 0.0], [1.0, 1.0]], [[0.0, 1.0], [2.0, 0.0]]])
    first, second = np.array([[1, 0], [1 / 3, 2 / 3]]), np.array([[1 / 2, 1 / 2], [2 / 3, 1 / 3]])
    np.testing.assert_allclose(rollout(layers), second @ first, rtol=1e-12)


def test_rollout_of_uniform_attention_in_closed_form():
    model, one = LinearModel.random(), text([1, 5, 6, 7, 1])
    scores = answers(model, Attention("rollout")(one, 0)).scores  # one layer: (1/n + identity) / 2
    np.testing.assert_allclose(scores, [0.6, 0.1, 0.1, 0.1, 0.1], rtol=1e-12)


def test_attention_refuses_a_variant_by_name_and_value():
    with pytest.raises(ValueError, match="variant='grad' is not allowed; use raw or rollout or flow"):
        Attention("grad")


@MODELS
@PRECISIONS
def test_saliency_is_the_l1_norm_of_the_gradient(kind, b, dtype):
    classifier = tiny_classifier(kind, b, classes=3, dtype=dtype)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        _, gradient = slow_gradient(classifier, one, target)
        assert_close(answers(classifier, Saliency()(one, target)).scores, np.abs(gradient).sum(-1), dtype)


@MODELS
@PRECISIONS
def test_input_x_gradient_is_the_product_with_nothing_frozen(kind, b, dtype):
    classifier = tiny_classifier(kind, b, classes=3, dtype=dtype)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        embeddings, gradient = slow_gradient(classifier, one, target)
        products = embeddings * gradient
        scores = answers(classifier, InputXGradient()(one, target)).scores
        rounding = TOLERANCE[dtype] * np.abs(products).sum(-1).max()  # of sums whose terms may cancel
        assert np.abs(scores - products.sum(-1)).max() <= rounding


def test_gradient_agrees_with_finite_differences():
    classifier = tiny_classifier("bert", 1.5, dtype=torch.float64)
    one = random_texts(classifier)[0]
    forward, point = torch_logits_from_embeddings(classifier, one.ids), torch_embeddings(classifier, one.ids)
    step = 1e-6
    moved = [step * unit for unit in torch.eye(len(one)).double()[:, None, :, None]]  # one token's embedding scaled
    slopes = [(forward(point * (1 + up)) - forward(point * (1 - up)))[0, 1] / (2 * step) for up in moved]
    scores = answers(classifier, InputXGradient()(one, 1)).scores
    np.testing.assert_allclose(scores, torch.stack(slopes).numpy(), atol=1e-7 * np.abs(scores).max(), rtol=0)


@MODELS
@PRECISIONS
def test_occlusion_is_the_fall_of_the_logit_one_masked_text_at_a_time(kind, b, dtype):
    classifier = tiny_classifier(kind, b, classes=3, dtype=dtype)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        full, expected = slow_logits(classifier, one.ids)[target], np.zeros(len(one))
        for position in range(1, len(one) - 1):
            masked = one.ids.copy()
            masked[position] = classifier.tokenizer.mask_token_id
            expected[position] = full - slow_logits(classifier, masked)[target]
        found = answers(classifier, Occlusion()(one, target)).scores
        assert found[0] == found[-1] == 0
        assert np.abs(found - expected).max() <= TOLERANCE[dtype] * np.abs(full)


@PRECISIONS
@pytest.mark.parametrize("b", [1.0, 1.25, 1.5, 2.0])
@pytest.mark.parametrize("kind", KINDS)
def test_bcos_explanation_is_the_product_of_the_dynamic_matrices(kind, b, dtype):
    classifier = tiny_classifier(kind, b, classes=3, dtype=dtype)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        slow = SlowTransformer(classifier)
        embeddings = slow.embeddings(one)
        logits, _ = slow.forward(embeddings)
        torch.testing.assert_close(logits.slope[0] @ embeddings.flatten(), logits.value[0])  # W(x) x is the logit
        shares = (logits.slope[0, target].reshape(embeddings.shape) * embeddings).sum(-1)
        found = answers(classifier, Bcos()(one, target))
        assert_close(found.scores, shares.numpy(), dtype)
        assert abs(found.notes["completeness_gap"]) <= TOLERANCE[dtype] * np.abs(found.scores).max()


@PRECISIONS
@pytest.mark.parametrize("kind", KINDS)
def test_bcos_extraction_from_a_conventional_model_keeps_biases_and_head(kind, dtype):
    classifier = tiny_classifier(kind, None, classes=3, dtype=dtype)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        slow = SlowTransformer(classifier)
        embeddings = slow.embeddings(one)
        logits, _ = slow.forward(embeddings)
        shares = (logits.slope[0, target].reshape(embeddings.shape) * embeddings).sum(-1)
        found = answers(classifier, Bcos()(one, target))
        assert_close(found.scores, shares.numpy(), dtype)
        gap = float(logits.value[0, target] - shares.sum())
        assert found.notes["completeness_gap"] == pytest.approx(gap, rel=1e-4)


@pytest.mark.parametrize("b", [None, 1.5])
def test_captum_agrees_on_saliency_and_input_x_gradient(b):
    classifier = tiny_classifier("roberta", b, dtype=torch.float64)
    for one in random_texts(classifier):
        forward = torch_logits_from_embeddings(classifier, one.ids)
        point = torch_embeddings(classifier, one.ids).requires_grad_()
        saliency = attr.Saliency(forward).attribute(point, target=1)[0].sum(-1)
        product = attr.InputXGradient(forward).attribute(point, target=1)[0].sum(-1)
        assert_close(answers(classifier, Saliency()(one, 1)).scores, saliency.detach().numpy(), torch.float64)
        assert_close(answers(classifier, InputXGradient()(one, 1)).scores, product.detach().numpy(), torch.float64)


@pytest.mark.parametrize("b", [None, 1.5])
def test_captum_agrees_on_occlusion(b):
    classifier = tiny_classifier("distilbert", b, dtype=torch.float64)

    def forward(ids: Tensor) -> Tensor:
        return classifier.model(input_ids=ids).logits

    for one in random_texts(classifier):
        ids = torch.from_numpy(one.ids)[None]
        ablated = attr.FeatureAblation(forward).attribute(ids, baselines=one.mask_id, target=1)[0]
        occluded = attr.Occlusion(forward).attribute(ids, (1,), baselines=one.mask_id, target=1)[0]
        scores = answers(classifier, Occlusion()(one, 1)).scores[one.content]
        assert_close(scores, ablated[one.content].numpy(), torch.float64)
        assert_close(scores, occluded[one.content].numpy(), torch.float32)  # captum's sum


@pytest.mark.parametrize("target", [0, 1, 2])
def test_linear_model_knows_its_explanations(target):
    model, one = LinearModel.random(), text([1, 5, 6, 7, 5, 1])
    share = model.table @ model.weights[:, target]
    content = one.ids[1:-1]
    occluded = answers(model, Occlusion()(one, target)).scores
    np.testing.assert_allclose(occluded, [0, *(share[content] - share[0]), 0], atol=1e-12)
    np.testing.assert_allclose(answers(model, InputXGradient()(one, target)).scores, share[one.ids], rtol=1e-12)
    slope = np.abs(model.weights[:, target]).sum()
    np.testing.assert_allclose(answers(model, Saliency()(one, target)).scores, np.full(6, slope), rtol=1e-12)
    np.testing.assert_allclose(answers(model, Attention()(one, target)).scores, np.full(6, 1 / 6), rtol=1e-12)
    frozen = answers(model, Bcos()(one, target))
    np.testing.assert_allclose(frozen.scores, share[one.ids], rtol=1e-12)
    assert frozen.notes["completeness_gap"] == pytest.approx(model.bias[target])


def test_random_is_uniform_noise():
    texts = [text(range(50), name=f"text {i}") for i in range(100)]
    scores = np.concatenate([Random()(one, 0).scores for one in texts])
    assert stats.kstest(scores, "uniform").pvalue > 0.01
    assert len(set(scores)) == len(scores)


def test_random_depends_on_seed_and_id_and_nothing_else():
    one, same_words, same_id = text([1, 5, 6, 1]), text([1, 5, 6, 1], name="other"), text([1, 7, 7, 1])
    scores = Random()(one, 0).scores
    np.testing.assert_array_equal(scores, Random()(one, 1).scores)
    np.testing.assert_array_equal(scores, Random(seed=0)(same_id, 0).scores)
    assert not np.isin(scores, Random(seed=1)(one, 0).scores).any()
    assert not np.isin(scores, Random()(same_words, 0).scores).any()


@pytest.mark.parametrize("explainer", [Attention(), Bcos(), InputXGradient(), Occlusion(), Saliency()])
def test_questions_cost_the_rows_they_need(explainer):
    one = text([1, 5, 6, 7, 1])
    question = next(explainer(one, 0))
    assert len(getattr(question, "keep", [None])) == (4 if isinstance(explainer, Occlusion) else 1)
