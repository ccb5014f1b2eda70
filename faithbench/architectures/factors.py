"""Factors that depend on the input, each a function that a mode of torch can make a constant of the backward pass."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

EPS = 1e-6


def dynamic_scale(
    projection: Float[Tensor, "... out"], inputs: Float[Tensor, "... in"], b: float
) -> Float[Tensor, "... out"]:
    """|cos(x, w)|^(B-1) of a B-cos layer: how well the input is aligned with each weight row.

    The inner epsilon keeps the gradient finite at 0 for 1 < B < 2. Open to `torch.overrides`, so that a mode can make
    it a constant of the backward pass.
    """
    if has_torch_function((projection, inputs)):
        scale: Tensor = handle_torch_function(dynamic_scale, (projection, inputs), projection, inputs, b)
        return scale
    norm = (inputs.square().sum(-1, keepdim=True) + EPS).sqrt()
    return ((projection / norm).abs() + EPS).pow(b - 1)


def gate(factor: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The factor itself: one of two that a gated feed-forward multiplies."""
    if has_torch_function((factor,)):
        same: Tensor = handle_torch_function(gate, (factor,), factor)
        return same
    return factor


def activated(inputs: Float[Tensor, "..."], activation: Callable[[Tensor], Tensor]) -> Float[Tensor, "..."]:
    """f(x) of an activation, element by element: x times f(x)/x, the factor that a mode can hold constant."""
    if has_torch_function((inputs,)):
        out: Tensor = handle_torch_function(activated, (inputs,), inputs, activation)
        return out
    return activation(inputs)
