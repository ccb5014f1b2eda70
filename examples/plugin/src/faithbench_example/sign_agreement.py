"""Sign agreement: do scores say rightly which tokens speak for a class, and which against it?"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.conversations import Asking
from faithbench.questions import Logits
from faithbench.types import Attribution, Measurement, Text


@dataclass(frozen=True)
class SignAgreement:
    """Of all that single content tokens do, the percentage whose direction the scores have right.

    What a token does is what the target's logit loses when the mask token stands in its place. 0 to 100, higher is
    better; occlusion has 100 by construction, random signs have 50 on average. A score of 0 is never right. NaN where
    no token does anything.
    """

    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        content = text.content
        keep = np.ones((len(content) + 1, len(text)), dtype=bool)
        keep[np.arange(len(content)) + 1, content] = False
        values = attribution.target.value((yield Logits(text, keep)))
        losses = values[0] - values[1:]
        total = np.abs(losses).sum()
        if total == 0:
            return Measurement(math.nan)
        right = np.sign(losses) == np.sign(attribution.scores[content])
        return Measurement(float(100 * np.abs(losses[right]).sum() / total))
