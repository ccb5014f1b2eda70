"""Metrics that rank explainers alike, side by side and in groups: average linkage of 1 − τ (Sokal & Michener 1958)."""

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

ALIKE = 0.7  # mean agreement of two metrics of a group, at least
UNRELATED = 1.0  # the distance 1 − τ of two that were never compared


def arranged(matrix: Float[np.ndarray, "n n"]) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """An order in which what ranks alike is side by side, and the group of each place in it, from 1.

    Average linkage of 1 − τ; groups are cut where the mean agreement falls below `ALIKE`.
    """
    n = len(matrix)
    if n < 2:
        return np.arange(n), np.ones(n, dtype=np.int64)
    distance = np.nan_to_num(1 - matrix, nan=UNRELATED).clip(0, 2)
    np.fill_diagonal(distance, 0.0)
    condensed = squareform((distance + distance.T) / 2, checks=False)
    tree = hierarchy.optimal_leaf_ordering(hierarchy.average(condensed), condensed)
    order = hierarchy.leaves_list(tree)
    cut = hierarchy.fcluster(tree, 1 - ALIKE, "distance")[order]
    return order, np.cumsum(np.diff(cut, prepend=cut[0] - 1) != 0)
