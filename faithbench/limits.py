"""What a component may do to the process that it runs in: how long it may take, and what is put back after it."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

MOST_SECONDS = 1e8  # that a timer can be set to


DEVICES = ("cpu", "cuda")
KERNELS = ("flash", "mem_efficient", "math")  # of attention
_guards: list[Any] = []  # of inference mode, each for a component that left it switched


class OverTimeError(Exception):
    """A component took longer than it may."""


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Within it a step may take so long, None for any time.

    It is interrupted in the main thread of systems that have timers (all but Windows), and between two steps of Python;
    elsewhere it is told when it has ended.

    Raises:
        OverTimeError: it took longer.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    running = True

    def interrupt(number: int, frame: FrameType | None) -> None:
        if running:
            raise OverTimeError(f"it took longer than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, min(max(seconds, 1e-3), MOST_SECONDS), 1.0)  # again, if it is swallowed
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class State(NamedTuple):
    """What a component may leave changed for others: a generator that waits within a context has not left it.

    Args:
        errors: numpy's treatment of floating-point errors.
        folder: the working folder; "" where it has been removed.
        gradients: torch's switch for gradients; None where torch has not been imported.
        precision: torch's default.
        modes: torch's other ones: mixed precision and its types, which kernels attention may use, contexts that change
            functions, such as a default device.
    """

    errors: Any
    folder: str
    gradients: bool | None
    precision: Any
    modes: tuple[Any, ...]


def state() -> State:
    """That of now."""
    torch: Any = sys.modules.get("torch")
    if not hasattr(torch, "set_autocast_enabled"):  # not there, or being imported
        return State(np.geterr(), _folder(), None, None, ())
    precisions = [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in DEVICES]
    modes = (*precisions, *[read() for read in _mode_readers(torch)])
    return State(np.geterr(), _folder(), torch.is_grad_enabled(), torch.get_default_dtype(), modes)


@cache
def _mode_readers(torch: Any) -> list[Callable[[], Any]]:
    """What tells torch's switches, looked up once: they are read after each step of each component."""
    kernels = [getattr(torch._C, f"_get_{name}_sdp_enabled") for name in KERNELS]
    return [*kernels, torch.is_inference_mode_enabled, torch._C._len_torch_function_stack]


def put_back(before: State) -> None:
    """Puts back what has changed since."""
    now = state()
    if now == before:
        return
    np.seterr(**before.errors)
    if before.folder and before.folder != now.folder:
        with suppress(OSError):  # it has been removed
            os.chdir(before.folder)
    torch: Any = sys.modules.get("torch")
    if before.gradients is not None:
        if now.modes and now.modes != before.modes:
            _put_back_modes(torch, now, before)
        torch.set_grad_enabled(before.gradients)
        torch.set_default_dtype(before.precision)


def _put_back_modes(torch: Any, now: State, before: State) -> None:
    *_, inference, functions = before.modes
    if torch.is_inference_mode_enabled() != inference:  # a guard ends what it began when it goes, so it stays
        _guards.append(torch._C._InferenceMode(inference))
        _guards[-1].__enter__()
    for kind, (enabled, precision) in zip(DEVICES, before.modes, strict=False):
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, precision)
    for name, enabled in zip(KERNELS, before.modes[len(DEVICES) :], strict=False):
        getattr(torch._C, f"_set_sdp_use_{name}")(enabled)
    for _ in range(now.modes[-1] - functions):
        torch._C._pop_torch_function_stack()


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return ""
