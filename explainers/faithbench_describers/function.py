"""Anybody's function in the place of a language model that describes a neuron and simulates it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.activations import Recording, Windows
from faithbench.errors import short
from faithbench.parameters import check_whole
from faithbench.plugins.references import check_reference, imported
from faithbench_describers.prompting import (
    CHARACTER,
    LARGEST,
    explanation_prompt,
    listing_prompt,
    one_line,
    shown_pieces,
)

FENCE = "```"
Complete = Callable[[str], str]


@dataclass(frozen=True)
class Reply:
    """What a function says a neuron is active at.

    Args:
        text: what it says.
        bits: 8 for each of its characters.
        reference: of the function, by which it simulates, too.
    """

    text: str
    bits: float
    reference: str

    def simulate(self, windows: Windows) -> Float[np.ndarray, "windows tokens"]:
        """The activation, 0 to 9, that the function says of each token, one window a prompt.

        Raises:
            ValueError: a reply is not one line a token, each with the token, a tab and a number from 0 to 9.
        """
        complete = Function(self.reference).complete
        shown = shown_pieces(windows)
        return np.stack([parsed(_said(complete, listing_prompt(self.text, row)), row) for row in shown])


@dataclass(frozen=True)
class Function:
    """What a function `complete(prompt) -> str` says of a neuron; anything may stand behind it, also a service.

    It is given the prompt that `llm` gives a model, and its first line is the description. To simulate, it is given the
    description with the tokens of one window, and must reply with a line for each token: the token, a tab, and a number
    from 0 to 9. What cannot be read so is an error of the neuron. Its length is 8 bits for each character of the text.

    A simulation should depend on the prompt alone, or scores cannot be repeated. A run does not notice that a function
    has changed: give the run another folder then.

    Args:
        reference: `package.module:function`. It is imported when something is described, and not before.
        windows: that it is shown, at most.
    """

    reference: str
    windows: int = 5
    dear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_reference("reference", self.reference)
        check_whole("windows", self.windows, 1, 1000)

    def resolve(self) -> None:
        """Imports the function.

        Raises:
            ValueError: it cannot be imported, or is no function.
        """
        _ = self.complete

    @cached_property
    def complete(self) -> Complete:
        """The function itself."""
        return imported("reference", self.reference)

    def __call__(self, fit: Recording, calibrate: Recording) -> Reply:
        """The description.

        Raises:
            ValueError: the function says nothing.
        """
        text = one_line(_said(self.complete, explanation_prompt(fit, self.windows)))
        if not text:
            raise ValueError(f"{self.reference} says nothing of the neuron")
        return Reply(text, float(len(text) * CHARACTER), self.reference)


def _said(complete: Complete, prompt: str) -> str:
    reply: object = complete(prompt)
    if not isinstance(reply, str):
        raise ValueError(f"the function gave a {type(reply).__name__}, not a text")
    return reply


def parsed(reply: str, pieces: Sequence[str]) -> Float[np.ndarray, "tokens"]:
    """The numbers of a reply.

    Args:
        reply: a line for each token; spaces around tokens and numbers, empty lines and fences of code do not matter.
        pieces: the tokens.

    Raises:
        ValueError: it is something else.
    """
    written = [line for line in reply.split("\n") if "\t" in line or _is_said(line)]
    if len(written) != len(pieces):
        raise ValueError(f"the reply has {len(written)} lines for {len(pieces)} tokens")
    return np.array([_number(line, piece) for line, piece in zip(written, pieces, strict=True)])


def _is_said(line: str) -> bool:
    """Whether a line is neither empty nor a fence of code."""
    return bool(line.strip()) and not line.strip().startswith(FENCE)


def _number(line: str, piece: str) -> float:
    token, _, number = line.rpartition("\t")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if token.strip() != piece.strip() or not 0 <= value <= LARGEST:
        raise ValueError(
            f"a line of the reply is {short(line)}, not the token {short(piece)}, a tab and a number from 0 to 9"
        )
    return value
