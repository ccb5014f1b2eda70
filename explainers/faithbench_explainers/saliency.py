"""Saliency: the size of the gradient at each token (Simonyan et al. 2014, arXiv 1312.6034)."""

from dataclasses import dataclass

import numpy as np

from faithbench.questions import Asking, Gradient, Gradients
from faithbench.types import Attribution, Text


@dataclass(frozen=True)
class Saliency:
    """Σ_d |∂z_c/∂e_td|: the L1 norm over embedding dimensions, as captum's `Saliency` summed; never negative."""

    def __call__(self, text: Text, target: int) -> Asking[Attribution]:
        answer: Gradient = yield Gradients(text, target)
        return Attribution(text.id, target, np.abs(answer.gradient).sum(axis=-1))
