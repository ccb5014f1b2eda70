"""The proof that a converted classifier is complete: Σ e·gradient = logit, in float64, on one row of tokens.

It runs on a copy with noise on all vectors of weights, so that what holds for it holds for the structure, not for the
weights of the moment: a bias that happens to be 0 does not hide.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from faithbench.architectures.finding import GATED
from faithbench.architectures.forms import REFUSALS, Gate
from faithbench.architectures.inspection import takes
from faithbench.errors import UserError, describe
from faithbench.interfaces import Architecture
from faithbench.models.frozen import FrozenWeights
from faithbench.models.points import LayerInput

TOKENS = 6
TOLERANCE = 1e-9  # of what is summed up
ACTIVATIONS = tuple({type(ACT2FN[name]) for name in GATED} | {nn.GELU, nn.SiLU, nn.ReLU})

Call = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]


def prove(model: PreTrainedModel, architecture: Architecture) -> None:
    """Shows that a converted classifier is complete; gates of products are set where that makes it so, in place.

    Raises:
        UserError: it is not complete; the first module whose output is no linear map of its input is named.
    """
    twin = _twin(model)
    point = layer_input(twin, architecture)
    if _is_complete(twin, point):
        return
    gates = [gate for name, call in _wrong(twin, point) for gate in _gates(name, call)]
    for name in gates:
        model.set_submodule(name, Gate(model.get_submodule(name)))
    if gates and _is_complete(twin, point):
        return
    for name, (module, *_) in _wrong(twin, point):
        raise UserError(
            f"module {name!r} ({type(module).__name__}) has no B-cos form: its output is no linear map of its input, "
            "even with gates, norms and attention held constant."
        )
    raise UserError(
        f"{type(model).__name__} has no B-cos form: its logits are no linear map of the input of the first layer "
        f"({type(point.layer).__name__}) alone, even with gates, norms and attention held constant."
    )


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


def computed_before(model: PreTrainedModel, architecture: Architecture) -> set[str]:
    """Names of the modules that have run when the first layer begins, tried on a copy.

    Raises:
        UserError: the model cannot be run, or gives no logits.
    """
    twin = _copy_with(model, lambda own: own).eval()  # its weights are the model's
    finished: list[str] = []
    before: list[str] = []

    def begin(states: Tensor) -> Tensor:
        before.extend(finished)
        return states

    point = layer_input(twin, architecture)
    with point.changing(begin), _finishing(twin, lambda name, _: finished.append(name)), torch.no_grad():
        _logits(twin)
    return set(before)


def probe_row(model: PreTrainedModel) -> Int[Tensor, "1 tokens"]:
    """Tokens from all over the vocabulary, none of them special; at the end that which ends a text if there is one."""
    settings = model.config.get_text_config().to_dict()
    special = {value for name, value in settings.items() if name.endswith("_token_id") and isinstance(value, int)}
    rows = model.get_input_embeddings().weight.shape[0]
    spread = torch.linspace(0, rows - 1, TOKENS + len(special)).long().tolist()
    ids = [number for number in spread if number not in special][:TOKENS]
    end = settings.get("eos_token_id")
    return torch.tensor([[*ids, end] if isinstance(end, int) and 0 <= end < rows else ids], device=model.device)


def _twin(model: PreTrainedModel) -> PreTrainedModel:
    """A float64 copy with noise on gains and biases."""
    generator = torch.Generator().manual_seed(0)

    def double(tensor: Tensor) -> Tensor:
        exact = tensor.detach().to(device="cpu", dtype=torch.float64 if tensor.is_floating_point() else tensor.dtype)
        if isinstance(tensor, nn.Parameter) and tensor.ndim == 1:
            exact = exact + 0.1 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        return nn.Parameter(exact, requires_grad=False) if isinstance(tensor, nn.Parameter) else exact

    return _copy_with(model, double).eval()


def _copy_with(model: PreTrainedModel, tensor: Callable[[Tensor], Tensor]) -> PreTrainedModel:
    """A copy of the modules with what a function makes of each parameter and buffer."""
    replaced = {id(own): tensor(own) for own in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, replaced)


def _logits(model: PreTrainedModel) -> Tensor:
    uncached = {"use_cache": False} if takes(model.base_model, "use_cache") else {}
    try:
        logits = getattr(model(input_ids=probe_row(model), **uncached), "logits", None)
    except REFUSALS as error:
        raise UserError(f"{type(model).__name__} cannot be run: {describe(error)}") from error
    if not isinstance(logits, Tensor):
        raise UserError(f"{type(model).__name__} is no sequence classifier or masked language model: it has no logits.")
    return logits


def _is_complete(model: PreTrainedModel, point: LayerInput) -> bool:
    """For all outputs at once, of which a random combination is explained."""
    logits, leaf = _frozen_pass(model, point)
    weights = _directions(logits)
    if not logits.requires_grad:
        return False
    (gradient,) = torch.autograd.grad((weights * logits).sum(), leaf)
    return _agree(weights * logits, [leaf * gradient])


def _frozen_pass(model: PreTrainedModel, point: LayerInput) -> tuple[Tensor, Tensor]:
    """Logits, and the embeddings that they can be derived by."""
    leaves: list[Tensor] = []

    def cut(states: Tensor) -> Tensor:
        leaves.append(states.detach().requires_grad_())
        return leaves[-1]

    with torch.enable_grad(), point.changing(cut), FrozenWeights():
        logits = _logits(model)
    return logits, leaves[-1]


def _wrong(model: PreTrainedModel, point: LayerInput) -> list[tuple[str, Call]]:
    """The modules that give no linear map of what they read, in the order in which they end, with their calls."""
    calls: dict[str, Call] = {}
    with _finishing(model, calls.setdefault):
        _frozen_pass(model, point)
    return [(name, call) for name, call in calls.items() if name and _is_linear(call) is False]


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
        if isinstance(activation, ACTIVATIONS):
            module.set_submodule(child, Gate(activation))
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
