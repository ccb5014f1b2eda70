"""GPT-2, Llama and its relatives a second time, written out, with two ways back: dynamic weights frozen, or relevances.

`Frozen` holds constant what the B-cos explanation does. `Relevance` hands relevances down by the equations of AttnLRP
(arXiv 2402.05602) with ε = 0, function by function: nothing here is a gradient of a changed pass.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu, relu6, silu

from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.types import Text

ACTIVATIONS = {"silu": silu, "relu6": relu6}  # any other is GELU by tanh


class Frozen:
    """Gradients, to be multiplied with inputs."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return x @ weight.T + (0 if bias is None else bias)

    def add(self, one: Tensor, other: Tensor) -> Tensor:
        return one + other

    def gated(self, gate: Tensor, up: Tensor) -> Tensor:
        return gate.detach() * up

    def times(self, one: Tensor, other: Tensor) -> Tensor:
        return one @ other

    def element(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return (function(x) / x).detach() * x

    def scaled(self, x: Tensor, scale: Tensor) -> Tensor:
        return x * scale.detach()

    def softmax(self, scores: Tensor) -> Tensor:
        return causal(scores).detach()

    def down(self, value: Tensor, embeddings: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(value, embeddings)
        return gradient * embeddings.detach()


class Relevance(Frozen):
    """Relevances: the backward pass of each function takes those of its output and gives those of its inputs."""

    gate_share = 0.5

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        def back(r: Tensor, x: Tensor) -> tuple[Tensor]:  # equation 8
            out = x @ weight.T + (0 if bias is None else bias)
            return (x * ((r / out) @ weight),)

        return passed(lambda x: x @ weight.T + (0 if bias is None else bias), back, x)

    def add(self, one: Tensor, other: Tensor) -> Tensor:
        return passed(torch.add, lambda r, a, b: (r * a / (a + b), r * b / (a + b)), one, other)

    def gated(self, gate: Tensor, up: Tensor) -> Tensor:
        share = self.gate_share
        return passed(torch.mul, lambda r, a, b: (share * r, (1 - share) * r), gate, up)

    def times(self, one: Tensor, other: Tensor) -> Tensor:
        def back(r: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:  # proposition 3.3
            ratio = r / (2 * (a @ b))
            return a * (ratio @ b.mT), b * (a.mT @ ratio)

        return passed(torch.matmul, back, one, other)

    def element(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return passed(function, lambda r, x: (r,), x)

    def scaled(self, x: Tensor, scale: Tensor) -> Tensor:
        scale = scale.detach()
        return passed(lambda x: x * scale, lambda r, x: (r,), x)

    def softmax(self, scores: Tensor) -> Tensor:
        def back(r: Tensor, x: Tensor) -> tuple[Tensor]:  # proposition 3.1
            return (x * (r - causal(x) * r.sum(-1, keepdim=True)),)

        return passed(causal, back, scores)

    def down(self, value: Tensor, embeddings: Tensor) -> Tensor:
        return torch.autograd.grad(value, embeddings, value.detach())[0]


def passed(function: Callable[..., Tensor], back: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> Tensor:
    """A function with a way back of its own."""

    class Passed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Tensor) -> Tensor:
            ctx.save_for_backward(*inputs)
            return function(*inputs).clone()

        @staticmethod
        def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, ...]:
            with torch.no_grad():
                return back(relevance, *ctx.saved_tensors)

    return Passed.apply(*inputs)


def causal(scores: Tensor) -> Tensor:
    """Softmax over each place and those before it."""
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(-1)


class SlowDecoder:
    """The network of an adapter, by its configuration and the names of its weights.

    Args:
        classifier: conventional, of the types GPT-2, Llama, Qwen 3 or Gemma 2, in float64.
        way: back.
    """

    def __init__(self, classifier: HuggingFaceLanguageModel, way: Frozen) -> None:
        self.classifier, self.way, self.config = classifier, way, classifier.model.config
        self.weights = {name: weight.detach() for name, weight in classifier.model.state_dict().items()}
        self.eps = getattr(self.config, "rms_norm_eps", None) or getattr(self.config, "layer_norm_epsilon", None)
        self.two = self.config.model_type == "gpt2"
        names = (
            getattr(self.config, name, None) for name in ("activation_function", "hidden_activation", "hidden_act")
        )
        self.act = ACTIVATIONS.get(next(filter(None, names)), lambda x: gelu(x, approximate="tanh"))

    def scores(self, text: Text, embeddings: Tensor) -> tuple[np.ndarray, float]:
        """Of each token, and what they are of: half of how much the first candidate's logit exceeds the other's."""
        leaf = embeddings.clone().requires_grad_()
        states = leaf
        for layer in range(self.config.num_hidden_layers):
            states = self.layer(states, f"transformer.h.{layer}." if self.two else f"model.layers.{layer}.")
        states = self.norm(states, "transformer.ln_f" if self.two else "model.norm")
        good, bad = text.candidates or ()
        head = self.weights["lm_head.weight"]
        cap = getattr(self.config, "final_logit_softcapping", None)
        if cap is None:
            value = self.way.linear(states[-1:], (head[[good]] - head[[bad]]) / 2)
        else:
            both = self.way.element(
                lambda z: cap * torch.tanh(z / cap), self.way.linear(states[-1:], head[[good, bad]])
            )
            value = self.way.linear(both, torch.tensor([[0.5, -0.5]]).double())
        value = value[0, 0]
        return self.way.down(value, leaf).sum(-1).detach().numpy(), float(value.detach())

    def weight(self, name: str) -> Tensor:
        weight = self.weights[f"{name}.weight"]
        return weight.T if self.two and ".c_" in name else weight

    def project(self, states: Tensor, name: str) -> Tensor:
        return self.way.linear(states, self.weight(name), self.weights.get(f"{name}.bias"))

    def norm(self, states: Tensor, name: str) -> Tensor:
        gain = self.weight(name) + (1 if self.config.model_type == "gemma2" else 0)
        if not self.two:
            return self.way.scaled(states, gain * (states.square().mean(-1, keepdim=True) + self.eps).rsqrt())
        width = states.shape[-1]
        centred = self.way.linear(states, torch.eye(width).double() - 1 / width)
        scale = (centred.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return self.way.linear(self.way.scaled(centred, scale), torch.diag(gain), self.weights[f"{name}.bias"])

    def layer(self, states: Tensor, at: str) -> Tensor:
        if self.two:
            mixed = self.attended(self.norm(states, f"{at}ln_1"), at)
            states = self.way.add(states, self.project(mixed, f"{at}attn.c_proj"))
            inner = self.project(self.norm(states, f"{at}ln_2"), f"{at}mlp.c_fc")
            inner = self.way.element(self.act, inner)
            return self.way.add(states, self.project(inner, f"{at}mlp.c_proj"))
        four = self.config.model_type == "gemma2"
        mixed = self.attended(self.norm(states, f"{at}input_layernorm"), at)
        mixed = self.project(mixed, f"{at}self_attn.o_proj")
        mixed = self.norm(mixed, f"{at}post_attention_layernorm") if four else mixed
        states = self.way.add(states, mixed)
        normed = self.norm(states, f"{at}{'pre_feedforward' if four else 'post_attention'}_layernorm")
        gate = self.way.element(self.act, self.project(normed, f"{at}mlp.gate_proj"))
        inner = self.project(self.way.gated(gate, self.project(normed, f"{at}mlp.up_proj")), f"{at}mlp.down_proj")
        inner = self.norm(inner, f"{at}post_feedforward_layernorm") if four else inner
        return self.way.add(states, inner)

    def attended(self, states: Tensor, at: str) -> Tensor:
        """Mixed values of all heads beside each other, before the output projection."""
        heads, groups = self.config.num_attention_heads, getattr(self.config, "num_key_value_heads", None)
        if self.two:
            query, key, value = self.project(states, f"{at}attn.c_attn").chunk(3, -1)
        else:
            query, key, value = (self.project(states, f"{at}self_attn.{name}_proj") for name in "qkv")
        groups = groups or heads
        query, key, value = (
            part.unflatten(-1, (count, -1)).movedim(-2, 0)
            for part, count in ((query, heads), (key, groups), (value, groups))
        )
        if f"{at}self_attn.q_norm.weight" in self.weights:
            query, key = self.norm(query, f"{at}self_attn.q_norm"), self.norm(key, f"{at}self_attn.k_norm")
        if not self.two:
            query, key = self.turned(query), self.turned(key)
        key, value = (part.repeat_interleave(heads // groups, 0) for part in (key, value))
        width = getattr(self.config, "query_pre_attn_scalar", None) or query.shape[-1]
        scores = self.way.scaled(self.way.times(query, key.mT), torch.tensor(width**-0.5))
        if cap := getattr(self.config, "attn_logit_softcapping", None):
            scores = self.way.element(lambda x: cap * torch.tanh(x / cap), scores)
        mixed = self.way.times(self.way.softmax(scores), value)
        return mixed.movedim(0, -2).flatten(-2)

    def turned(self, states: Tensor) -> Tensor:
        """Rotary positions: each place has a matrix."""
        tokens, width = states.shape[-2:]
        base = self.config.rope_parameters["rope_theta"]
        angles = torch.arange(tokens)[:, None] / base ** (torch.arange(0, width, 2) / width)
        cos, sin = (torch.diag_embed(f(angles.float()).double()) for f in (torch.cos, torch.sin))
        matrices = torch.cat([torch.cat([cos, -sin], -1), torch.cat([sin, cos], -1)], -2)
        rows = [self.way.linear(states[:, place], matrix) for place, matrix in enumerate(matrices)]
        return torch.stack(rows, dim=1)
