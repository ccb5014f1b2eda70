"""What a model's modules read and give, seen when it reads a few tokens, and which of it are hidden units of MLPs.

An MLP makes of each token something of that token alone, attention does not: where the linear layer before gives
another value at the first token, what the MLP's last linear layer reads changes at that token and nowhere else.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from faithbench.architectures.inspection import layers_name
from faithbench.errors import UserError, describe

TOKENS = 5  # that are read
ELSEWHERE = 1e-3  # of the change at a token, what may be due to rounding at others
SIZES = (  # of an MLP's hidden units, in configurations
    "intermediate_size",
    "ffn_dim",
    "encoder_ffn_dim",
    "n_inner",
    "d_inner",
    "hidden_dim",
    "d_ff",
    "ffn_hidden_size",
)


@dataclass(eq=False)
class Call:
    """A module when it was called.

    Args:
        name: of the module.
        module: itself.
        number: how often it had been called before.
        layer: in which it is, from 0; None outside.
        read: what it read, the first tensor.
        given: what it gave, the first tensor; None where there is none.
    """

    name: str
    module: nn.Module
    number: int
    layer: int | None
    read: Tensor | None
    given: Tensor | None = None


def first_tensor(value: Any) -> Tensor | None:
    """A tensor, or the first of several."""
    several = value if isinstance(value, (tuple, list)) else (value,)
    return next((each for each in several if isinstance(each, Tensor)), None)


def few_tokens(model: nn.Module) -> Int[Tensor, "1 tokens"]:
    """Ordinary ids with the end of a text behind, where a model has one, that any model reads."""
    config: Any = getattr(model, "config", None)
    ends = [getattr(config, f"{name}_token_id", None) for name in ("bos", "eos", "pad", "sep", "cls", "mask", "unk")]
    special = {each for end in ends for each in (end if isinstance(end, list) else [end])}
    ids = [number for number in range(TOKENS + len(special)) if number not in special][:TOKENS]
    end, size = ends[1][0] if isinstance(ends[1], list) else ends[1], getattr(config, "vocab_size", 0)
    if end is not None and 0 <= end < size:
        ids[-1] = end
    return torch.tensor([ids], device=next(model.parameters()).device)


def probed(model: nn.Module) -> list[Call]:
    """All calls of modules when a model reads a few tokens, in the order in which they end.

    Raises:
        UserError: it cannot read token ids alone.
    """
    watch = _Watch(model)
    with ExitStack() as stack, torch.inference_mode():
        for name, module in model.named_modules():
            if name:
                stack.callback(module.register_forward_pre_hook(watch.begins(name), with_kwargs=True).remove)
                stack.callback(module.register_forward_hook(watch.ends).remove)
        read_few(model)
    return watch.calls


def read_few(model: nn.Module, texts: int = 1) -> None:
    """Reads the tokens, so many times in one batch, as a model does that is not being trained.

    Raises:
        UserError: it cannot.
    """
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()(input_ids=few_tokens(model).repeat(texts, 1))
    except Exception as error:
        raise UserError(
            f"{type(model).__name__} cannot read token ids alone, so that its neurons cannot be found: "
            f"{describe(error, 150)}."
        ) from error
    finally:
        for module in training:
            module.training = True


class _Watch:
    """Notes calls while they happen."""

    def __init__(self, model: nn.Module) -> None:
        self.calls, self._open, self._counts = list[Call](), list[Call](), Counter[str]()
        self._layers = layers_name(model) if isinstance(model, PreTrainedModel) else ""
        self._begun = -1

    def begins(self, name: str) -> Callable[..., None]:
        """A hook."""

        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            is_layer = bool(self._layers) and name.rpartition(".")[0] == self._layers
            self._begun += is_layer
            inside = is_layer or bool(self._open and self._open[-1].layer is not None)
            read = first_tensor([*args, *kwargs.values()])
            call = Call(name, module, self._counts[name], self._begun if inside else None, read)
            self._open.append(call)
            self._counts[name] += 1

        return hook

    def ends(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """A hook."""
        call = self._open.pop()
        call.given = first_tensor(output)
        self.calls.append(call)


def hidden_units(model: nn.Module, calls: Sequence[Call]) -> list[tuple[Call, bool]]:
    """Of each layer the call that reads (True) or gives (False) the hidden units of its MLP; none if one has none.

    They are as many as the configuration says, or of a layer that contracts, where it says what no layer has.
    """
    layers = sorted({call.layer for call in calls if call.layer is not None})
    for fits in (_fits, _contracts):
        found = [_of_layer(model, calls, layer, fits) for layer in layers]
        if found and all(found):
            return [each for each in found if each is not None]
    return []


def _of_layer(
    model: nn.Module, calls: Sequence[Call], layer: int, fits: Callable[[nn.Module, Call], bool]
) -> tuple[Call, bool] | None:
    own = [call for call in calls if call.layer == layer]
    linear = [call for call in own if _is_linear(call)]
    for before, last in reversed(list(pairwise(linear))):
        if fits(model, last) and _by_token(model, before, last):
            giver = next((call for call in own if _same(call.given, last.read)), None)
            once = giver is not None and sum(call.module is giver.module for call in calls) == 1
            named = once and giver is not None and not isinstance(giver.module, nn.Dropout)
            return (giver, False) if giver is not None and named else (last, True)
    if any(_fits(model, call) for call in linear):
        return None
    size = _size(model, layer)  # of codes that no linear layer reads, as CRATE's
    codes = [call for call in own if by_tokens(call.given) and call.given is not None and call.given.shape[-1] == size]
    return (codes[-1], False) if codes else None


def _fits(model: nn.Module, call: Call) -> bool:
    """Whether a linear layer reads so many units of each token as the configuration says."""
    size = None if call.layer is None else _size(model, call.layer)
    return by_tokens(call.read) and call.read is not None and call.read.shape[-1] == size


def _contracts(model: nn.Module, call: Call) -> bool:
    """Whether a linear layer gives fewer units of each token than it reads."""
    assert call.read is not None
    assert call.given is not None
    return by_tokens(call.read) and call.read.shape[-1] > call.given.shape[-1]


def _is_linear(call: Call) -> bool:
    """Whether a call multiplies what it reads by a matrix."""
    weight = getattr(call.module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2 or call.read is None or call.given is None:
        return False
    sizes = (call.read.shape[-1:], call.given.shape[-1:])
    return call.read.is_floating_point() and sizes in (
        (weight.shape[:1], weight.shape[1:]),
        (weight.shape[1:], weight.shape[:1]),
    )


def by_tokens(units: Tensor | None, texts: int = 1) -> bool:
    """Whether these are units of the tokens read, [texts, tokens, units], or with all tokens below each other."""
    shapes = (texts, TOKENS), (texts * TOKENS,)
    return units is not None and units.is_floating_point() and tuple(units.shape[:-1]) in shapes


def _size(model: nn.Module, layer: int) -> int | None:
    """How many hidden units the configuration says."""
    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    told = next((size for name in SIZES if (size := getattr(config, name, None)) is not None), None)
    told = told[layer] if isinstance(told, (list, tuple)) and layer < len(told) else told
    return told if isinstance(told, int) else None


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return False
    return one.shape == other.shape and one.data_ptr() == other.data_ptr()


def _by_token(model: nn.Module, before: Call, last: Call) -> bool:
    """Whether what a linear layer reads at a token depends on what another gives at that token, and at no other."""
    seen = list[Tensor]()
    counts = Counter[str]()

    def change(module: nn.Module, args: object, output: Any) -> Any:
        counts["before"] += 1
        if counts["before"] - 1 != before.number:
            return None
        changed = output.clone()
        changed.view(TOKENS, -1)[0] += output.detach().abs().mean() + 1
        return changed

    def look(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        counts["last"] += 1
        read = first_tensor([*args, *kwargs.values()])
        if counts["last"] - 1 == last.number and read is not None:
            seen.append(read)

    with ExitStack() as stack, torch.inference_mode():
        stack.callback(before.module.register_forward_hook(change).remove)
        stack.callback(last.module.register_forward_pre_hook(look, with_kwargs=True).remove)
        read_few(model)
    if not seen or last.read is None:
        return False
    moved = (seen[0] - last.read).abs().reshape(TOKENS, -1).amax(1)
    return bool(moved[0] > 0 and moved[1:].max() <= ELSEWHERE * moved[0])
