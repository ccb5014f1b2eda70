"""From numbers for each dimension of a token's embedding to one score for the token."""

import numpy as np
from jaxtyping import Float

from faithbench.parameters import check_choice

AGGREGATIONS = ("sum", "l2")


def check_aggregation(aggregation: str) -> None:
    """Raises a ValueError unless there is such an aggregation."""
    check_choice("aggregation", aggregation, AGGREGATIONS)


def aggregated(vectors: Float[np.ndarray, "tokens d"], aggregation: str) -> Float[np.ndarray, "tokens"]:
    """The sum over dimensions, or their L2 norm, which is never negative."""
    scores: Float[np.ndarray, "tokens"] = (
        vectors.sum(axis=-1) if aggregation == "sum" else np.linalg.norm(vectors, axis=-1)
    )
    return scores
