"""Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) over embeddings."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.conversations import Asking
from faithbench.parameters import check_whole
from faithbench.questions import Embeddings, Gradient, Gradients, Logits
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.baselines import check_baseline, fill_of
from faithbench_explainers.objective import objective
from faithbench_explainers.quadrature import gauss_legendre


@dataclass(frozen=True)
class IntegratedGradients:
    """Σ_d (e_td − b_td) · mean gradient on the straight path from the baseline to the text.

    The baseline b is the embedding of the baseline token at each position, special tokens' included. The note
    `completeness_gap`, in logits, is z(text) − z(baseline) − Σ scores: what the steps miss.

    Args:
        n_steps: Gauss-Legendre nodes.
        baseline: `mask` or `pad` token.
        contrastive: explain by how much the logit exceeds that of the runner-up class.
    """

    n_steps: int = 50
    baseline: str = "mask"
    contrastive: bool = False
    sums_to: ClassVar[str] = "tokens"

    def __post_init__(self) -> None:
        check_whole("n_steps", self.n_steps, 1, 1000)
        check_baseline(self.baseline)

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
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
        scores = ((own - base) * mean).sum(axis=-1)
        there, start = aim.value(logits)
        return Attribution(text.id, target, scores, notes={"completeness_gap": float(there - start - scores.sum())})
