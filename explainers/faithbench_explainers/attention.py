"""Attention from the first token, raw or rolled out over layers (Abnar & Zuidema 2020, arXiv 2005.00928)."""

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.questions import Asking, Attentions
from faithbench.types import Attribution, Text

VARIANTS = ("raw", "rollout")


@dataclass(frozen=True)
class Attention:
    """How much the first token, which the head reads, attends to each token; in [0, 1], the same for every class.

    Args:
        variant: `raw` is the mean over layers and heads; `rollout` multiplies the layers' mean attention, each with
            the identity added for the residual connection and rows normalised.
    """

    variant: str = "raw"
    class_sensitive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"variant={self.variant!r} is not allowed; use {' or '.join(VARIANTS)}.")

    def __call__(self, text: Text, target: int) -> Asking[Attribution]:
        layers: Float[np.ndarray, "layers heads tokens tokens"] = yield Attentions(text)
        mean = layers.mean(axis=1)
        scores = mean.mean(axis=0)[0] if self.variant == "raw" else rollout(mean)[0]
        return Attribution(text.id, target, scores)


def rollout(layers: Float[np.ndarray, "layers tokens tokens"]) -> Float[np.ndarray, "tokens tokens"]:
    """The product of (A + I) over layers, later layers on the left, each row normalised to sum 1."""
    mixed = layers + np.eye(layers.shape[-1])
    mixed = mixed / mixed.sum(axis=-1, keepdims=True)
    product: Float[np.ndarray, "tokens tokens"] = reduce(lambda below, layer: layer @ below, mixed)
    return product
