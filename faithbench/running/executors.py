"""Who does the work of a run: this process, workers on this machine, or a cluster."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pkgutil import resolve_name
from typing import Protocol

from faithbench.errors import UserError
from faithbench.records.store import Store
from faithbench.running.measuring import given_up, score_piece
from faithbench.running.options import CLUSTERS, check_workers
from faithbench.running.pieces import DEATHS, Deal, Job, Piece, Scored, Summary, summaries
from faithbench.running.remaining import Cell
from faithbench.training.prepare import Prepared
from faithbench.training.setup import Setup

TELL_SECONDS = 0.2  # after which it is told what has ended
PROCESSES = "faithbench.running.workers:Processes"


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
        """Does all at once, so that batches are full; what ends is with the store at once, and told soon."""
        waiting, since = list[Scored](), time.monotonic()
        for scored in score_piece(job, model.classifier, deal.everything()):
            store.add(scored.attributions, scored.records)
            waiting.append(scored)
            if time.monotonic() - since > TELL_SECONDS:
                yield from summaries(waiting)
                waiting, since = [], time.monotonic()
        yield from summaries(waiting)

    def told(self, deal: Deal) -> str:
        """Nothing to be told."""
        return ""


def given_back(
    job: Job, deal: Deal, piece: Piece, finished: Collection[tuple[str, Cell]], how: str, blamed: bool, store: Store
) -> Iterator[Summary]:
    """What a lost worker had not finished is dealt again, or given up: its cells fail.

    Args:
        job: of the piece.
        deal: that the piece is of.
        piece: the worker's.
        finished: cells of texts of it, by the texts' ids, that are in the store.
        how: the worker was lost.
        blamed: whether it had begun the piece.
        store: of the run.
    """
    for work in deal.again(piece, finished, blamed):
        error = f"{DEATHS} workers were lost at it (the last one {how}), perhaps for lack of memory"
        scored = given_up(job, work, error)
        store.add(scored.attributions, scored.records)
        yield from summaries([scored])


def executor_of(
    workers: object, gpus_per_worker: object, device: str, say: Callable[[str], object]
) -> "AbstractContextManager[Executor]":
    """Who does the work.

    Args:
        workers: how many processes, 1 for this one, or the name of a cluster.
        gpus_per_worker: of a cluster; None for one where `device` is a GPU.
        device: of a worker.
        say: is given lines for people.

    Raises:
        UserError: there is none such here.
    """
    chosen = check_workers(workers, gpus_per_worker)
    if chosen == 1:
        return Here()
    if chosen not in CLUSTERS:
        return resolve_name(PROCESSES)(chosen, device, say)
    try:
        made = resolve_name(CLUSTERS[str(chosen)])
    except ImportError as error:
        raise UserError(
            f"workers={chosen!r} needs the package {chosen}: pip install 'faithbench[{chosen}]'."
        ) from error
    return made(gpus_per_worker, device, say)
