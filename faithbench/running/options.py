"""How a run is carried out, checked at once: before models and data are looked for, which takes seconds."""

import math

from faithbench.errors import UserError, short

CLUSTERS = {"ray": "faithbench.running.on_ray:OnRay"}  # a new one is a file and a line; its package is an extra
MOST = 4096  # processes
CLAUSE_SECONDS = 120.0  # of `faithbench check`, for a clause of the contract, which on a tiny model takes one


def check_options(timeout: object = None, workers: object = None, gpus_per_worker: object = None) -> None:
    """Whether a run may be carried out so, as `faithbench.run` takes these.

    Args:
        timeout: seconds of an explainer or metric for one text and target; None for any time.
        workers: a number of processes, or the name of a cluster; None for this process alone.
        gpus_per_worker: of a cluster; None for one where the device is a GPU.

    Raises:
        UserError: not so.
    """
    if timeout is not None and not (type(timeout) in (int, float) and 0 < timeout < math.inf):  # type: ignore[operator]
        raise UserError(f"timeout={short(timeout)} is not allowed; it must be a number of seconds above 0.")
    check_workers(workers, gpus_per_worker)


def check_workers(workers: object, gpus_per_worker: object) -> int | str:
    """How many processes, or the name of a cluster.

    Raises:
        UserError: it is neither, or GPUs are not shared out so.
    """
    chosen = _count(1 if workers is None else workers)
    if gpus_per_worker is None:
        return chosen
    if chosen not in CLUSTERS:
        names = " and ".join(f"workers={name!r}" for name in CLUSTERS)
        raise UserError(f"gpus_per_worker is for {names}; processes of one machine take turns on the GPUs that it has.")
    number = float(gpus_per_worker) if type(gpus_per_worker) in (int, float) else math.nan  # type: ignore[arg-type]
    if not 0 < number < math.inf:
        raise UserError(f"gpus_per_worker={short(gpus_per_worker)} is not allowed; it must be a number above 0.")
    if number > 1 and not number.is_integer():
        raise UserError(f"gpus_per_worker={short(gpus_per_worker)} is not allowed; above 1 it must be whole.")
    return chosen


def _count(workers: object) -> int | str:
    """A number of processes as it may be written, or the name of a cluster."""
    if isinstance(workers, str) and workers in CLUSTERS:
        return workers
    if isinstance(workers, str) and workers.isascii() and workers.isdecimal() and len(workers) < 9:
        workers = int(workers)
    if type(workers) is not int or not 1 <= workers <= MOST:
        others = " or ".join(CLUSTERS)
        raise UserError(f"workers={short(workers)} is not allowed; give a whole number from 1 to {MOST}, or {others}.")
    return workers
