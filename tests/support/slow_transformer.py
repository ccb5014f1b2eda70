"""The transformer a second time, slowly: one token after the other in double precision, dynamic weights as matrices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from builders import KINDS
from torch import Tensor, nn

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
        with embeddings_hook(classifier, lambda *_: embeddings):
            return classifier.model(input_ids=torch.from_numpy(ids).expand(len(embeddings), -1)).logits

    return forward


def torch_embeddings(classifier: HuggingFaceClassifier, ids: np.ndarray) -> Tensor:
    return embeddings_module(classifier)(torch.from_numpy(ids)[None]).detach()


def embeddings_module(classifier: HuggingFaceClassifier) -> nn.Module:
    """The module that makes embeddings of ids, LayerNorm included; of BERT, RoBERTa and DistilBERT."""
    return classifier.model.get_submodule(classifier.architecture.embeddings)


@contextmanager
def embeddings_hook(classifier: HuggingFaceClassifier, hook: Callable[..., Tensor]) -> Iterator[None]:
    """Within it, a forward hook on that module."""
    handle = embeddings_module(classifier).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def assert_close(found: np.ndarray, expected: np.ndarray, dtype: torch.dtype) -> None:
    """Differences are small beside the largest expected score."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE[dtype] * np.abs(expected).max()
