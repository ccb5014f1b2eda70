"""Exact forms: modules that compute the same as those of transformers through torch functions that a mode can see.

Some modules of transformers write a norm or an activation out by hand, which `faithbench.models.frozen` cannot
intercept. A form takes such a module's place only where it gives the same for a random input.
"""

import copy
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from faithbench.architectures.factors import gate

EPSILONS = ("variance_epsilon", "eps", "epsilon", "norm_eps")
REFUSALS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
RELATIVE, ABSOLUTE = 1e-4, 1e-5  # some norms compute in float32 whatever they are given


class Gate(nn.Module):
    """An activation that is one factor of a product, as in GLU: constant where weights are frozen.

    Args:
        activation: the module whose place it takes.
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, inputs: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return gate(self.activation(inputs))


class DenseGELU(nn.Module):
    """A linear layer and torch's GELU."""

    def __init__(self, dense: nn.Module) -> None:
        super().__init__()
        self.dense = dense

    def forward(self, hidden_states: Float[Tensor, "... in"]) -> Float[Tensor, "... out"]:
        return F.gelu(self.dense(hidden_states))


def exact_form(module: nn.Module) -> nn.Module | None:
    """The form of a norm or dense layer that is written out by hand; None for what needs none or has none."""
    forms = list(_forms(module))
    twin = in_double(module) if forms else module
    for (form, width), (tried, _) in zip(forms, _forms(twin), strict=True):
        if same(twin, tried, width):
            return form.train(module.training)
    return None


def in_double(module: nn.Module) -> nn.Module:
    """A copy in float64 and eval mode, on the CPU."""
    return copy.deepcopy(module).to(device="cpu", dtype=torch.float64).eval()


def same(module: nn.Module, form: Callable[[Tensor], Tensor], width: int) -> bool:
    """Whether a form gives what a module in float64 gives for random states of a width."""
    states = torch.randn(1, 3, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    try:
        with torch.no_grad():
            wanted, got = module(states), form(states)
    except REFUSALS:
        return False
    alike = isinstance(wanted, Tensor) and wanted.shape == got.shape
    return alike and torch.allclose(wanted.to(got), got, rtol=RELATIVE, atol=ABSOLUTE)


def _forms(module: nn.Module) -> Iterator[tuple[nn.Module, int]]:
    """What might be a module's form, and the width of what it reads."""
    children, own = dict(module.named_children()), dict(module.named_parameters(recurse=False))
    if set(children) == {"dense"} and not own and isinstance(dense := children["dense"], nn.Linear):
        yield DenseGELU(dense), dense.in_features
    epsilon = next((getattr(module, name) for name in EPSILONS if hasattr(module, name)), None)
    known = isinstance(module, (nn.LayerNorm, nn.RMSNorm))
    if children or known or epsilon is None or "weight" not in own or own["weight"].ndim != 1:
        return
    width = len(own["weight"])
    for norm in (nn.LayerNorm(width, epsilon), nn.RMSNorm(width, epsilon)):
        if set(dict(norm.named_parameters())) == set(own):
            for name, parameter in own.items():
                norm.register_parameter(name, parameter)
            yield norm, width
