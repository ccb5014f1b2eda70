"""What a language model is asked about a neuron: explain it, and simulate it from the explanation (Bills et al. 2023).

The wording is fixed: a change of it changes numbers, and is a new version of the describers that use it.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from faithbench.activations import Recording, Windows
from faithbench.shown import visible
from faithbench_describers.wording import escaped

LARGEST = 9  # that activations are scaled to
UNKNOWN = "unknown"  # stands where an activation is to be said
CHARACTER = 8  # bits
EXAMPLE = ("the", " cat", " saw", " a", " big", " dog", " run")
EXAMPLE_DIGITS = (0, 9, 0, 0, 1, 8, 0)
EXAMPLE_TEXT = "words for animals"
INTRODUCTION = """\
A neuron of a language model reads a text token by token. Behind each token stands how strongly the neuron is active \
at it, from 0 (not at all) to 9 (most strongly)."""
LISTED = """\
Write the activations of neuron 2: a line for each token, in order, with the token as it stands, a tab and a number \
from 0 to 9, and nothing else."""


def explanation_prompt(recording: Recording, windows: int) -> str:
    """Asks what a neuron is active at, by the windows in which it is most active, one a document.

    Args:
        recording: of the neuron.
        windows: at most.
    """
    best = recording.take(recording.strongest(windows))
    scaled = scaled_to_digits(best.activations)
    shown = [lines(row, digits) for row, digits in zip(shown_pieces(best.windows), scaled, strict=True)]
    return "\n\n".join(
        [
            INTRODUCTION,
            f"Neuron 1\n{lines(EXAMPLE, EXAMPLE_DIGITS)}\nNeuron 1 is active at: {EXAMPLE_TEXT}",
            "\n\n".join(["Neuron 2", *shown]),
            "Neuron 2 is active at:",
        ]
    )


def simulation_prompt(text: str, pieces: Sequence[str]) -> tuple[str, ...]:
    """Asks for a neuron's activations, all at once: a placeholder stands behind each token but the last.

    Args:
        text: what it is active at.
        pieces: of one window, as they are shown.

    Returns:
        A part for each token, which ends where its activation would follow; the whole is their sum.
    """
    start = "\n\n".join(
        [
            INTRODUCTION,
            f"Neuron 1 is active at: {EXAMPLE_TEXT}\n{lines(EXAMPLE, EXAMPLE_DIGITS)}",
            f"Neuron 2 is active at: {text}\n",
        ]
    )
    beginnings = [start, *[f"{UNKNOWN}\n"] * (len(pieces) - 1)]
    return tuple(f"{beginning}{piece}\t" for beginning, piece in zip(beginnings, pieces, strict=True))


def listing_prompt(text: str, pieces: Sequence[str]) -> str:
    """Asks for a neuron's activations as a text, token and number a line.

    Args:
        text: what it is active at.
        pieces: of one window, as they are shown.
    """
    example = lines(EXAMPLE, EXAMPLE_DIGITS)
    return "\n\n".join(
        [
            f"{INTRODUCTION} {LISTED}",
            f"Neuron 1 is active at: {EXAMPLE_TEXT}\nTokens:\n{lines(EXAMPLE)}\nActivations:\n{example}",
            f"Neuron 2 is active at: {text}\nTokens:\n{lines(pieces)}\nActivations:\n",
        ]
    )


def scaled_to_digits(activations: Float[np.ndarray, "windows tokens"]) -> Int[np.ndarray, "windows tokens"]:
    """Activations as whole numbers from 0, for 0 and below, to 9, for the largest of them."""
    largest = activations.max(initial=0.0)
    return np.rint(LARGEST * np.maximum(activations, 0) / (largest or 1.0)).astype(np.int64)


def shown_pieces(windows: Windows) -> list[list[str]]:
    """The tokens of each window, with what would break a line as an escape."""
    return [[escaped(windows.pieces[token]) for token in row] for row in windows.ids.tolist()]


def lines(pieces: Sequence[str], numbers: Sequence[int] | Int[np.ndarray, "_"] | None = None) -> str:
    """A line for each token, with a tab and a number behind it if there are some."""
    if numbers is None:
        return "\n".join(pieces)
    return "\n".join(f"{piece}\t{number}" for piece, number in zip(pieces, numbers, strict=True))


def one_line(reply: str) -> str:
    """The first line of what a model says, with what cannot be seen as an escape."""
    written = reply.strip().splitlines()
    return visible(" ".join(written[0].split())) if written else ""
