"""Saliency: the size of the gradient at each token (Simonyan et al. 2014, arXiv 1312.6034)."""

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
class Saliency:
    """Σ_d |∂z_c/∂e_td|: the L1 norm over embedding dimensions, as captum's `Saliency` summed; never negative.

    Args:
        contrastive: explain by how much the logit exceeds that of the runner-up class.
        aggregation: over dimensions, `sum` of absolute values (the L1 norm) or `l2`, the L2 norm.
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
        return np.abs(answer.gradient)
