"""The tokens on which a neuron fires most, and nothing else: "fires on …"."""

import math
from dataclasses import dataclass

import numpy as np

from faithbench.activations import Recording
from faithbench.parameters import check_whole
from faithbench_describers.tables import VALUE, TokenValues, pieces_of, sums
from faithbench_describers.wording import named

LEAST = 5  # times that a token must have occurred


@dataclass(frozen=True)
class TokenTopK:
    """The k tokens on which a neuron's activation is largest on average, of those that occur five times; 0 elsewhere.

    Only tokens with a mean above 0 are among them: on others a neuron does not fire. Its length is k(log₂ V + 8) bits
    for k tokens that are named, V being the size of the vocabulary.

    Args:
        k: tokens at most.
    """

    k: int = 20

    def __post_init__(self) -> None:
        check_whole("k", self.k, 1, 10**6)

    def __call__(self, fit: Recording, calibrate: Recording) -> TokenValues:
        """The tokens and their means."""
        windows, size = fit.windows, len(fit.windows.pieces)
        counts, totals = sums(windows.ids, fit.activations, size)
        means = totals / np.maximum(counts, 1)
        known = np.flatnonzero((counts >= LEAST) & (means > 0))
        chosen = known[np.argsort(-means[known], kind="stable")][: self.k]
        words = named([[piece] for piece in pieces_of(windows, chosen)])
        bits = len(chosen) * (math.log2(size) + VALUE)
        return TokenValues(
            f"fires on {words or 'no token that occurs five times'}",
            bits,
            tuple(chosen.tolist()),
            tuple(means[chosen].tolist()),
        )
