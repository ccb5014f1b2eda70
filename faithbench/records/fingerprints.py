"""What can be read off the fingerprint of a model: the precision of forward rows, where they have their own."""

from faithbench.plan import MIXED, TF32


def precision_of(fingerprint: str) -> str:
    """The precision that a fingerprint ends with; "" where weights and their type say all (see `models.precision`)."""
    return next((name for name in (MIXED, TF32) if fingerprint.endswith(f"-{name}")), "")


def weights_of(fingerprint: str) -> str:
    """The fingerprint of the same weights in float32."""
    precision = precision_of(fingerprint)
    return fingerprint.removesuffix(f"-{precision}") if precision else fingerprint
