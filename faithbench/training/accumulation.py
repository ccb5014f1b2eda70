"""Gradient accumulation: a batch is read in parts, whose gradients add up to its own; more where memory is short."""

import math
from collections.abc import Callable
from typing import TypeVar

import torch

from faithbench.errors import UserError
from faithbench.models.batches import memory_errors

Result = TypeVar("Result")


class Accumulation:
    """In how many parts a batch is read.

    Args:
        batch_size: texts of a batch.
        steps: parts, at first.
        say: is told of more parts.
    """

    def __init__(self, batch_size: int, steps: int, say: Callable[[str], None]) -> None:
        self.batch_size, self.steps, self.say = batch_size, steps, say

    @property
    def size(self) -> int:
        """Texts of a part, at most."""
        return math.ceil(self.batch_size / self.steps)

    def run(self, step: Callable[[int], Result], forget: Callable[[], None]) -> Result:
        """What a step gives that reads so many texts at once, tried with half as many where memory does not suffice.

        Args:
            step: called with the texts of a part.
            forget: removes what a step that failed has left.

        Raises:
            UserError: it does not suffice for a single text.
        """
        while True:
            try:
                with memory_errors():
                    return step(self.size)
            except MemoryError as error:
                self._halve(error)
            forget()  # behind the `except`, whose error holds what the step had computed
            torch.cuda.empty_cache()

    def _halve(self, error: MemoryError) -> None:
        size = self.size
        if size == 1:
            raise UserError(
                "memory does not suffice to train on a single text; use a smaller max_length or a smaller model."
            ) from error
        self.steps = min(2 * self.steps, self.batch_size)
        self.say(
            f"Memory does not suffice to train on {size} texts at once; batches of {self.batch_size} are now read "
            f"{self.size} at a time (gradient_accumulation_steps={self.steps})."
        )
