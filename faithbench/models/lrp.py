"""Layer-wise relevance propagation through attention: AttnLRP (Achtibat et al. 2024, arXiv 2402.05602).

In its form as input × gradient with a changed backward pass, which the paper's rules come to where the stabilising
epsilon is 0: products of two signals pass on half of the gradient to each (their eq. 7: attention times values, queries
times keys, the gate of a feed-forward network times what it lets through), element-wise functions and norms pass it on
by f(x)/x (eq. 9), softmax by its own derivative (proposition 3.1), linear layers by their weights (eq. 8). The scale of
a B-cos layer is held constant.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from faithbench.architectures.factors import gate
from faithbench.errors import QuestionError
from faithbench.models.frozen import FROZEN, FrozenWeights, Intercept, Rules, attention_probabilities, repeated


class AttnLRP(Intercept):
    """`with AttnLRP():` gradients times inputs are relevances.

    Raises:
        QuestionError: within it, the model makes something of two signals that is neither a sum nor a product.
    """

    freezes: ClassVar[type[Intercept]] = FrozenWeights  # its rules beside attention and gates are those
    follows_attention: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.rules = RULES

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        out = super().__torch_function__(func, types, args, kwargs)
        known = func in self.rules or func in SUMS or not _is_signal(out)
        if not known and sum(1 for _ in _signals((args, kwargs))) > 1:
            raise QuestionError(f"AttnLRP has no rule for {getattr(func, '__name__', func)} of two signals")
        return out


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


def _product(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A product, of two signals or of one and a constant."""

    def rule(one: Any, other: Any, *args: Any, **kwargs: Any) -> Tensor:
        if _is_signal(one) and _is_signal(other):
            return function(_halved(one), _halved(other), *args, **kwargs)
        return function(one, other, *args, **kwargs)

    return rule


def _baddbmm(inputs: Tensor, batch1: Tensor, batch2: Tensor, **kwargs: Any) -> Tensor:
    return _product(lambda one, other: torch.baddbmm(inputs, one, other, **kwargs))(batch1, batch2)


def _einsum(equation: str, *operands: Any) -> Tensor:
    parts = operands[0] if len(operands) == 1 and not isinstance(operands[0], Tensor) else operands
    if sum(1 for _ in _signals(parts)) > 2:
        raise QuestionError("AttnLRP has no rule for einsum of three signals")
    own = [_halved(part) for part in parts] if all(map(_is_signal, parts)) and len(parts) == 2 else parts
    return torch.einsum(equation, *own)


def _is_signal(value: object) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _signals(value: object) -> Iterator[Tensor]:
    """The tensors among arguments that depend on the embeddings."""
    if isinstance(value, Tensor):
        if value.requires_grad:
            yield value
    elif isinstance(value, (tuple, list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _signals(each)


_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)
_PRODUCTS = (torch.mul, torch.multiply, Tensor.mul, Tensor.multiply, torch.matmul, Tensor.matmul, torch.bmm, Tensor.bmm)
_ADDING = (torch.add, Tensor.add, Tensor.add_, torch.sub, Tensor.sub, Tensor.sub_)
_JOINING = (torch.cat, torch.concat, torch.stack, torch.hstack, torch.vstack, torch.where, Tensor.where)
_PLACING = (Tensor.__setitem__, Tensor.copy_, Tensor.index_copy_, Tensor.index_add, Tensor.index_add_)
_ALIKE = (Tensor.to, Tensor.type_as, Tensor.view_as, Tensor.expand_as, Tensor.reshape_as)
SUMS = frozenset((*_ADDING, *_JOINING, *_PLACING, *_ALIKE))  # linear in all that they are given together
_BATCHED: Rules = {torch.baddbmm: _baddbmm, Tensor.baddbmm: _baddbmm, torch.einsum: _einsum}
_TANH: Rules = {torch.tanh: _tanh, Tensor.tanh: _tanh, F.tanh: _tanh}
RULES: Rules = {
    **{function: rule for function, rule in FROZEN.items() if function not in (*_SOFTMAX, gate)},
    **{function: _product(function) for function in _PRODUCTS},
    **_BATCHED,
    **_TANH,
    F.scaled_dot_product_attention: _attention,
}
