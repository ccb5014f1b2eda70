"""Who does the work of a run: this process, workers on this machine, or a cluster."""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pkgutil import resolve_name
from typing import Protocol

from faithbench.errors import UserError, short
from faithbench.records.store import Store
from faithbench.running.measuring import given_up, score_piece
from faithbench.running.pieces import DEATHS, Deal, Job, Piece, Summary
from faithbench.training.prepare import Prepared, Setup

RAY = "ray"
ELSEWHERE = {  # a new one is a file and a line here; each is called with what was asked for
    "processes": "faithbench.running.workers:Processes",
    RAY: "faithbench.running.on_ray:OnRay",
}
MOST = 4096  # processes


class Executor(Protocol):
    """Does the work of jobs, within `with`; a score's last summary comes when all of it is in the store.

    `workers` is how many pieces are worked at side by side.
    """

    @property
    def workers(self) -> int: ...

    def score(self, job: Job, model: Prepared, setup: Setup, deal: Deal, store: Store) -> Iterator[Summary]:
        """Does what is left of a job; what it gives is in the store, or will be with its next `flush`."""
        ...

    def told(self, deal: Deal) -> str:
        """How it was done, for the end of a sentence."""
        ...


class Here:
    """This process."""

    workers = 1

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def score(self, job: Job, model: Prepared, setup: Setup, deal: Deal, store: Store) -> Iterator[Summary]:
        """Does all at once, so that batches are full."""
        for scored in score_piece(job, model.classifier, deal.everything()):
            store.add(scored.attributions, scored.records)
            yield scored.summary

    def told(self, deal: Deal) -> str:
        """Nothing to be told."""
        return ""


def given_back(
    job: Job, deal: Deal, piece: Piece, finished: Collection[str], how: str, blamed: bool, store: Store
) -> Iterator[Summary]:
    """What a lost worker had not finished is dealt again, or given up: its cells fail.

    Args:
        job: of the piece.
        deal: that the piece is of.
        piece: the worker's.
        finished: ids of the texts of it that are in the store.
        how: the worker was lost.
        blamed: whether it had begun the piece.
        store: of the run.
    """
    for work in deal.again(piece, finished, blamed):
        error = f"{DEATHS} workers were lost at it (the last one {how}), perhaps for lack of memory"
        scored = given_up(job, work, error)
        store.add(scored.attributions, scored.records)
        yield scored.summary


def check_workers(workers: object, gpus_per_worker: object) -> int | str:
    """How many processes, or `ray`.

    Raises:
        UserError: it is neither, or GPUs are not shared out so.
    """
    chosen = _count(1 if workers is None else workers)
    if gpus_per_worker is not None:
        if chosen != RAY:
            raise UserError(
                "gpus_per_worker is for workers='ray'; processes of one machine take turns on the GPUs that it has."
            )
        allowed = isinstance(gpus_per_worker, (int, float)) and not isinstance(gpus_per_worker, bool)
        if not allowed or not 0 < float(gpus_per_worker) < math.inf:  # type: ignore[arg-type]
            raise UserError(f"gpus_per_worker={short(gpus_per_worker)} is not allowed; it must be a number above 0.")
        if float(gpus_per_worker) > 1 and not float(gpus_per_worker).is_integer():  # type: ignore[arg-type]
            raise UserError(f"gpus_per_worker={short(gpus_per_worker)} is not allowed; above 1 it must be whole.")
    return chosen


def _count(workers: object) -> int | str:
    """A number of processes as it may be written, or `ray`."""
    if isinstance(workers, str) and workers.strip().isascii() and workers.strip().isdecimal() and len(workers) < 9:
        workers = int(workers)
    if workers == RAY:
        return RAY
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= MOST:
        raise UserError(f"workers={short(workers)} is not allowed; give a whole number from 1 to {MOST}, or ray.")
    return workers


def executor_of(
    workers: object, gpus_per_worker: object, device: str, say: Callable[[str], object]
) -> "AbstractContextManager[Executor]":
    """Who does the work.

    Args:
        workers: how many processes, 1 for this one, or `ray`.
        gpus_per_worker: of a cluster; None for one where `device` is a GPU.
        device: of a worker.
        say: is given lines for people.

    Raises:
        UserError: there is none such here.
    """
    chosen = check_workers(workers, gpus_per_worker)
    if chosen == 1:
        return Here()
    if chosen != RAY:
        return resolve_name(ELSEWHERE["processes"])(chosen, device, say)
    try:
        made = resolve_name(ELSEWHERE[RAY])
    except ImportError as error:
        raise UserError("workers='ray' needs the package ray: pip install 'faithbench[ray]'.") from error
    return made(gpus_per_worker, device, say)
