"""A window of text token by token: what a neuron does at each and, below, what descriptions of it predict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faithbench.showing.marked import Mark, strengths
from faithbench.showing.triangle import cut

LONGEST = 40  # characters of a token
ACTIVATION = "activation"

Numbers = Sequence[Sequence[float]]  # of each window, one a token


@dataclass(frozen=True)
class Stack:
    """A window.

    Args:
        head: what it is called.
        tokens: with the activations as scores.
        below: lines of signs: the activations, and what each describer predicts, one a token.
    """

    head: str
    tokens: tuple[Mark, ...]
    below: tuple[tuple[str, tuple[Mark, ...]], ...]

    @property
    def is_active(self) -> bool:
        """Whether there is any sign in it."""
        return any(mark.sign for _, marks in self.below for mark in marks)


def stacks(
    heads: Sequence[str], tokens: Sequence[Sequence[str]], activations: Numbers, predicted: Mapping[str, Numbers]
) -> tuple[Stack, ...]:
    """Windows of one neuron; activations, and what each describer predicts, have a scale for all of them together.

    Args:
        heads: what they are called.
        tokens: of each.
        activations: at each token.
        predicted: by describer.
    """
    own = list(_marks(activations, tokens))
    lines = [(name, list(_marks(numbers))) for name, numbers in ((ACTIVATION, activations), *predicted.items())]
    return tuple(
        Stack(head, own[place], tuple((name, marks[place]) for name, marks in lines))
        for place, head in enumerate(heads)
    )


def stack_legend() -> str:
    """How windows are to be read."""
    return (
        "Tokens are coloured by the neuron's activation; below them stands what each description predicts. + is above "
        "an eighth and ++ above half of the largest of all windows shown here, − and −− likewise below 0; activations "
        "and each description have a scale of their own. No description was made from these documents."
    )


def _marks(numbers: Numbers, texts: Sequence[Sequence[str]] | None = None) -> Iterator[tuple[Mark, ...]]:
    """The numbers of each window with their strengths beside the largest of all."""
    strong = strengths(np.array([number for window in numbers for number in window], dtype=np.float64))
    place = 0
    for row, window in enumerate(numbers):
        names = [""] * len(window) if texts is None else [cut(text, LONGEST) for text in texts[row]]
        levels = strong[place : place + len(window)]
        place += len(window)
        yield tuple(
            Mark(name, float(number), int(level)) for name, number, level in zip(names, window, levels, strict=True)
        )
