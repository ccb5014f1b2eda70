"""Attention from the first token: raw, rolled out, or as flow (Abnar & Zuidema 2020, arXiv 2005.00928)."""

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from faithbench.conversations import Asking
from faithbench.parameters import check_choice
from faithbench.questions import Attentions
from faithbench.types import Attribution, Target, Text

VARIANTS = ("raw", "rollout", "flow", "max_path")
UNIT = 2**30  # a capacity of 1, in the whole numbers that scipy's maximum flow is of
Layers = Float[np.ndarray, "layers tokens tokens"]
Scores = Float[np.ndarray, "tokens"]


@dataclass(frozen=True)
class Attention:
    """How much the token that the head reads attends to each token; in [0, 1], the same for every target.

    Args:
        variant: `raw` is the mean over layers and heads. `rollout` and `flow` take each layer's mean over heads, add
            the identity for the residual connection and normalise rows. `rollout` multiplies these matrices, which sums
            the products along all paths from the token read down to a token. `flow` is the maximum flow from the token
            read, above the last layer, down to a token below the first, where they are capacities; many tokens may tie
            at 1, all that leaves the token read. It takes time: on one core, with 12 layers, 1.5 seconds a text of 128
            tokens, 9 of 256, and at least a minute of 512. `max_path` is what the research code behind arXiv 2502.12992
            calls flow: of each layer the largest of the heads, without the residual connection, and the largest product
            along one path that leaves the token read in the first layer and arrives in the last.
    """

    variant: str = "raw"
    class_sensitive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_choice("variant", self.variant, VARIANTS)

    @property
    def version(self) -> int:
        """Of `flow` 2: until then it was the largest product along one path."""
        return 2 if self.variant == "flow" else 1

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        layers: Float[np.ndarray, "layers heads tokens tokens"] = yield Attentions(text)
        return Attribution(text.id, target, self._scores(layers, text.read))

    def _scores(self, layers: Float[np.ndarray, "layers heads tokens tokens"], read: int) -> Scores:
        if self.variant == "max_path":
            return max_path(layers.max(axis=1), read)
        mean = layers.mean(axis=1)
        if self.variant == "flow":
            return flow(mean, read)
        matrix: Float[np.ndarray, "tokens tokens"] = rollout(mean) if self.variant == "rollout" else mean.mean(axis=0)
        return matrix[read]


def with_residual(layers: Layers) -> Layers:
    """A + I, each row normalised to sum 1."""
    mixed = layers + np.eye(layers.shape[-1])
    out: Layers = mixed / mixed.sum(axis=-1, keepdims=True)
    return out


def rollout(layers: Layers) -> Float[np.ndarray, "tokens tokens"]:
    """The product of the layers with their residual connections, later layers on the left."""
    product: Float[np.ndarray, "tokens tokens"] = reduce(lambda below, layer: layer @ below, with_residual(layers))
    return product


def flow(layers: Layers, read: int = 0) -> Scores:
    """The maximum flow from the token that is read, above the last layer, to each token below the first.

    Capacities are rounded to 1 / `UNIT`. One maximum flow for each token, by Dinic's algorithm.
    """
    count, tokens, _ = layers.shape
    capacities = np.rint(with_residual(layers.astype(np.float64)) * UNIT).astype(np.int32)
    below, above = np.tile(np.arange(tokens, dtype=np.int32), count * tokens), np.arange(count * tokens)
    ends = below + np.repeat(above // tokens, tokens).astype(np.int32) * tokens
    starts = np.concatenate([np.zeros(tokens, dtype=np.int32), np.arange(count * tokens + 1, dtype=np.int32) * tokens])
    nodes = (count + 1) * tokens  # token t below layer l is node l·tokens + t, and what is above the last comes last
    graph = csr_array((capacities.ravel(), ends, starts), shape=(nodes, nodes))
    source = count * tokens + read
    return np.array([maximum_flow(graph, source, t, method="dinic").flow_value / UNIT for t in range(tokens)])


def max_path(layers: Layers, read: int = 0) -> Scores:
    """The largest product along one path from the token that is read to each token, the first layer first."""
    best = np.eye(layers.shape[-1])[read]
    for layer in layers:
        best = (best[:, None] * layer).max(axis=0)
    return best
