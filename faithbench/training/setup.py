"""How a model is made real: where, in which precision, and whether it may be trained first."""

from dataclasses import dataclass, field

import torch
from rich.console import Console

from faithbench.console import say
from faithbench.errors import UserError
from faithbench.plan import Training


@dataclass(frozen=True)
class Setup:
    """How to make a model real: where, in which precision (or `loading.OWN`), and whether it may be trained first.

    The precision is one that is decided (`faithbench.running.drift.resolve`), never `auto`.
    """

    device: str = "cpu"
    dtype: str = "float32"
    training: Training = field(default_factory=Training)
    train: bool = True
    console: Console | None = None  # None: silence

    def say(self, text: str) -> None:
        """A plain line, if anybody listens."""
        say(self.console, text)


def best_device(wanted: str | None) -> str:
    """`wanted` if it is there, or the best there is.

    Raises:
        UserError: it is not there.
    """
    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = wanted.partition(":")
    if kind not in ("cpu", "cuda", "mps") or not (number or "0").isdecimal():
        raise UserError(f"device {wanted!r} is not known; use cpu, cuda or mps.")
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(number or 0) >= there:
        raise UserError(f"device {wanted!r} was asked for, but this machine has none; use cpu.")
    return wanted
