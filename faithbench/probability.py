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


def log_odds(logits: Float[np.ndarray, "*rows outputs"], link: Link = "softmax") -> Float[np.ndarray, "*rows outputs"]:
    """The logit of each probability, log p/(1 − p), finite however near to 0 or 1; with `identity` the values.

    With `softmax` an output's logit less that of all others together, so of two outputs the difference of their logits;
    with `sigmoid` the logits as they are.
    """
    logits = logits.astype(np.float64)
    if link != "softmax":
        return logits
    first = logits.argmax(axis=-1, keepdims=True)
    largest = np.take_along_axis(logits, first, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        powers = np.exp(logits - largest)
        np.put_along_axis(powers, first, 0.0, axis=-1)
        rest = powers.sum(axis=-1, keepdims=True)
        others: Float[np.ndarray, "*rows outputs"] = np.log(1 + rest - powers)
        rivals = logits.copy()
        np.put_along_axis(rivals, first, -np.inf, axis=-1)
        np.put_along_axis(others, first, np.logaddexp.reduce(rivals, axis=-1, keepdims=True) - largest, axis=-1)
        found: Float[np.ndarray, "*rows outputs"] = logits - largest - others
    return found
