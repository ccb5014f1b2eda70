"""AttnLRP: layer-wise relevance propagation through attention (Achtibat et al. 2024, arXiv 2402.05602)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.questions import ATTN_LRP, Gradient, Gradients
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.dimensions import aggregated, check_aggregation
from faithbench_explainers.objective import objective


@dataclass(frozen=True)
class AttnLRP:
    """Relevance of each token's embedding, Σ_d; the paper's rules, with the stabilising epsilon 0.

    RMSNorm is treated as LayerNorm, and a gated feed-forward network hands half to its gate and half to what that lets
    through. What biases and the halving of products take is not handed out again: the scores do not sum to the logit.

    Args:
        contrastive: explain by how much the logit exceeds that of the runner-up class.
        aggregation: over dimensions, `sum` or `l2`, the norm, never negative.
    """

    contrastive: bool = False
    aggregation: str = "sum"
    added: ClassVar[tuple[str, ...]] = ("aggregation",)

    def __post_init__(self) -> None:
        check_aggregation(self.aggregation)

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        vectors = yield from self.per_dimension(text, target)
        return Attribution(text.id, target, aggregated(vectors, self.aggregation))

    def per_dimension(self, text: Text, target: Target) -> Asking[Float[np.ndarray, "tokens d"]]:
        """What is aggregated."""
        aim = yield from objective(text, target, self.contrastive)
        answer: Gradient = yield Gradients(text, aim, rules=ATTN_LRP)
        return answer.embeddings * answer.gradient
