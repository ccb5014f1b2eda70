"""Attention from the first token: raw, rolled out, or as flow (Abnar & Zuidema 2020, arXiv 2005.00928)."""

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.parameters import check_choice
from faithbench.questions import Attentions
from faithbench.types import Attribution, Target, Text

VARIANTS = ("raw", "rollout", "flow")
Layers = Float[np.ndarray, "layers tokens tokens"]


@dataclass(frozen=True)
class Attention:
    """How much the token that the head reads attends to each token; in [0, 1], the same for every target.

    Args:
        variant: `raw` is the mean over layers and heads. The others take each layer's mean over heads, add the identity
            for the residual connection and normalise rows; `rollout` multiplies these matrices, which sums the products
            along all paths from the token read down to a token; `flow` takes the path with the largest product.
    """

    variant: str = "raw"
    class_sensitive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_choice("variant", self.variant, VARIANTS)

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        layers: Float[np.ndarray, "layers heads tokens tokens"] = yield Attentions(text)
        mean = layers.mean(axis=1)
        if self.variant == "raw":
            return Attribution(text.id, target, mean.mean(axis=0)[text.read])
        return Attribution(
            text.id, target, flow(mean, text.read) if self.variant == "flow" else rollout(mean)[text.read]
        )


def with_residual(layers: Layers) -> Layers:
    """A + I, each row normalised to sum 1."""
    mixed = layers + np.eye(layers.shape[-1])
    out: Layers = mixed / mixed.sum(axis=-1, keepdims=True)
    return out


def rollout(layers: Layers) -> Float[np.ndarray, "tokens tokens"]:
    """The product of the layers with their residual connections, later layers on the left."""
    product: Float[np.ndarray, "tokens tokens"] = reduce(lambda below, layer: layer @ below, with_residual(layers))
    return product


def flow(layers: Layers, read: int = 0) -> Float[np.ndarray, "tokens"]:
    """From the token that is read down to each token: the product along the path where it is largest."""
    best = np.eye(layers.shape[-1])[read]
    for layer in with_residual(layers)[::-1]:
        best = (best[:, None] * layer).max(axis=0)
    return best
