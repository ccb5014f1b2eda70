"""What compares activations with their simulation: correlation over all tokens of some windows, joined."""

import math

import numpy as np
from jaxtyping import Float

from faithbench.types import Measurement


def correlated(
    activations: Float[np.ndarray, "windows tokens"], simulated: Float[np.ndarray, "windows tokens"]
) -> Measurement:
    """Pearson's correlation in percent; NaN where either is constant. Parts: both standard deviations."""
    one, other = (each.ravel() - each.mean() for each in (activations, simulated))
    spread = float(np.sqrt((one**2).mean())), float(np.sqrt((other**2).mean()))
    if not (spread[0] and spread[1]):
        return Measurement(math.nan, spread)
    return Measurement(100 * float((one * other).mean()) / (spread[0] * spread[1]), spread)
