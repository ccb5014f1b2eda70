"""Standard errors of weighted regressions that hold whatever the residuals are (HC3, MacKinnon & White 1985).

They are made of how far single samples move the coefficients, and close to those of the jackknife.
"""

import numpy as np
from jaxtyping import Float

SMALLEST = 1e-3  # of 1 − leverage


def influences(
    inputs: Float[np.ndarray, "samples features"],
    residuals: Float[np.ndarray, "samples"],
    weights: Float[np.ndarray, "samples"],
    inverse: Float[np.ndarray, "features features"],
    ends: Float[np.ndarray, "samples"] | float = 0.0,
) -> Float[np.ndarray, "samples features"]:
    """What each sample added to the coefficients: about what they lose without it.

    Args:
        inputs: as they were regressed on, centred where there was an intercept.
        residuals: value − prediction.
        weights: of the samples.
        inverse: of the normal matrix, penalty included.
        ends: leverage besides that of the inputs, such as the intercept's.
    """
    moved = inputs @ inverse
    leverage = weights * (moved * inputs).sum(axis=1) + ends
    pull = weights * residuals / (1 - leverage).clip(min=SMALLEST)
    found: Float[np.ndarray, "samples features"] = pull[:, None] * moved
    return found


def covariance(
    moved: Float[np.ndarray, "samples features"], share: float = 0.0
) -> Float[np.ndarray, "features features"]:
    """Of the sum of what independent samples added, which are this share of all samples that there are."""
    count = len(moved)
    apart = moved - moved.mean(axis=0) if count > 1 else moved
    found: Float[np.ndarray, "features features"] = (1 - share) * count / max(count - 1, 1) * (apart.T @ apart)
    return found
