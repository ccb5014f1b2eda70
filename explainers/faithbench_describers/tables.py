"""Descriptions that are tables of tokens: what a neuron does at each, whatever stands around it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from faithbench.activations import Windows


@dataclass(frozen=True)
class TokenValues:
    """A number for some tokens, and one for all others.

    Args:
        text: for people.
        bits: its length.
        values: by token id.
        other: of all other tokens.
    """

    text: str
    bits: float
    values: Mapping[int, float] = field(default_factory=dict)
    other: float = 0.0

    def simulate(self, windows: Windows) -> Float[np.ndarray, "windows tokens"]:
        """The number of each token."""
        table = np.full(len(windows.pieces), self.other)
        table[list(self.values)] = list(self.values.values())
        return table[windows.ids]
