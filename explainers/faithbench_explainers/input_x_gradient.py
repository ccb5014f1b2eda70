"""Input × gradient (Shrikumar et al. 2016, arXiv 1605.01713)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.questions import Gradient, Gradients
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.dimensions import aggregated, check_aggregation
from faithbench_explainers.objective import objective


@dataclass(frozen=True)
class InputXGradient:
    """Σ_d e_td · ∂z_c/∂e_td at the output of the embedding module, nothing frozen.

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
        answer: Gradient = yield Gradients(text, aim)
        return answer.embeddings * answer.gradient
