"""Kendall's rank correlation τ_b, which takes ties into account (Kendall 1945)."""

import math

import numpy as np
from jaxtyping import Float


def tau_b(x: Float[np.ndarray, "*draws chosen"], y: Float[np.ndarray, "*draws chosen"]) -> Float[np.ndarray, "*draws"]:
    """Kendall's τ_b along the last axis: (concordant − discordant) / √(untied in x · untied in y); NaN if all tie."""
    i, j = np.triu_indices(x.shape[-1], 1)
    up, across = np.sign(x[..., i] - x[..., j]), np.sign(y[..., i] - y[..., j])
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float[np.ndarray, "*draws"] = (up * across).sum(axis=-1) / np.sqrt(
            (up**2).sum(axis=-1) * (across**2).sum(axis=-1)
        )
    return found


def kendall_tau_b(one: Float[np.ndarray, "n"], other: Float[np.ndarray, "n"]) -> float:
    """(concordant − discordant pairs) / √(pairs untied in one · in the other); NaN if there are none, or not finite."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return math.nan
    return float(tau_b(one, other))
