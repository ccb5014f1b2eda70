"""Saliency: the size of the gradient at each token (Simonyan et al. 2014, arXiv 1312.6034)."""

from dataclasses import dataclass

import numpy as np

from faithbench.conversations import Asking
from faithbench.questions import Gradient, Gradients
from faithbench.types import Attribution, Text
from faithbench_explainers.objective import rival


@dataclass(frozen=True)
class Saliency:
    """Σ_d |∂z_c/∂e_td|: the L1 norm over embedding dimensions, as captum's `Saliency` summed; never negative.

    Args:
        contrastive: explain by how much the logit exceeds that of the runner-up class.
    """

    contrastive: bool = False

    def __call__(self, text: Text, target: int) -> Asking[Attribution]:
        against = yield from rival(text, target, self.contrastive)
        answer: Gradient = yield Gradients(text, target, against)
        return Attribution(text.id, target, np.abs(answer.gradient).sum(axis=-1))
