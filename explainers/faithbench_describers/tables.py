"""Descriptions that are tables of tokens: what a neuron does at each, whatever stands around it; and their making."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from faithbench.activations import Recording, Windows
from faithbench_describers.wording import named

VALUE = 8  # bits in which a number is written
SMOOTHING = 1.0  # κ: how many occurrences the mean of all tokens weighs as much as


@dataclass(frozen=True)
class TokenValues:
    """A number for some tokens, and one for all others.

    Args:
        text: for people.
        bits: its length.
        tokens: ids that have a number.
        values: their numbers.
        other: of all other tokens, and where there is no token behind.
        ahead: the number of a token is predicted where that token comes next, rather than at the token itself.
    """

    text: str
    bits: float
    tokens: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    other: float = 0.0
    ahead: bool = False

    def simulate(self, windows: Windows) -> Float[np.ndarray, "windows tokens"]:
        """The number of each token, or of the one behind it."""
        table = np.full(len(windows.pieces) + 1, self.other)  # the last place is that of no token
        table[list(self.tokens)] = self.values
        return table[windows.next_ids if self.ahead else windows.ids]


def sums(
    ids: Int[np.ndarray, "windows tokens"], activations: Float[np.ndarray, "windows tokens"], size: int
) -> tuple[Int[np.ndarray, "size"], Float[np.ndarray, "size"]]:
    """How often each token occurs, and the sum of activations there; negative ids are none.

    Args:
        ids: of the tokens that activations are counted for.
        activations: of the neuron.
        size: of the vocabulary.
    """
    there = ids >= 0
    counts = np.bincount(ids[there], minlength=size)
    return counts, np.bincount(ids[there], weights=activations[there], minlength=size)


def table(says: str, ids: Int[np.ndarray, "windows tokens"], fit: Recording, ahead: bool = False) -> TokenValues:
    """The smoothed mean activations of tokens, (Σa + κ·mean)/(n + κ); the mean of all where a token does not occur.

    Args:
        says: what they are, for people.
        ids: of the tokens that activations are counted for.
        fit: activations.
        ahead: as of `TokenValues`.
    """
    size, mean = len(fit.windows.pieces), float(fit.activations.mean())
    counts, totals = sums(ids, fit.activations, size)
    means = (totals + SMOOTHING * mean) / (counts + SMOOTHING)
    known = np.flatnonzero(counts)
    ranked = known[np.argsort(-means[known], kind="stable")]
    values = tuple(means[ranked].tolist())
    listed = named([[piece] for piece in pieces_of(fit.windows, ranked)], values)
    text = f"{says}: {listed if np.ptp(means) else f'{mean:.3g}, whatever token'}"
    return TokenValues(text, float(size * VALUE), tuple(ranked.tolist()), values, mean, ahead)


def pieces_of(windows: Windows, tokens: Int[np.ndarray, "_"]) -> list[str]:
    """Tokens as people write them."""
    return [windows.pieces[token] for token in tokens.tolist()]
