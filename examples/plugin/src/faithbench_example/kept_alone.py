"""Kept alone: what one token says where all others are taken away."""

from dataclasses import dataclass

import numpy as np

from faithbench.conversations import Asking
from faithbench.questions import Logits
from faithbench.types import Attribution, Target, Text


@dataclass(frozen=True)
class KeptAlone:
    """z_c(the token and nothing else) − z_c(nothing); special tokens stay and score 0.

    The other end of occlusion, which takes one token away and keeps the rest. Both are the tokens' exact weights where
    a model adds up what its tokens say.
    """

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        content = text.content
        keep = np.tile(text.special, (len(content) + 1, 1))
        keep[np.arange(len(content)) + 1, content] = True
        values = target.value((yield Logits(text, keep)))
        scores = np.zeros(len(text))
        scores[content] = values[1:] - values[0]
        return Attribution(text.id, target, scores)
