"""Sequential integrated gradients (Enguehard 2023, arXiv 2305.15853)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.errors import QuestionError
from faithbench.parameters import check_whole
from faithbench.questions import Embeddings, Gradient, Gradients, Logits
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.baselines import check_baseline, fill_of
from faithbench_explainers.dimensions import aggregated, check_aggregation
from faithbench_explainers.objective import objective
from faithbench_explainers.quadrature import gauss_legendre


@dataclass(frozen=True)
class SIG:
    """Integrated gradients along a path of its own for each token, on which the others stay as they are.

    Summed over embedding dimensions this is, since integrated gradients along one token's path are complete, exactly
    z(text) − z(text with the token's embedding replaced by the baseline's). By default that is computed: one forward
    row a token. With `n_steps` it is the quadrature that papers ran, and the note `completeness_gap`, in logits, says
    how far it is off: the largest difference from the exact score of a token. Special tokens get scores too.

    Args:
        n_steps: Gauss-Legendre nodes on each token's path; 0 for the exact form.
        baseline: `mask` or `pad` token, at the token's own position.
        aggregation: over dimensions, `sum` or (with `n_steps`) `l2`, the norm, never negative.
        contrastive: explain by how much the logit exceeds that of the runner-up class.
    """

    n_steps: int = 0
    baseline: str = "mask"
    aggregation: str = "sum"
    contrastive: bool = False

    def __post_init__(self) -> None:
        check_whole("n_steps", self.n_steps, 0, 1000)
        check_baseline(self.baseline)
        check_aggregation(self.aggregation)
        if self.aggregation == "l2" and not self.n_steps:
            raise ValueError("aggregation='l2' needs n_steps, such as 50: the exact form has no dimensions.")

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        aim = yield from objective(text, target, self.contrastive)
        fill = fill_of(text, self.baseline)
        without = ~np.eye(len(text), dtype=bool)
        logits: Float[np.ndarray, "variants classes"] = yield Logits(
            text, np.concatenate([np.ones((1, len(text)), dtype=bool), without]), fill
        )
        values = aim.value(logits)
        exact = values[0] - values[1:]
        if not self.n_steps:
            return Attribution(text.id, target, exact)
        vectors = yield from self.integrals(text, aim, fill)
        sums = vectors.sum(axis=-1)
        notes = {"completeness_gap": float(np.abs(sums - exact).max())}
        return Attribution(text.id, target, aggregated(vectors, self.aggregation), notes)

    def per_dimension(self, text: Text, target: Target) -> Asking[Float[np.ndarray, "tokens d"]]:
        """What is aggregated, which only the quadrature has.

        Raises:
            QuestionError: it is the exact form.
        """
        if not self.n_steps:
            raise QuestionError("sig needs n_steps, such as sig(n_steps=50): the exact form has no dimensions")
        aim = yield from objective(text, target, self.contrastive)
        return (yield from self.integrals(text, aim, fill_of(text, self.baseline)))

    def integrals(self, text: Text, aim: Target, fill: int) -> Asking[Float[np.ndarray, "tokens d"]]:
        """(e_t − b_t) · mean gradient at e_t, dimension by dimension; one token's path at a time bounds the memory."""
        nodes, weights = gauss_legendre(self.n_steps)
        ends = np.array([[True], [False]]) & np.ones(len(text), dtype=bool)
        own, base = yield Embeddings(text, ends, fill)
        vectors = np.zeros(own.shape)
        for token in range(len(text)):
            points = np.ones((len(nodes), len(text)))
            points[:, token] = nodes
            found: list[Gradient] = yield Gradients(text, aim, "", points, fill)
            mean = sum(weight * each.gradient[token] for weight, each in zip(weights, found, strict=True))
            vectors[token] = (own[token] - base[token]) * mean
        return vectors
