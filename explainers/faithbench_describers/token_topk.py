"""The tokens on which a neuron fires most, and nothing else: "fires on …"."""

import math
from dataclasses import dataclass

import numpy as np

from faithbench.activations import Recording
from faithbench.parameters import check_whole
from faithbench_describers.tables import TokenValues

LEAST = 5  # times that a token must have occurred


@dataclass(frozen=True)
class TokenTopK:
    """The k tokens on which a neuron's activation is largest on average, of those that occur five times; 0 elsewhere.

    Its length is k(log₂ V + 8) bits, V being the size of the vocabulary.

    Args:
        k: tokens.
    """

    k: int = 20

    def __post_init__(self) -> None:
        check_whole("k", self.k, 1, 10**6)

    def __call__(self, fit: Recording, calibrate: Recording) -> TokenValues:
        """The tokens and their means."""
        size = len(fit.windows.pieces)
        ids, activations = fit.windows.ids.ravel(), fit.activations.ravel()
        counts = np.bincount(ids, minlength=size)
        means = np.bincount(ids, weights=activations, minlength=size) / np.maximum(counts, 1)
        known = np.flatnonzero(counts >= LEAST)
        chosen = known[np.argsort(-means[known], kind="stable")][: self.k]
        words = ", ".join(repr(fit.windows.pieces[token]) for token in chosen)
        bits = len(chosen) * (math.log2(size) + 8)
        return TokenValues(f"fires on {words}", bits, {int(token): float(means[token]) for token in chosen})
