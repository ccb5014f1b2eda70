"""The proof that a converted model is complete: Σ e·gradient = logit, in float64, on one row of tokens.

It runs on a copy with noise on all vectors of weights, so that what holds for it holds for the structure, not for the
weights of the moment: a bias that happens to be 0 does not hide.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from faithbench.architectures.activations import REFUSALS, Activation, is_activation
from faithbench.architectures.forms import Gate
from faithbench.architectures.trying import constant, copy_with, logits_of, probe_row
from faithbench.bcos.modules import BcosLinear
from faithbench.errors import UserError
from faithbench.interfaces import Architecture
from faithbench.models.frozen import FrozenWeights
from faithbench.models.points import LayerInput

ROWS = 3  # of the vocabulary
TOLERANCE = 1e-9  # of what is summed up

Call = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]


def prove(model: PreTrainedModel, architecture: Architecture, language: bool = False) -> list[str]:
    """Shows that a converted model is complete; gates of products are set where that makes it so, in place.

    Args:
        model: a classifier, all of whose logits are explained, or a language model.
        architecture: where its layers are.
        language: whether it is a causal language model: then those of the next token are explained, and contrasts.

    Returns:
        The names of the activations that are gates now.

    Raises:
        UserError: it is not complete; the first module whose output is no linear map of its input is named.
    """
    twin = _twin(model)
    point = layer_input(twin, architecture)
    if language:
        _check_calls(twin)
    if _is_complete(twin, point, language):
        return []
    gates = [gate for name, call in _wrong(twin, point) for gate in _gates(name, call)]
    set_gates(model, gates)
    if gates and _is_complete(twin, point, language):
        return gates
    for name, (module, *_) in _wrong(twin, point):
        raise UserError(
            f"module {name!r} ({type(module).__name__}) has no B-cos form: its output is no linear map of its input, "
            "even with gates, norms and attention held constant."
        )
    raise UserError(
        f"{type(model).__name__} has no B-cos form: its logits are no linear map of the input of the first layer "
        f"({type(point.layer).__name__}) alone, even with gates, norms and attention held constant."
    )


def _check_calls(twin: PreTrainedModel) -> None:
    """Whether B-cos layers are called: some modules use the weights of a linear layer in a formula of their own.

    Raises:
        UserError: one is not, but logits depend on its weight.
    """
    called: set[str] = set()
    layers = {name: module for name, module in twin.named_modules() if isinstance(module, BcosLinear)}
    weights = {name: layer.weight.requires_grad_() for name, layer in layers.items()}
    with torch.enable_grad(), _finishing(twin, lambda name, _: called.add(name)):
        total = logits_of(twin, probe_row(twin)).sum()
    rest = [name for name in layers if name not in called]
    found = torch.autograd.grad(total, [weights[name] for name in rest], allow_unused=True) if rest else ()
    for weight in weights.values():
        weight.requires_grad_(False)
    for name, gradient in zip(rest, found, strict=True):
        if gradient is not None:
            raise UserError(
                f"module {name!r} has no B-cos form: {type(twin).__name__} does not call it, but uses its weight."
            )


def set_gates(model: PreTrainedModel, names: list[str]) -> None:
    """Makes gates of the activations of these names.

    Raises:
        UserError: there is no activation of that name.
    """
    modules = dict(model.named_modules())
    for name in names if isinstance(names, list) else [names]:
        if not (name in modules and is_activation(modules[name])):
            raise UserError(f"the settings of {type(model).__name__} name {name!r} as a gate, which is no activation.")
        model.set_submodule(name, _gate(modules[name]))


def _gate(activation: nn.Module) -> Gate:
    inner = activation.activation if isinstance(activation, Activation) else activation
    return Gate(inner).train(activation.training)


def layer_input(model: PreTrainedModel, architecture: Architecture) -> LayerInput:
    """The input of the first layer, of which explanations speak.

    Raises:
        UserError: the model has no list of layers.
    """
    layers = dict(model.named_modules()).get(architecture.layers) if architecture.layers else None
    layer = None if layers is None else next(iter(layers.children()), None)
    if layer is None:
        raise UserError(
            f"{type(model).__name__} has no layers at {architecture.layers!r}, so that it has no B-cos form."
        )
    return LayerInput(model, layer, architecture.tokens_first)


def computed_before(model: PreTrainedModel, architecture: Architecture) -> tuple[set[str], set[str]]:
    """Names of the modules that have run when the first layer begins and do not run again, tried on a copy.

    Beside them those of parts that texts do not come to at all, such as that for images.

    Raises:
        UserError: the model cannot be run, or gives no logits.
    """
    twin = copy_with(model, constant).eval()
    finished: list[str] = []
    before: list[str] = []

    def begin(states: Tensor) -> Tensor:
        before.extend(finished)
        finished.clear()
        return states

    point = layer_input(twin, architecture)
    with point.changing(begin), _finishing(twin, lambda name, _: finished.append(name)), torch.no_grad():
        logits_of(twin, probe_row(twin))
    return set(before) - set(finished), _towers(model, {*before, *finished})


def _towers(model: PreTrainedModel, run: set[str]) -> set[str]:
    """The parts of a model of texts and something else that do not run where there are texts alone."""
    if model.config.get_text_config() is model.config:
        return set()
    inner = {name for name, _ in model.base_model.named_children()}
    prefix = f"{model.base_model_prefix}." if model.base_model is not model else ""
    return {f"{prefix}{name}" for name in inner if not any(f"{each}.".startswith(f"{prefix}{name}.") for each in run)}


def _twin(model: PreTrainedModel) -> PreTrainedModel:
    """A float64 copy with noise on gains and biases."""
    generator = torch.Generator().manual_seed(0)

    def double(tensor: Tensor) -> Tensor:
        exact = tensor.detach().to(device="cpu", dtype=torch.float64 if tensor.is_floating_point() else tensor.dtype)
        if isinstance(tensor, nn.Parameter) and tensor.ndim == 1:
            exact = exact + 0.1 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        return nn.Parameter(exact, requires_grad=False) if isinstance(tensor, nn.Parameter) else exact

    return copy_with(model, double).eval()


def _is_complete(model: PreTrainedModel, point: LayerInput, language: bool) -> bool:
    """For each of a few combinations of the outputs."""
    logits, leaf = _frozen_pass(model, point)
    if not logits.requires_grad:
        return False
    for weights in _combinations(logits, language):
        (gradient,) = torch.autograd.grad((weights * logits).sum(), leaf, retain_graph=True)
        if not _agree(weights * logits, [leaf * gradient]):
            return False
    return True


def _combinations(logits: Tensor, language: bool) -> Iterator[Tensor]:
    """A random one of all outputs; of a language model's last position, single outputs and contrasts too."""
    if not language:
        yield _directions(logits)
        return
    last = torch.zeros_like(logits)
    last[:, -1] = _directions(logits[:, -1])
    yield last
    for number in torch.linspace(0, logits.shape[-1] - 1, ROWS).long().tolist():
        single = torch.zeros_like(logits)
        single[:, -1, number] = 1
        yield single
        single = single.clone()
        single[:, -1, number - 1] = -1
        yield single


def _frozen_pass(model: PreTrainedModel, point: LayerInput) -> tuple[Tensor, Tensor]:
    """Logits, and the embeddings that they can be derived by."""
    leaves: list[Tensor] = []

    def cut(states: Tensor) -> Tensor:
        leaves.append(states.detach().requires_grad_())
        return leaves[-1]

    with torch.enable_grad(), point.changing(cut), FrozenWeights():
        logits = logits_of(model, probe_row(model))
    return logits, leaves[-1]


def _wrong(model: PreTrainedModel, point: LayerInput) -> list[tuple[str, Call]]:
    """The modules that give no linear map of what they read, in the order in which they end, with their calls."""
    calls: dict[str, Call] = {}
    with _finishing(model, calls.setdefault):
        _frozen_pass(model, point)
    held = {id(module.activation) for module in model.modules() if isinstance(module, (Activation, Gate))}
    return [
        (name, call) for name, call in calls.items() if name and id(call[0]) not in held and _is_linear(call) is False
    ]


def _is_linear(call: Call) -> bool | None:
    """Whether J·x = f(x) for a module and all of its inputs that depend on the embeddings; None if f is constant."""
    module, args, kwargs = call
    leaves: list[Tensor] = []

    def leaf(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.requires_grad:
            return value
        leaves.append(value.detach().clone().requires_grad_())
        return leaves[-1].clone()  # which a module may change in place

    args, kwargs = tuple(map(leaf, args)), {name: leaf(value) for name, value in kwargs.items()}
    try:
        with torch.enable_grad(), FrozenWeights():
            outputs = [output for output in _tensors(module(*args, **kwargs)) if output.requires_grad]
    except REFUSALS:
        return None
    if not leaves or not outputs:
        return None
    products = [_directions(output) * output for output in outputs]
    total = torch.stack([product.sum() for product in products]).sum()
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    used = [(leaf, gradient) for leaf, gradient in zip(leaves, gradients, strict=True) if gradient is not None]
    return _agree(torch.cat([product.flatten() for product in products]), [one * gradient for one, gradient in used])


def _agree(values: Tensor, shares: list[Tensor]) -> bool:
    scale = values.abs().sum() + torch.stack([share.abs().sum() for share in shares]).sum()
    gap = values.sum() - torch.stack([share.sum() for share in shares]).sum()
    return bool(torch.isfinite(scale) and gap.abs() <= TOLERANCE * scale)


def _directions(outputs: Tensor) -> Tensor:
    return torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _gates(name: str, call: Call) -> Iterator[str]:
    """The activation in a module that multiplies it with something: where a gate makes the module linear, it is set."""
    module = call[0]
    for child, activation in list(module.named_children()):
        if is_activation(activation):
            module.set_submodule(child, _gate(activation))
            if _is_linear(call):
                yield f"{name}.{child}"
            else:
                module.set_submodule(child, activation)


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (tuple, list, dict)):
        for value in output.values() if isinstance(output, dict) else output:
            yield from _tensors(value)


@contextmanager
def _finishing(model: nn.Module, tell: Callable[[str, Call], object]) -> Iterator[None]:
    """Within it, each module's name and call are told when it ends."""

    def hook(name: str) -> Callable[..., None]:
        def ended(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: object) -> None:
            tell(name, (module, args, kwargs))

        return ended

    handles = [
        module.register_forward_hook(hook(name), with_kwargs=True) for name, module in list(model.named_modules())
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
