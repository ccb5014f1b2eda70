"""Activations, found by trying: functions of each number alone, which a mode must hold constant as f(x)/x."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from faithbench.architectures.factors import activated

SEEN = frozenset((F.gelu, F.relu, F.silu))  # functions of torch that `faithbench.models.frozen` has rules for
REFUSALS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)


class Activation(nn.Module):
    """An activation that modes see, whatever it computes.

    Args:
        activation: the module whose place it takes.
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, inputs: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return activated(inputs, self.activation)


class _Called(TorchFunctionMode):
    """Collects the torch functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: set[Callable[..., object]] = set()

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        self.functions.add(func)
        return func(*args, **(kwargs or {}))


def is_activation(module: nn.Module) -> bool:
    """Whether a module without parameters maps each number on its own, and is not linear; tried in eval mode."""
    if isinstance(module, Activation):
        return True
    if any(True for _ in (*module.children(), *module.parameters(), *module.buffers())):
        return False
    states = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cases = (states, states.flip(-1), states[:1, 1:, :2], -states, 2 * states)
    try:
        out, flipped, part, negative, double = (_in_eval(module, case.clone()) for case in cases)
        alone = out.shape == states.shape and _close(out.flip(-1), flipped) and _close(out[:1, 1:, :2], part)
    except REFUSALS:
        return False
    return alone and not (_close(negative, -out) and _close(double, 2 * out))


def is_seen(activation: nn.Module) -> bool:
    """Whether an activation is one function of torch that modes have a rule for."""
    called, zeros = _Called(), torch.zeros(1, dtype=torch.float64)

    def watched(inputs: Tensor) -> Tensor:
        with called:
            out: Tensor = activation(inputs)
        return out

    _in_eval(activation, zeros, watched)
    return called.functions <= SEEN


def at_zero(activation: nn.Module) -> float:
    """What an activation makes of 0; only where that is 0 does f(x)/x · x leave nothing out."""
    return float(_in_eval(activation, torch.zeros(1, dtype=torch.float64)))


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-9, atol=1e-12)  # vectors of other lengths are rounded otherwise


def _in_eval(module: nn.Module, inputs: Tensor, call: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            return (call or module)(inputs)
    finally:
        module.train(training)
