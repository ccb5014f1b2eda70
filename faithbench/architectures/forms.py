"""Exact forms: modules that compute the same as those of transformers through torch functions that a mode can see.

Some modules of transformers write a norm or an activation out by hand, which `faithbench.models.frozen` cannot
intercept. A form takes such a module's place only where it gives the same for a random input: for good when a model is
converted, or within `opened`.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from faithbench.architectures.activations import REFUSALS, Activation, is_activation, is_seen
from faithbench.architectures.factors import gate
from faithbench.architectures.finding import architecture_of
from faithbench.architectures.norms import norm_forms
from faithbench.architectures.products import factors

RELATIVE, ABSOLUTE = 1e-4, 1e-5  # some norms compute in float32 whatever they are given


class Gate(nn.Module):
    """An activation that is one factor of a product, as in GLU: constant where weights are frozen.

    Args:
        activation: the module whose place it takes.
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = open_activation(activation) or activation  # relevances go on through it

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
    for (form, shape), (tried, _) in zip(forms, _forms(twin), strict=True):
        if same(twin, tried, *shape):
            return form.train(module.training)
    return None


def open_activation(module: nn.Module) -> Activation | None:
    """The form of an activation that modes have no rule for; None for what needs none."""
    unseen = not isinstance(module, Activation) and is_activation(module) and not is_seen(module)
    return Activation(module).train(module.training) if unseen else None


def in_double(module: nn.Module) -> nn.Module:
    """A copy in float64 and eval mode, on the CPU."""
    return copy.deepcopy(module).to(device="cpu", dtype=torch.float64).eval()


def same(module: nn.Module, form: Callable[[Tensor], Tensor], *shape: int) -> bool:
    """Whether a form gives what a module in float64 gives for random states, whose last dimensions are given."""
    states = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    try:
        with torch.no_grad():
            wanted, got = module(states), form(states)
    except REFUSALS:
        return False
    alike = isinstance(wanted, Tensor) and wanted.shape == got.shape
    return alike and torch.allclose(wanted.to(got), got, rtol=RELATIVE, atol=ABSOLUTE)


def _forms(module: nn.Module) -> Iterator[tuple[nn.Module, tuple[int, ...]]]:
    """What might be a module's form, and the last dimensions of what it reads."""
    children, own = dict(module.named_children()), dict(module.named_parameters(recurse=False))
    if set(children) == {"dense"} and not own and isinstance(dense := children["dense"], nn.Linear):
        yield DenseGELU(dense), (dense.in_features,)
    yield from norm_forms(module)


class Opening(NamedTuple):
    """A module that modes cannot see into, and the form that takes its place.

    Args:
        parent: the name of the module that holds it.
        child: its name there.
        closed: the module.
        form: computes the same.
    """

    parent: str
    child: str
    closed: nn.Module
    form: nn.Module


_OPENINGS: WeakKeyDictionary[PreTrainedModel, tuple[Opening, ...]] = WeakKeyDictionary()


def openings(model: PreTrainedModel) -> tuple[Opening, ...]:
    """What `opened` swaps in a model, found once: norms and activations by hand, and activated factors of products."""
    if (found := _OPENINGS.get(model)) is None:
        found = _OPENINGS[model] = tuple(_openings(model))
    return found


@contextmanager
def opened(model: PreTrainedModel) -> Iterator[None]:
    """Within it, a conventional model computes the same by modules that modes see: norms, activations, gates.

    They have the very parameters of those whose places they take, which come back at the end.
    """
    swapped: list[tuple[dict[str, nn.Module | None], Opening]] = []
    try:
        for opening in openings(model):
            siblings = model.get_submodule(opening.parent)._modules
            if siblings.get(opening.child) is opening.closed:
                if opening.form._parameters:
                    opening.form._parameters.update(opening.closed._parameters)
                siblings[opening.child] = opening.form
                swapped.append((siblings, opening))
        yield
    finally:
        for siblings, opening in swapped:
            siblings[opening.child] = opening.closed


def _openings(model: PreTrainedModel) -> Iterator[Opening]:
    gated, layers, forms = factors(model), architecture_of(model).layers, dict[int, nn.Module | None]()
    inside = {id(one.activation) for one in model.modules() if isinstance(one, (Gate, Activation))}
    for name, module in model.named_modules(remove_duplicate=False):
        if not name or id(module) in inside or isinstance(module, Gate):
            continue
        if id(module) not in forms:
            forms[id(module)] = _form(module, name in gated, name.startswith(layers))
        if (form := forms[id(module)]) is not None:
            parent, _, child = name.rpartition(".")
            yield Opening(parent, child, module, form)


def _form(module: nn.Module, gated: bool, layered: bool) -> nn.Module | None:
    """Activations of a head, which is no product, stay what they are: of them explanations were never complete."""
    if gated:
        return Gate(module).train(module.training)
    return exact_form(module) or (open_activation(module) if layered else None)
