"""Rows put below each other for a model, and errors of torch as Python's."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from faithbench.blocks import Packed, Rows
from faithbench.questions import HIDDEN, Point, Row

T = TypeVar("T")


def rectangle(rows: Sequence[Int[np.ndarray, "_"]]) -> Int[np.ndarray, "rows longest"]:
    """Rows of ids below each other; what is not there is hidden."""
    lengths = list(map(len, rows))
    longest, whole = max(lengths), np.concatenate(rows)
    if len(whole) == len(rows) * longest:
        return whole.reshape(len(rows), longest)
    ids = np.full((len(rows), longest), HIDDEN)
    ids[np.arange(longest) < np.array(lengths)[:, None]] = whole
    return ids


def ids_below(rows: Sequence[Row]) -> Int[np.ndarray, "rows longest"]:
    """Ids of rows below each other; what is not there is hidden."""
    return rows.rectangle() if isinstance(rows, Rows) else rectangle([row.ids for row in rows])


def ids_on(
    packed: Packed, device: torch.device
) -> tuple[Int[Tensor, "rows longest"], Bool[Tensor, "rows longest"] | None]:
    """Masked rows written out on a device, and what is not hidden there; None where nothing can be.

    Nothing waits for the device, so what is hidden is told by what was sent.
    """
    longest = packed.ids.shape[1]
    texts, fills, which, bits = (onto_device(array, device) for array in packed)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
    keep = ((bits[:, :, None] >> shifts) & 1).flatten(1)[:, :longest].bool()
    ids = torch.where(keep, texts[which], fills[which])
    hides = bool((packed.fills == HIDDEN).any() or (packed.ids == HIDDEN).any())
    return ids, ids != HIDDEN if hides else None


def lengths_of(rows: Sequence[Row]) -> list[int]:
    """Tokens of each row."""
    return rows.lengths() if isinstance(rows, Rows) else [len(row.ids) for row in rows]


def types_below(rows: Sequence[Row]) -> Int[np.ndarray, "rows longest"] | None:
    """Token types below each other, 0 where a row has none; None where no row has some."""
    if isinstance(rows, Rows):
        return rows.types()
    if all(row.types is None for row in rows):
        return None
    types = np.zeros((len(rows), max(len(row.ids) for row in rows)), dtype=np.int64)
    for own, row in zip(types, rows, strict=True):
        if row.types is not None:
            own[: len(row.ids)] = row.types
    return types


def last_visible(visible: Bool[Tensor, "rows tokens"]) -> Int[Tensor, "rows"]:
    """The last place of each row that is not hidden; 0 where all are."""
    places = torch.arange(visible.shape[1], device=visible.device)
    last: Tensor = (visible * places).argmax(dim=1)
    return last


def by_length(rows: Sequence[Row]) -> list[list[int]]:
    """The numbers of the rows, those of one length together."""
    return alike(lengths_of(rows))


def alike(marks: Sequence[int]) -> list[list[int]]:
    """Places of a list, those of one mark together."""
    groups: dict[int, list[int]] = {}
    for number, mark in enumerate(marks):
        groups.setdefault(mark, []).append(number)
    return list(groups.values())


def onto(states: Tensor, embeddings: Tensor) -> Tensor:
    """Embeddings in the place of others, which may be longer where a model pads by itself."""
    if states.shape[1] == embeddings.shape[1]:
        return embeddings
    return torch.cat([embeddings, states[:, embeddings.shape[1] :]], dim=1)


@contextmanager
def only_read(module: nn.Module | None, read: Int[Tensor, "rows"] | None) -> Iterator[None]:
    """From a module of the last layer on, only the place that the head reads is computed: one a row, or the first."""
    if module is None:
        yield
        return

    def cut(module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return tuple(map(at_read, args)), {name: at_read(value) for name, value in kwargs.items()}

    def at_read(state: Any) -> Any:
        if not isinstance(state, Tensor) or state.ndim < 3:
            return state
        return state[:, :1] if read is None else state[torch.arange(len(read), device=state.device), read][:, None]

    with module.register_forward_pre_hook(cut, with_kwargs=True):
        yield


def in_order(groups: Sequence[Sequence[int]], answer: Callable[[Sequence[int]], Sequence[T]]) -> list[T]:
    """The answers to groups of rows, put in the order of the rows that the groups number."""
    answers = {number: one for group in groups for number, one in zip(group, answer(group), strict=True)}
    return [answers[number] for number in range(len(answers))]


def outputs_below(rows: Sequence[Row]) -> Int[np.ndarray, "rows outputs"] | None:
    """The outputs that rows name, below each other; None where they name none."""
    if isinstance(rows, Rows):
        return rows.outputs()
    return None if rows[0].outputs is None else np.array([row.outputs for row in rows])


def candidates_below(rows: Sequence[Row]) -> Int[np.ndarray, "rows candidates"] | None:
    """The candidates of rows below each other; None where they have none."""
    if isinstance(rows, Rows):
        return rows.candidates()
    return None if rows[0].candidates is None else np.array([row.candidates for row in rows])


def chosen_outputs(logits: Float[Tensor, "rows classes"], rows: Sequence[Row]) -> Float[Tensor, "rows outputs"]:
    """Of each row the outputs that it names, if the rows name any: what leaves the device is no more."""
    outputs = outputs_below(rows)
    return logits if outputs is None else logits.gather(1, onto_device(outputs, logits.device))


def signs(points: Sequence[Point], outputs: int) -> Float[Tensor, "points outputs"]:
    """1 at the target, −1 at the output against."""
    chosen = torch.zeros(len(points), outputs)
    for row, point in zip(chosen, points, strict=True):
        row[point.target.output] += 1
        if point.target.against is not None:
            row[point.target.against] -= 1
    return chosen


def to_numpy(tensor: Tensor) -> np.ndarray:
    """On the CPU, in float32 at least."""
    tensor = tensor.detach()
    return (tensor if tensor.dtype == torch.float64 else tensor.float()).cpu().numpy()


def onto_device(array: np.ndarray, device: torch.device) -> Tensor:
    """There; a GPU goes on with what it is doing meanwhile."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def fetched(tensor: Tensor) -> Callable[[], np.ndarray]:
    """What waits for a tensor and gives it as `to_numpy` does."""
    if tensor.device.type != "cuda":
        found = to_numpy(tensor)
        return lambda: found
    tensor = tensor.detach()
    own = (tensor if tensor.dtype == torch.float64 else tensor.float()).to("cpu", non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record()

    def wait() -> np.ndarray:
        with memory_errors():
            done.synchronize()
        return own.numpy()

    return wait


@contextmanager
def memory_errors() -> Iterator[None]:
    """Torch's ways to say that memory is full, as Python's."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        if any(words in str(error) for words in ("not enough memory", "can't allocate memory", "out of memory")):
            raise MemoryError(str(error)) from error
        raise
