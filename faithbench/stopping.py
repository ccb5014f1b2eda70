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
LONGEST = 380  # characters of a sentence
_writers: list[Callable[[], object]] = []
_kept: list[Callable[[], str]] = []  # what says what there is, of the command that is under way


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


def keeps(tell: Callable[[], str]) -> None:
    """From now on, whoever is told that the command has been stopped is told this too; perhaps by another thread.

    Args:
        tell: gives what is kept, in words, such as "1,240 results are kept in runs/x"; "" where nothing is.
    """
    _kept[:] = [tell]


@contextmanager
def stoppable(stop: Stop, say: Callable[[int], object]) -> Iterator[None]:
    """Within it a signal raises KeyboardInterrupt in the main thread.

    Where that cannot happen, since a library computes for long without coming back to Python, another thread writes
    what is finished and ends the process with status 128 + the signal's number; so it does when told a second time.

    Args:
        stop: is told the signal.
        say: is given the signal, to tell how to go on, if that thread ends the process.
    """
    if threading.current_thread() is not threading.main_thread():  # where there are no signals
        yield
        return
    _kept.clear()

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


def sentence(number: int, command: str = "") -> str:
    """What a person is told when a command ends by a signal.

    Args:
        number: of the signal.
        command: as it can be typed again; one that is too long for a sentence is not repeated.
    """
    how = f"stopped by {SIGNALS[signal.Signals(number)]}"
    kept = ""
    with suppress(Exception):  # of a folder that has just gone, say
        kept = _kept[0]() if _kept else ""
    if not kept:
        return f"{how}; the same command again goes on from what is finished."
    told = f"{how}; {kept}; the same command goes on"
    return f"{told}: {command}" if command and len(told) + len(command) < LONGEST else f"{told}."


def _watch(there: int, ended: threading.Event, say: Callable[[int], object]) -> None:
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
            say(told[0])
        finally:
            os._exit(128 + told[0])
