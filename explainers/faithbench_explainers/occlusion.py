"""Occlusion: leave one token out (Zeiler & Fergus 2014, arXiv 1311.2901; Li et al. 2016, arXiv 1612.08220)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from faithbench.questions import Asking, Logits
from faithbench.types import Attribution, Text


@dataclass(frozen=True)
class Occlusion:
    """z_c(text) − z_c(text with the token replaced by the mask token); special tokens stay and score 0."""

    def __call__(self, text: Text, target: int) -> Asking[Attribution]:
        content = text.content
        keep = np.ones((len(content) + 1, len(text)), dtype=bool)
        keep[np.arange(len(content)) + 1, content] = False
        logits: Float[np.ndarray, "variants classes"] = yield Logits(text, keep)
        scores = np.zeros(len(text))
        scores[content] = logits[0, target] - logits[1:, target]
        return Attribution(text.id, target, scores)
