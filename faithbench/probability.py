"""Link functions in double precision: from logits to what a model says."""

import numpy as np
from jaxtyping import Float

from faithbench.types import Link


def probabilities(
    logits: Float[np.ndarray, "*rows outputs"], link: Link = "softmax"
) -> Float[np.ndarray, "*rows outputs"]:
    """Softmax over outputs, which compete; with the link `sigmoid` each output's own; with `identity` the values."""
    if link == "identity":
        return logits.astype(np.float64)
    if link == "sigmoid":
        return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64)
    shares: Float[np.ndarray, "*rows outputs"] = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def log_probabilities(
    logits: Float[np.ndarray, "*rows outputs"], link: Link = "softmax"
) -> Float[np.ndarray, "*rows outputs"]:
    """Their natural logarithms, finite however small they are; NaN where logits are.

    Raises:
        ValueError: values have none.
    """
    if link == "identity":
        raise ValueError("a model that says values has no probabilities, and no logarithms of them.")
    logits = logits.astype(np.float64)
    if link == "sigmoid":
        return -np.logaddexp(0, -logits)
    with np.errstate(invalid="ignore"):
        found: Float[np.ndarray, "*rows outputs"] = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    return found
