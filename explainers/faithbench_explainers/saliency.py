"""Saliency: the size of the gradient at each token (Simonyan et al. 2014, arXiv 1312.6034)."""

from dataclasses import dataclass

import numpy as np

from faithbench.conversations import Asking
from faithbench.questions import Gradient, Gradients
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.objective import objective


@dataclass(frozen=True)
class Saliency:
    """Σ_d |∂z_c/∂e_td|: the L1 norm over embedding dimensions, as captum's `Saliency` summed; never negative.

    Args:
        contrastive: explain by how much the logit exceeds that of the runner-up class.
    """

    contrastive: bool = False

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        aim = yield from objective(text, target, self.contrastive)
        answer: Gradient = yield Gradients(text, aim)
        return Attribution(text.id, target, np.abs(answer.gradient).sum(axis=-1))
