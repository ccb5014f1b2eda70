"""Layer-wise relevance propagation through attention: AttnLRP (Achtibat et al. 2024, arXiv 2402.05602).

In its form as input × gradient with a changed backward pass, which the paper's rules come to where the stabilising
epsilon is 0: products of two signals pass on half of the gradient to each (their eq. 7: attention times values, queries
times keys), element-wise functions and norms pass it on by f(x)/x (eq. 9), softmax by its own derivative (proposition
3.1), linear layers by their weights (eq. 8). The scale of a B-cos layer is held constant.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx
from transformers import PreTrainedModel

from faithbench.errors import QuestionError
from faithbench.models.frozen import FROZEN, FrozenWeights, Intercept, Rules, attention_probabilities, repeated


class AttnLRP(Intercept):
    """`with AttnLRP():` gradients times inputs are relevances."""

    freezes: ClassVar[type[Intercept]] = FrozenWeights  # its rules beside attention are those

    def __init__(self) -> None:
        super().__init__()
        self.rules = RULES

    @classmethod
    def check(cls, model: PreTrainedModel) -> None:
        """Whether the rules know all that the model does.

        Raises:
            QuestionError: its activation is not known, or its attention is not one function that can be replaced.
        """
        super().check(model)
        attention = model.config._attn_implementation
        if attention != "sdpa":
            raise QuestionError(f"AttnLRP needs attention `sdpa`, but the model has {attention!r}")


class _Halved(torch.autograd.Function):
    """x, with half of the gradient."""

    @staticmethod
    def forward(ctx: FunctionCtx, inputs: Tensor) -> Tensor:
        return inputs.view_as(inputs)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        return gradients[0] / 2


def _halved(inputs: Tensor) -> Tensor:
    out: Tensor = _Halved.apply(inputs)  # type: ignore[no-untyped-call]
    return out


def _attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Each product halves: queries and keys come to a quarter, values to a half."""
    probabilities = attention_probabilities(_halved(query), _halved(key), *args, **kwargs)
    return _halved(probabilities) @ repeated(_halved(value), query, kwargs.get("enable_gqa", False))


def _tanh(inputs: Tensor) -> Tensor:
    gate = torch.where(inputs == 0, 1.0, inputs.tanh() / torch.where(inputs == 0, 1.0, inputs))
    return gate.detach() * inputs


_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)
RULES: Rules = {function: rule for function, rule in FROZEN.items() if function not in _SOFTMAX} | {
    F.scaled_dot_product_attention: _attention,
    torch.tanh: _tanh,
    Tensor.tanh: _tanh,
    F.tanh: _tanh,
}
