"""Ends a command that is told to stop: what is finished is written first, and soon, whatever is being computed."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

PATIENCE = 1.2  # seconds that a computation has to come to an end by itself
SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_writers: list[Callable[[], object]] = []


@dataclass
class Stop:
    """Which signal has told the process to stop; 0: none."""

    number: int = 0


@contextmanager
def written_first(write: Callable[[], object]) -> Iterator[None]:
    """While it lasts, this is called before the process ends by a signal; perhaps from another thread."""
    _writers.append(write)
    try:
        yield
    finally:
        _writers.remove(write)


@contextmanager
def stoppable(stop: Stop, say: Callable[[str], object]) -> Iterator[None]:
    """Within it a signal raises KeyboardInterrupt in the main thread.

    Where that cannot happen, since a library computes for long without coming back to Python, another thread writes
    what is finished and ends the process with status 128 + the signal's number; so it does when told a second time.

    Args:
        stop: is told the signal.
        say: is given the sentence that tells how to go on, if that thread ends the process.
    """
    if threading.current_thread() is not threading.main_thread():  # where there are no signals
        yield
        return

    def told(number: int, frame: FrameType | None) -> None:
        stop.number = stop.number or number
        raise KeyboardInterrupt

    there, here = os.pipe()
    os.set_blocking(here, False)
    before = {number: signal.signal(number, told) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(here, warn_on_full_buffer=False)
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(there, ended, say), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(here)  # wakes the watcher
        watcher.join(timeout=1)
        os.close(there)


def sentence(number: int) -> str:
    """What a person is told when a command ends by a signal."""
    return f"stopped by {SIGNALS[signal.Signals(number)]}; the same command again goes on from what is finished."


def _watch(there: int, ended: threading.Event, say: Callable[[str], object]) -> None:
    """Waits for a signal, and ends the process if nobody else does."""
    while told := os.read(there, 1):
        if told[0] not in list(SIGNALS):
            continue
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not ended.is_set():
            if select.select([there], [], [], 0.05)[0]:
                again = os.read(there, 1)
                if not again or again[0] in list(SIGNALS):  # ended, or told again
                    break
        if ended.is_set():
            return
        try:
            for write in tuple(_writers):
                with suppress(Exception):
                    write()
            say(sentence(told[0]))
        finally:
            os._exit(128 + told[0])
