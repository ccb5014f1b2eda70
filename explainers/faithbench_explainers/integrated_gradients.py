"""Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) over embeddings."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.parameters import check_whole
from faithbench.questions import Embeddings, Gradient, Gradients, Logits
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.baselines import check_baseline, fill_of
from faithbench_explainers.dimensions import aggregated, check_aggregation
from faithbench_explainers.objective import objective
from faithbench_explainers.quadrature import gauss_legendre


@dataclass(frozen=True)
class IntegratedGradients:
    """Σ_d (e_td − b_td) · mean gradient on the straight path from the baseline to the text.

    The baseline b is the embedding of the baseline token at each position, special tokens' included. The note
    `completeness_gap`, in logits, is z(text) − z(baseline) less the sum over tokens and dimensions: what steps miss.

    Args:
        n_steps: Gauss-Legendre nodes.
        baseline: `mask` or `pad` token.
        contrastive: explain by how much the logit exceeds that of the runner-up class.
        aggregation: over dimensions, `sum` or `l2`, the norm, never negative, which sums to nothing in particular.
    """

    n_steps: int = 50
    baseline: str = "mask"
    contrastive: bool = False
    aggregation: str = "sum"
    added: ClassVar[tuple[str, ...]] = ("aggregation",)

    def __post_init__(self) -> None:
        check_whole("n_steps", self.n_steps, 1, 1000)
        check_baseline(self.baseline)
        check_aggregation(self.aggregation)

    @property
    def sums_to(self) -> str:
        """Norms sum to nothing in particular."""
        return "tokens" if self.aggregation == "sum" else ""

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        vectors, difference = yield from self._integrals(text, target)
        notes = {"completeness_gap": float(difference - vectors.sum(axis=-1).sum())}
        return Attribution(text.id, target, aggregated(vectors, self.aggregation), notes)

    def per_dimension(self, text: Text, target: Target) -> Asking[Float[np.ndarray, "tokens d"]]:
        """What is aggregated: (e_td − b_td) · mean gradient."""
        vectors, _ = yield from self._integrals(text, target)
        return vectors

    def _integrals(self, text: Text, target: Target) -> Asking[tuple[Float[np.ndarray, "tokens d"], float]]:
        """The integrals, and what they come to where no step misses anything: z(text) − z(baseline)."""
        aim = yield from objective(text, target, self.contrastive)
        fill = fill_of(text, self.baseline)
        nodes, weights = gauss_legendre(self.n_steps)
        ends = np.array([[True], [False]]) & np.ones(len(text), dtype=bool)
        points = np.tile(nodes[:, None], len(text))
        asked = (
            Embeddings(text, ends, fill),
            Logits(text, ends, fill),
            Gradients(text, aim, "", points, fill),
        )
        (own, base), logits, gradients = yield asked
        found: list[Gradient] = gradients
        mean = sum(weight * each.gradient.astype(np.float64) for weight, each in zip(weights, found, strict=True))
        there, start = aim.value(logits)
        return (own - base) * mean, there - start
