"""Gauss-Legendre quadrature on [0, 1], which integrated gradients use."""

import numpy as np
from jaxtyping import Float

Nodes = Float[np.ndarray, "steps"]


def gauss_legendre(steps: int) -> tuple[Nodes, Nodes]:
    """Places in (0, 1) and weights that sum to 1; exact for polynomials of degree 2·steps − 1."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2
