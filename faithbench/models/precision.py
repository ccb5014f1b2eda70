"""Precisions: what numbers a model computes with, and which of its forward rows are computed with fewer digits.

In mixed precision (Micikevicius et al. 2018, arXiv 1710.03740) weights are float32, and only products of matrices are
computed with fewer digits. Here this holds of forward rows alone, and of the layers alone: embeddings, what stands
behind the last layer, the head and its logits are float32, and so is all that is not a forward row.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from faithbench.errors import UserError, short
from faithbench.plan import AUTO, DTYPES, MIXED, TF32

Rows: TypeAlias = Callable[[], AbstractContextManager[None]]  # within it, forward rows are computed
FORWARD_ONLY = (MIXED, TF32)
REDUCED = (*FORWARD_ONLY, "bfloat16", "float16")
AUTOCAST = ("cpu", "cuda")  # devices on which torch casts by itself
AMPERE = (8, 0)  # the first GPUs that multiply bfloat16 and TF32


def name_of(dtype: torch.dtype | str) -> str:
    """The name of a precision, which may be torch's own.

    Raises:
        UserError: there is none of that name.
    """
    if isinstance(dtype, torch.dtype):
        return str(dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise UserError(f"dtype={short(dtype)} is not allowed; use {', '.join(DTYPES)}.")
    return dtype


def weights_in(name: str) -> torch.dtype:
    """The type that a precision keeps weights in."""
    found: torch.dtype = torch.float32 if name in FORWARD_ONLY else getattr(torch, name)
    return found


def marked(fingerprint: str, name: str) -> str:
    """A fingerprint of weights, with the precision where it is that of forward rows alone."""
    return f"{fingerprint}-{name}" if name in FORWARD_ONLY else fingerprint


def candidates(asked: str, device: torch.device) -> tuple[str, ...]:
    """The precisions to try in place of float32, the fastest first: of `auto` none where nothing is gained by them."""
    if asked != AUTO:
        return (asked,) if asked in REDUCED else ()
    gains = device.type == "cuda" and torch.cuda.get_device_capability(device) >= AMPERE
    return FORWARD_ONLY if gains else ()


def forward_rows(name: str, model: PreTrainedModel, device: torch.device, row: Callable[[], Tensor]) -> Rows:
    """What forward rows are computed within, in a precision.

    Args:
        name: of the precision.
        model: whose rows.
        device: on which it is.
        row: logits of one, to try it.

    Raises:
        UserError: the device, or the model, has no such precision.
    """
    if name not in FORWARD_ONLY:
        return nullcontext
    there = ("cuda",) if name == TF32 else AUTOCAST
    if device.type not in there:
        raise UserError(f"dtype={name!r} is not to be had on device {device.type!r}; use float32.")
    if name == TF32:
        return tensor_float32
    layers = layers_of(model)
    rows = partial(layers_in_bfloat16, layers, device.type)
    if not _takes_part(rows, row):
        raise UserError(
            f"dtype={name!r} is not to be had of a {type(model).__name__}, whose layers fail in it; use float32."
        )
    return rows


def _takes_part(rows: Rows, row: Callable[[], Tensor]) -> bool:
    """Whether logits are those of another precision within a context, and are numbers."""
    with torch.inference_mode():
        usual = row()
        try:
            with rows():
                other = row()
        except RuntimeError:
            return False
    return bool(torch.isfinite(other).all()) and not torch.equal(usual, other)


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """The members of every list of modules of one type that lies in no other: the layers of encoder and decoder."""
    lists = {name: module for name, module in model.named_modules() if _is_list(module)}
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    return [layer for name in outer for layer in lists[name]]


def _is_list(module: nn.Module) -> bool:
    """A list of modules of one type, unless they are lists themselves."""
    if not isinstance(module, nn.ModuleList) or any(isinstance(member, nn.ModuleList) for member in module):
        return False
    return len({type(member) for member in module}) == 1


@contextmanager
def layers_in_bfloat16(layers: list[nn.Module], device: str) -> Iterator[None]:
    """Within it, these modules multiply matrices in bfloat16; what they give is float32."""
    before = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)

    def begin(module: nn.Module, args: tuple[Any, ...]) -> None:
        torch.set_autocast_dtype(device, torch.bfloat16)
        torch.set_autocast_enabled(device, True)

    def end(module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
        torch.set_autocast_enabled(device, before[0])
        return in_single(out)

    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(layer.register_forward_pre_hook(begin))
            hooks.enter_context(layer.register_forward_hook(end))
        try:
            yield
        finally:
            torch.set_autocast_enabled(device, before[0])
            torch.set_autocast_dtype(device, before[1])


def in_single(out: Any) -> Any:
    """What a layer gives, with bfloat16 as float32."""
    if isinstance(out, Tensor):
        return out.float() if out.dtype == torch.bfloat16 else out
    return tuple(map(in_single, out)) if type(out) is tuple else out


@contextmanager
def tensor_float32() -> Iterator[None]:
    """Within it, a GPU multiplies matrices of float32 with 10 bits behind the point (TF32)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
