"""Worker processes on this machine: started while the run prepares, given pieces of work, replaced where they are lost.

They are started anew (`worker.py`), not forked, since torch's threads do not survive a fork, and not by
`multiprocessing`, which would run a user's script once more in each. A worker that is lost, be it for lack of memory or
by `kill -9`, is replaced and what it had not finished is dealt again; see `pieces.Deal.again`.
"""

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import torch

from faithbench.errors import UserError, describe
from faithbench.records.store import Store
from faithbench.running.executors import given_back
from faithbench.running.pieces import Deal, Job, Piece, Summary
from faithbench.running.remaining import Cell
from faithbench.running.worker import Begun, Ended, Failed, Ready, Task, Written, receive, send
from faithbench.training.origins import Origin
from faithbench.training.prepare import Prepared
from faithbench.training.setup import Setup

START = (
    "import json, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "  # of a terminal: it may be loading
    "sys.path[:] = json.loads(sys.argv[1]); from faithbench.running.worker import main; main()"
)
THREADS = "OMP_NUM_THREADS"
PATIENCE = 0.9  # seconds that workers have to write what is finished; less than the run itself has
STARTS = 3  # workers in a row that may be lost before they begin


@dataclass(eq=False)
class _Process:
    """A worker process: what it was given, and what it has finished of that."""

    index: int
    process: "subprocess.Popen[bytes]"
    ready: bool = False
    job: int = 0
    piece: Piece | None = None
    begun: bool = False
    finished: set[tuple[str, Cell]] = field(default_factory=set)

    def send(self, message: bytes) -> None:
        """Sends a message; one that has just been lost is found out by its end."""
        assert self.process.stdin is not None
        try:
            send(self.process.stdin, message)  # type: ignore[arg-type]
        except BrokenPipeError:
            return


class Processes:
    """Worker processes, within `with`.

    Args:
        workers: how many.
        device: of each; `cuda` shares out the GPUs there are.
        say: is given lines for people.
    """

    def __init__(self, workers: int, device: str, say: Callable[[str], object]) -> None:
        self.workers, self.device, self.say = workers, device, say
        self._processes: list[_Process] = []
        self._told: queue.Queue[tuple[_Process, object]] = queue.Queue()
        self._jobs = self._lost_at_start = 0
        self._busy = self._processor = self._seconds = 0.0
        self._starts: list[float] = []

    def __enter__(self) -> "Processes":
        try:
            for index in range(self.workers):
                self._processes.append(self._start(index))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the workers, which write what is finished first."""
        for worker in self._processes:
            _close(worker.process.stdin)
        deadline = time.monotonic() + PATIENCE
        for worker in self._processes:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._processes = []

    def score(self, job: Job, model: Prepared, setup: Setup, deal: Deal, store: Store) -> Iterator[Summary]:
        """Deals out what is left of a job, until all of it is in the store, where the workers write it.

        Raises:
            UserError: a worker cannot do it, or workers are lost again and again while they start.
        """
        self._jobs += 1
        self._busy = self._processor = 0.0
        begun = time.monotonic()
        tasks = self._tasks(job, sent_origin(model), setup, model.label, store)
        while True:
            for worker in self._processes:
                if worker.ready and worker.piece is None and (piece := deal.next()):
                    self._give(worker, tasks, piece)
            if not deal and all(worker.piece is None for worker in self._processes):
                break
            yield from self._hear(*self._told.get(), job, deal, store)
        self._seconds = time.monotonic() - begun

    def told(self, deal: Deal) -> str:
        """By how many, in how many pieces, and how much of their time they worked."""
        busy = self._busy / max(1e-9, self.workers * self._seconds)
        return (
            f", in {deal.pieces:,} pieces by {self.workers} workers, each busy {100 * busy:.0f} % of "
            f"{self._seconds:,.1f} s with {self._processor:,.1f} s of processor time in all"
        )

    def _tasks(self, job: Job, origin: Origin, setup: Setup, label: str, store: Store) -> list[bytes]:
        """The job as it is sent to each worker."""
        devices, folder = devices_of(self.device, self.workers), store.folder.absolute()
        made = {
            device: sendable(Task(self._jobs, job, origin, device, setup.dtype, label, folder))
            for device in dict.fromkeys(devices)
        }
        return [made[device] for device in devices]

    def _give(self, worker: _Process, tasks: list[bytes], piece: Piece) -> None:
        if worker.job != self._jobs:
            worker.job = self._jobs
            worker.send(tasks[worker.index])
        worker.piece, worker.begun, worker.finished = piece, False, set()
        worker.send(pickle.dumps(piece.packed()))

    def _hear(self, worker: _Process, message: object, job: Job, deal: Deal, store: Store) -> Iterator[Summary]:
        """What a worker says, or (None) that it is lost."""
        if isinstance(message, Ready):
            worker.ready = True
            self._starts.append(message.seconds)
        elif isinstance(message, Begun):
            worker.begun, self._lost_at_start = True, 0
        elif isinstance(message, Written):
            for summary in message.summaries:
                worker.finished.update((summary.text_id, cell) for cell in summary.cells)
                deal.done(summary)
                yield summary
        elif isinstance(message, Ended):
            worker.piece = None
            self._busy, self._processor = self._busy + message.seconds, self._processor + message.processor
        elif isinstance(message, Failed):
            raise message.error
        elif worker in self._processes:
            yield from self._lost(worker, job, deal, store)

    def _lost(self, worker: _Process, job: Job, deal: Deal, store: Store) -> Iterator[Summary]:
        """Takes back what a worker had, and starts another in its place."""
        how = ended(worker.process.wait())
        _close(worker.process.stdin)
        if not worker.begun:
            self._lost_at_start += 1
            if self._lost_at_start >= STARTS * self.workers:
                raise UserError(
                    f"worker processes are lost before they begin ({how}), perhaps for lack of memory: try fewer."
                )
        self.say(f"A worker process was lost ({how}); what it had not finished is dealt again.")
        self._processes[self._processes.index(worker)] = self._start(worker.index)
        if worker.piece is not None:
            yield from given_back(job, deal, worker.piece, worker.finished, how, worker.begun, store)

    def _start(self, index: int) -> _Process:
        words = [sys.executable, "-c", START, json.dumps(sys.path)]
        told = os.environ | {THREADS: str(threads(self.workers))}
        try:
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=told)  # noqa: S603  # ourselves
        except OSError as error:
            raise UserError(
                f"worker process {index + 1} of {self.workers} cannot be started ({error.strerror}); try fewer workers."
            ) from error
        worker = _Process(index, process)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: _Process) -> None:
        """Takes in what a worker says, until it ends."""
        assert worker.process.stdout is not None
        with worker.process.stdout as answers:
            message: object = self
            while message is not None:
                message = receive(answers)  # type: ignore[arg-type]
                self._told.put((worker, message))


def threads(workers: int) -> int:
    """Of each worker: what the machine has, shared out, unless `$OMP_NUM_THREADS` says how many."""
    wanted = os.environ.get(THREADS, "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else max(1, cores() // workers)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def devices_of(device: str, workers: int) -> list[str]:
    """The device of each worker: `cuda` stands for all GPUs in turn, anything else for itself."""
    count = torch.cuda.device_count() if device == "cuda" else 0
    return [f"cuda:{index % count}" if count else device for index in range(workers)]


def sent_origin(model: Prepared) -> Origin:
    """Where workers find a model.

    Raises:
        UserError: it is in this process alone.
    """
    if model.origin is None:
        raise UserError(f"model {model.label} is in the memory of this process alone; leave out workers, or save it.")
    return model.origin


def sendable(task: Any) -> bytes:
    """A job, pickled.

    Raises:
        UserError: one of its components cannot be sent.
    """
    try:
        return pickle.dumps(task)
    except Exception as error:
        cause = describe(error)
    for kind, components in (("explainer", task.job.explainers), ("metric", task.job.metrics)):
        for component in components.values():
            try:
                pickle.dumps(component)
            except Exception as error:
                raise UserError(
                    f"{kind} {component.label!r} cannot be sent to workers ({describe(error)}); leave out workers."
                ) from error
    raise UserError(f"model {task.label} cannot be sent to workers ({cause}); leave out workers.")


def ended(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"it ended with status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        try:
            stream.close()
        except OSError:  # what was to be sent cannot be any more
            return
