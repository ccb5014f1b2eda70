"""Pieces of work on a Ray cluster (https://docs.ray.io): the one that is there, or else one of this machine alone.

Each worker is an actor, which keeps a GPU and its model for as long as it lives; tasks would share them out anew each
time. Texts go to it with each piece and what all pieces share lies in the object store; what comes of them comes back
and is written here, so that a node needs nothing of the run's folder, only the model: a hub id, or a checkpoint at the
same path. An actor that is lost is replaced, as far as there is room, and what it had not finished is dealt again.
"""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from faithbench.errors import UserError, describe
from faithbench.interfaces import Classifier
from faithbench.records.store import Store
from faithbench.running.executors import given_back
from faithbench.running.measuring import score_piece
from faithbench.running.pieces import Deal, Job, Piece, Scored, Summary, summaries
from faithbench.running.remaining import Cell
from faithbench.running.worker import WRITE_SECONDS, Failed, Task, loaded, told
from faithbench.running.workers import STARTS, cores, sendable, sent_origin
from faithbench.training.prepare import Prepared
from faithbench.training.setup import Setup

ADDRESS = "RAY_ADDRESS"  # variable that names a cluster, of Ray's own
LOOK_SECONDS = 5.0  # after which it is looked for nodes that have come
ASK_SECONDS = 0.2  # before one that does not answer is asked again
WAIT_SECONDS = 60.0  # after which it is said that no worker is ready, or workers that are only lost are given up
Batch = tuple[list[Scored], float, float]  # with seconds since the last, and of the processor


class Actor:
    """What runs on a node: does pieces with a model that it loads once."""

    def __init__(self) -> None:
        self._number, self._models = 0, list[Classifier]()

    def node(self) -> str:
        """Where it runs; answered once it has started."""
        return str(ray.get_runtime_context().get_node_id())

    def score(self, task: Task, piece: Piece) -> Iterator[Batch | Failed]:
        """What comes of a piece, some of it every few seconds."""
        try:
            yield from self._score(task, piece)
        except (Exception, KeyboardInterrupt) as error:
            yield Failed(told(error))

    def _score(self, task: Task, piece: Piece) -> Iterator[Batch]:
        if self._number != task.number:
            self._models = []  # before the next, for memory
            self._models, self._number = [loaded(task)], task.number
        yield [], 0.0, 0.0  # it has begun
        waiting, since, processor = list[Scored](), time.monotonic(), time.process_time()
        for scored in score_piece(task.job, self._models[0], piece.unpacked(task.job)):
            waiting.append(scored)
            if time.monotonic() - since > WRITE_SECONDS:
                yield waiting, time.monotonic() - since, time.process_time() - processor
                waiting, since, processor = [], time.monotonic(), time.process_time()
        yield waiting, time.monotonic() - since, time.process_time() - processor


@dataclass(eq=False)
class _Worker:
    """An actor; what it was given, and what has come of it.

    What is waited for is the rest of its piece, or else its node: of one that has just started, or does not answer.
    """

    actor: Any
    waiting: Any
    node: str = ""
    piece: Piece | None = None
    begun: bool = False
    silent: bool = False
    finished: set[tuple[str, Cell]] = field(default_factory=set)


class OnRay:
    """A Ray cluster, within `with`.

    Args:
        gpus: of each worker; None for one if `device` is a GPU, otherwise none.
        device: of each worker.
        say: is given lines for people.
    """

    def __init__(self, gpus: float | None, device: str, say: Callable[[str], object]) -> None:
        self.gpus = float(device.startswith("cuda")) if gpus is None else gpus
        self.device = "cuda" if self.gpus else device
        self.say = say
        self._workers: list[_Worker] = []
        self._own = self._local = False
        self._jobs = self._lost_at_start = 0
        self._lost_since = math.inf
        self._busy = self._processor = self._seconds = 0.0

    @property
    def workers(self) -> int:
        """As many as there is room for."""
        return max(1, room(ray.nodes(), self.gpus))

    def __enter__(self) -> "OnRay":
        if not ray.is_initialized():
            self._local, self._own = _connect(), True
        if self._local and not room(ray.nodes(), self.gpus):
            self.__exit__()
            raise UserError(
                f"gpus_per_worker={self.gpus:g} is more than this machine has; use a cluster that has them."
            )
        self.say(which(self._local, ray.get_runtime_context().gcs_address, ray.nodes(), self.gpus))
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []
        if self._own:
            ray.shutdown()

    def score(self, job: Job, model: Prepared, setup: Setup, deal: Deal, store: Store) -> Iterator[Summary]:
        """Deals out what is left of a job, and takes in what comes of it.

        Raises:
            UserError: a worker cannot do it.
        """
        self._jobs += 1
        self._busy = self._processor = 0.0
        begun = self._looked = heard = time.monotonic()
        task = Task(self._jobs, job, sent_origin(model), self.device, setup.dtype, model.label, Path())
        sendable(task)
        shared = ray.put(task)
        self._recruit()
        while True:
            for worker in self._workers:
                if worker.node and worker.piece is None and (piece := deal.next()):
                    worker.piece, worker.begun, worker.finished = piece, False, set()
                    worker.waiting = worker.actor.score.options(num_returns="streaming").remote(shared, piece.packed())
            if not deal and all(worker.piece is None for worker in self._workers):
                break
            for worker in self._heard():
                heard = time.monotonic()
                yield from self._hear(worker, job, deal, store)
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self._recruit()
                deal.workers = self.workers
            if not any(w.node for w in self._workers) and time.monotonic() - heard > WAIT_SECONDS:
                heard = time.monotonic()
                self.say(f"No worker is ready; the cluster needs room for one, with 1 CPU and {self.gpus:g} GPUs.")
        self._seconds = time.monotonic() - begun

    def told(self, deal: Deal) -> str:
        """By how many, in how many pieces, and how much of their time they worked."""
        count = len(self._workers)
        busy = self._busy / max(1e-9, count * self._seconds)
        return (
            f", in {deal.pieces:,} pieces by {count} workers on Ray, each busy {100 * busy:.0f} % of "
            f"{self._seconds:,.1f} s with {self._processor:,.1f} s of processor time in all"
        )

    def _recruit(self) -> None:
        """As many actors as there is room for."""
        self._looked = time.monotonic()
        for _ in range(len(self._workers), self.workers):
            made: Any = ray.remote(num_cpus=1, num_gpus=self.gpus, max_restarts=0, max_task_retries=0)(Actor)
            actor = made.remote()
            self._workers.append(_Worker(actor, actor.node.remote()))

    def _heard(self) -> list[_Worker]:
        """All workers of which something has come, after a while at the latest."""
        waiting = [worker.waiting for worker in self._workers if worker.waiting is not None]
        ready, _ = ray.wait(waiting, timeout=LOOK_SECONDS) if waiting else ([], [])  # one of them
        ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0) if ready else ([], [])
        return [worker for worker in self._workers if any(worker.waiting is one for one in ready)]

    def _hear(self, worker: _Worker, job: Job, deal: Deal, store: Store) -> Iterator[Summary]:
        """What has come of a worker: that it has started, some of its piece, the end of it, or that it is lost."""
        try:
            if worker.piece is None or worker.silent:
                worker.node = ray.get(worker.waiting)
                yield from self._there(worker, job, deal, store)
                return
            came: Batch | Failed = ray.get(next(worker.waiting))
        except StopIteration:
            worker.piece = worker.waiting = None
            return
        except ActorUnavailableError:
            time.sleep(ASK_SECONDS)  # the network, or its end: whichever, what it is asked next will tell
            worker.silent, worker.waiting = True, worker.actor.node.remote()
            return
        except RayTaskError as error:
            raise UserError(f"a worker on Ray fails ({describe(error.cause or error)}).") from error
        except RayError as error:
            yield from self._lost(worker, error, job, deal, store)
            return
        if isinstance(came, Failed):
            raise came.error
        batch, seconds, processor = came
        self._lost_at_start, self._lost_since = 0, math.inf
        worker.begun, self._busy, self._processor = True, self._busy + seconds, self._processor + processor
        for scored in batch:
            store.add(scored.attributions, scored.records)
        for summary in summaries(batch):
            worker.finished.update((summary.text_id, cell) for cell in summary.cells)
            deal.done(summary)
            yield summary

    def _there(self, worker: _Worker, job: Job, deal: Deal, store: Store) -> Iterator[Summary]:
        """A worker has said where it is: it has started, or was out of reach and may have lost its piece."""
        if worker.piece is not None:
            yield from given_back(job, deal, worker.piece, worker.finished, "out of reach", False, store)
        worker.piece, worker.waiting, worker.silent = None, None, False

    def _lost(self, worker: _Worker, error: RayError, job: Job, deal: Deal, store: Store) -> Iterator[Summary]:
        """Takes back what a worker had; a piece is not to blame for the loss of a whole node."""
        self._workers.remove(worker)
        alive = any(node["Alive"] and node["NodeID"] == worker.node for node in ray.nodes())
        how = "its process ended" if alive else "its node was lost" if worker.node else "it never started"
        if worker.node:
            self.say(f"A worker on Ray was lost ({how}); what it had not finished is dealt again.")
        if worker.piece is not None:
            yield from given_back(job, deal, worker.piece, worker.finished, how, worker.begun and alive, store)
        if not worker.begun:
            self._wait_after_loss(how)
        self._recruit()

    def _wait_after_loss(self, how: str) -> None:
        """A while, for a worker that was lost before it began; nodes that are going away are known for it only later.

        Raises:
            UserError: nothing else has come of workers for long.
        """
        self._lost_at_start, self._lost_since = self._lost_at_start + 1, min(self._lost_since, time.monotonic())
        if self._lost_at_start >= STARTS and time.monotonic() - self._lost_since > WAIT_SECONDS:
            raise UserError(
                f"workers on Ray are lost before they begin ({how}): see with 'ray status' whether the cluster is up "
                "and has memory for the model; the same command again goes on from what is finished."
            )
        time.sleep(ASK_SECONDS)


def room(nodes: list[dict[str, Any]], gpus: float) -> int:
    """For how many workers there is room on the nodes of a cluster: each takes one core, and so many GPUs."""
    count = 0
    for resources in (node["Resources"] for node in nodes if node["Alive"]):
        fit = int(resources.get("CPU", 0))
        count += min(fit, int(resources.get("GPU", 0) / gpus + 1e-9)) if gpus else fit
    return count


def which(local: bool, address: str, nodes: list[dict[str, Any]], gpus: float) -> str:
    """On which cluster a run works, for people: any that is found on a machine is joined.

    Args:
        local: whether it was begun here, for this run alone.
        address: of its head, as `ray status --address` takes it.
        nodes: of it.
        gpus: of a worker.
    """
    alive = sum(bool(node["Alive"]) for node in nodes)
    size = f"{alive} node{'s' * (alive != 1)}, room for {(count := room(nodes, gpus))} worker{'s' * (count != 1)}"
    if local:
        return f"No Ray cluster was found; one was started on this machine for this run ({size})."
    return f"Working on the Ray cluster that is there, {address} ({size}); {ADDRESS} would name another."


def _connect() -> bool:
    """Connects to the cluster that is there, or begins one on this machine; whether it did that.

    Raises:
        UserError: the cluster that is named cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError as error:
        if named := os.environ.get(ADDRESS):
            raise UserError(f"the Ray cluster {ADDRESS}={named!r} cannot be reached ({describe(error)}).") from error
        ray.init(num_cpus=cores(), include_dashboard=False, **quiet)
        return True
    except RuntimeError as error:  # of other versions, say
        raise UserError(f"the Ray cluster cannot be used ({describe(error)}).") from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, handler)  # Ray puts its own in the place
    return False
