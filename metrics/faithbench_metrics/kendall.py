"""Kendall's rank correlation tau-b, which takes ties into account (Kendall 1945)."""

import math

import numpy as np
from jaxtyping import Float

from faithbench.ranks import tau_b


def kendall_tau_b(one: Float[np.ndarray, "n"], other: Float[np.ndarray, "n"]) -> float:
    """(concordant − discordant pairs) / √(pairs untied in one · in the other); NaN if there are none, or not finite."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return math.nan
    return float(tau_b(one, other))
