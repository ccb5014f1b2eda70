"""A trie of suffixes as a description: a number for each of a few n-grams."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from faithbench.activations import Windows


@dataclass(frozen=True)
class Node:
    """One n-gram.

    Args:
        suffix: token ids in the order in which they are read.
        value: predicted at its last token, where no longer one ends.
    """

    suffix: tuple[int, ...]
    value: float


@dataclass(frozen=True)
class Trie:
    """A number for each of a few n-grams; at a token that of the longest that ends there, else the mean.

    Args:
        text: for people.
        bits: its length.
        nodes: shorter ones first; with an n-gram all shorter ones that end alike are there.
        mean: where none ends.
    """

    text: str
    bits: float
    nodes: tuple[Node, ...]
    mean: float

    def simulate(self, windows: Windows) -> Float[np.ndarray, "windows tokens"]:
        """The number of the longest n-gram that ends at each token and begins in the window."""
        ids = windows.ids
        simulated = np.full(ids.shape, self.mean)
        for node in self.nodes:
            length = len(node.suffix)
            ends = np.ones((len(ids), max(0, ids.shape[1] - length + 1)), dtype=bool)
            for place, token in enumerate(node.suffix):
                ends &= ids[:, place : place + ends.shape[1]] == token
            simulated[:, length - 1 :][ends] = node.value
        return simulated
