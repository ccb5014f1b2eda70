"""Modes, context managers that change or record a forward pass: frozen dynamic weights, and captured attention.

A B-cos network computes y = W(x) x. Its explanation (arXiv 2502.12992, section 3) is the gradient with W held constant:
attention probabilities, 1/std of the norms, activation gates and B-cos scales stay what they are, while values do not
change. Both modes intercept torch functions inside a `with`, so the model itself is left as it was found.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from faithbench.architectures.factors import activated, dynamic_scale, gate

Rules = Mapping[Callable[..., object], Callable[..., object]]


class Intercept(TorchFunctionMode):
    """Inside the `with`, the functions that `rules` name are replaced."""

    rules: Rules

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        return self.rules.get(func, func)(*args, **(kwargs or {}))


class FrozenWeights(Intercept):
    """`with FrozenWeights():` gradients see the dynamic weights of this input as constants."""

    freezes: ClassVar[type[Intercept]]

    def __init__(self) -> None:
        super().__init__()
        self.rules = FROZEN


FrozenWeights.freezes = FrozenWeights  # what must make a model linear before its gradients mean anything


class CapturedAttention(Intercept):
    """`with CapturedAttention() as captured:` collects each layer's attention probabilities in `captured.layers`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[Float[Tensor, "batch heads queries keys"]] = []
        self.rules = {F.scaled_dot_product_attention: self._attend}

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        self.layers.append(attention_probabilities(query, key, *args, **kwargs))
        return self.layers[-1] @ repeated(value, query, kwargs.get("enable_gqa", False))


def attention_probabilities(
    query: Float[Tensor, "*batch queries d"],
    key: Float[Tensor, "*groups keys d"],
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Float[Tensor, "*batch queries keys"]:
    """The probabilities inside `scaled_dot_product_attention`, whose arguments these are (but for `value`)."""
    if dropout_p:
        raise NotImplementedError("explicit attention knows no dropout")
    key = repeated(key, query, enable_gqa)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    if is_causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    return scores.softmax(-1)


def repeated(states: Tensor, query: Tensor, grouped: bool) -> Tensor:
    """Keys or values once for each head of the queries, of which groups share them."""
    return states.repeat_interleave(query.shape[-3] // states.shape[-3], dim=-3) if grouped else states


def _attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    probabilities = attention_probabilities(query, key, *args, **kwargs).detach()
    return probabilities @ repeated(value, query, kwargs.get("enable_gqa", False))


def _layer_norm(
    inputs: Tensor, shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    dims = tuple(range(-len(shape), 0))
    centred = inputs - inputs.mean(dims, keepdim=True)  # the mean is linear: it keeps its gradient
    inverse = (centred.square().mean(dims, keepdim=True) + eps).rsqrt().detach()
    out = centred * inverse
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


def _rms_norm(inputs: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    dims = tuple(range(-len(shape), 0))
    epsilon = torch.finfo(inputs.dtype).eps if eps is None else eps
    out = inputs * (inputs.square().mean(dims, keepdim=True) + epsilon).rsqrt().detach()
    return out if weight is None else out * weight


def _gelu(inputs: Tensor, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        gate = 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inputs + 0.044715 * inputs**3)))
    else:
        gate = 0.5 * (1 + torch.erf(inputs / math.sqrt(2)))
    return gate.detach() * inputs


def _relu(inputs: Tensor, inplace: bool = False) -> Tensor:
    gate: Bool[Tensor, ...] = inputs > 0
    return gate * inputs


def _silu(inputs: Tensor, inplace: bool = False) -> Tensor:
    return inputs.sigmoid().detach() * inputs


def _activated(inputs: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    out, zero = activation(inputs).detach(), inputs == 0
    return torch.where(zero, out, (out / torch.where(zero, 1, inputs)).detach() * inputs)


def _detached(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args, **kwargs: function(*args, **kwargs).detach()


FROZEN: Rules = {
    F.scaled_dot_product_attention: _attention,
    F.softmax: _detached(F.softmax),
    torch.softmax: _detached(torch.softmax),
    Tensor.softmax: _detached(Tensor.softmax),
    F.layer_norm: _layer_norm,
    F.rms_norm: _rms_norm,
    F.gelu: _gelu,
    F.relu: _relu,
    F.silu: _silu,
    activated: _activated,
    dynamic_scale: _detached(dynamic_scale),
    gate: _detached(gate),
}
