"""A worker: a process that a run has started, which does pieces of work and writes what comes of them.

It reads messages from its standard input, the first of them a `Task`, and answers on its standard output. Where the
input ends, because the run has ended in whatever way, be it killed, it writes what is finished and ends too.
"""

import os
import pickle
import queue
import signal
import struct
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from faithbench.console import prepare_streams
from faithbench.errors import ModelChangedError, UserError, describe, words_of
from faithbench.interfaces import Classifier
from faithbench.records.store import Store
from faithbench.running.measuring import score_piece
from faithbench.running.pieces import Job, Piece, Scored, Summary, summaries
from faithbench.training.allocator import keep_freed_memory
from faithbench.training.origins import Origin, load_same

WRITE_SECONDS = 3.0  # after which what is finished is written, and told to the parent
LENGTH = struct.Struct("!Q")  # of a message


@dataclass(frozen=True)
class Task:
    """A job as a worker needs it: with the model that it is to load, and the folder to write to."""

    number: int
    job: Job
    origin: Origin
    device: str
    dtype: str
    label: str
    folder: Path


@dataclass(frozen=True)
class Ready:
    """The worker has started."""

    seconds: float


@dataclass(frozen=True)
class Begun:
    """A piece's work begins: the model is loaded."""

    piece: int


@dataclass(frozen=True)
class Written:
    """What has been written of a piece."""

    piece: int
    summaries: tuple[Summary, ...]


@dataclass(frozen=True)
class Ended:
    """All of a piece is written; seconds that it took, and of the processor."""

    piece: int
    seconds: float
    processor: float


@dataclass(frozen=True)
class Failed:
    """The worker cannot go on."""

    error: BaseException


def send(stream: BinaryIO, message: bytes) -> None:
    """Writes a message that has been pickled."""
    stream.write(LENGTH.pack(len(message)) + message)
    stream.flush()


def receive(stream: BinaryIO) -> object:
    """The next message; None where there is none any more."""
    head = stream.read(LENGTH.size)
    body = stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""
    if not body or len(body) < LENGTH.unpack(head)[0]:  # ended, perhaps in the midst of it
        return None
    return pickle.loads(body)  # noqa: S301  # of our own process


class Worker:
    """Does pieces of one job after the other.

    Args:
        answers: where messages go to.
    """

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._task: Task | None = None
        self._models: dict[int, Classifier] = {}
        self._store: Store | None = None

    def take(self, message: object) -> None:
        """Does what a message says."""
        if isinstance(message, Task):
            self._task, self._models = message, {}
            self._store = Store(message.folder)
        elif isinstance(message, Piece):
            self._do(message)

    def write(self) -> None:
        """Writes what is finished. Any thread may call it."""
        if self._store is not None:
            self._store.flush()

    def tell(self, message: object) -> None:
        """Says something to the run."""
        send(self._answers, pickle.dumps(message))

    def _do(self, piece: Piece) -> None:
        assert self._task is not None
        assert self._store is not None
        task, store, waiting = self._task, self._store, list[Scored]()
        classifier = self._model(task)
        self.tell(Begun(piece.number))
        start, processor, written = time.monotonic(), time.process_time(), time.monotonic()
        for scored in score_piece(task.job, classifier, piece.unpacked(task.job)):
            store.add(scored.attributions, scored.records)
            waiting.append(scored)
            if time.monotonic() - written > WRITE_SECONDS:
                self._written(piece, waiting)
                written = time.monotonic()
        self._written(piece, waiting)
        self.tell(Ended(piece.number, time.monotonic() - start, time.process_time() - processor))

    def _written(self, piece: Piece, waiting: list[Scored]) -> None:
        """Only what is on the disk is said to be finished."""
        self.write()
        self.tell(Written(piece.number, tuple(summaries(waiting))))
        waiting.clear()

    def _model(self, task: Task) -> Classifier:
        if task.number not in self._models:
            self._models[task.number] = loaded(task)
        return self._models[task.number]


def loaded(task: Task) -> Classifier:
    """The model of a job.

    Raises:
        UserError: it cannot be had here, or it is another.
    """
    return load_same(task.origin, task.device, task.dtype, task.job.identity["model_fingerprint"], task.label)


def told(error: BaseException) -> BaseException:
    """An error as it is sent: one of ours, or what another says."""
    if isinstance(error, KeyboardInterrupt):  # raised by a component, it ends a run
        return KeyboardInterrupt()
    for kind in (ModelChangedError, UserError):  # not a plugin's own, which may be made of other arguments
        if isinstance(error, kind):
            return kind(words_of(error))
    return RuntimeError(f"a worker process fails ({describe(error)})")


def main() -> None:
    """A worker's whole life; started by `workers.Processes`."""
    begun = time.monotonic()
    prepare_streams()
    keep_freed_memory()
    messages, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what components print disturbs nobody
    worker, todo = Worker(answers), queue.Queue[object]()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, which tells the run too
    signal.signal(signal.SIGTERM, partial(_stop, worker))
    threading.Thread(target=_listen, args=(messages, todo, worker), daemon=True).start()
    try:
        worker.tell(Ready(time.monotonic() - begun))
        while True:
            worker.take(todo.get())
    except BrokenPipeError:  # the run is gone
        _end(worker, 0)
    except BaseException as error:
        sys.excepthook(*sys.exc_info()) if not isinstance(error, UserError) else None
        worker.tell(Failed(told(error)))
        _end(worker, 1)


def _listen(messages: BinaryIO, todo: "queue.Queue[object]", worker: Worker) -> None:
    """Takes in messages, so that nobody waits to send one, until there is nobody to send them."""
    status = 0
    try:
        while (message := receive(messages)) is not None:
            todo.put(message)
    except BaseException as error:  # a component that cannot be had here
        status = 1
        worker.tell(Failed(UserError(f"a worker process cannot be told what to do ({describe(error)}).")))
    _end(worker, status)


def _stop(worker: Worker, number: int, frame: FrameType | None) -> None:
    _end(worker, 128 + number)


def _end(worker: Worker, status: int) -> None:
    """Writes what is finished, and ends the process, whatever is being computed."""
    try:
        worker.write()
    finally:
        os._exit(status)
