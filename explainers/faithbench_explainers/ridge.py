"""Weighted ridge regression with an intercept that is not penalised, and choosing features by it, as `lime` does."""

import numpy as np
from jaxtyping import Float, Int

Inputs = Float[np.ndarray, "samples features"]
PerSample = Float[np.ndarray, "samples"]


def ridge(inputs: Inputs, values: PerSample, weights: PerSample, penalty: float) -> Float[np.ndarray, "features"]:
    """The coefficients that minimise Σ w (y − a − x·c)² + penalty · |c|²; the shortest where many do."""
    share = weights / weights.sum()
    x, y = inputs - share @ inputs, values - share @ values
    normal = (x * weights[:, None]).T @ x + penalty * np.eye(x.shape[1])
    found: Float[np.ndarray, "features"] = np.linalg.lstsq(normal, x.T @ (weights * y), rcond=None)[0]
    return found


def largest_weights(inputs: Inputs, values: PerSample, weights: PerSample, count: int) -> Int[np.ndarray, "chosen"]:
    """The features with the largest |coefficient · value in the first sample| in a regression of all (penalty 0.01)."""
    size = np.abs(ridge(inputs, values, weights, penalty=0.01) * inputs[0])
    return np.sort(np.argsort(-size, kind="stable")[:count])


def best_features(inputs: Inputs, values: PerSample, weights: PerSample, count: int) -> Int[np.ndarray, "chosen"]:
    """One by one, the feature that explains most of the values' weighted variance together with those before it."""
    chosen: list[int] = []
    for _ in range(min(count, inputs.shape[1])):
        left = [feature for feature in range(inputs.shape[1]) if feature not in chosen]
        chosen.append(min(left, key=lambda feature: _residual(inputs[:, [*chosen, feature]], values, weights)))
    return np.sort(np.array(chosen, dtype=np.int64))


def _residual(inputs: Inputs, values: PerSample, weights: PerSample) -> float:
    """Σ w (y − prediction)² of a regression without penalty."""
    share = weights / weights.sum()
    x, y = inputs - share @ inputs, values - share @ values
    left = y - x @ ridge(inputs, values, weights, penalty=0.0)
    return float(weights @ left**2)
