"""Occlusion: leave tokens out (Zeiler & Fergus 2014, arXiv 1311.2901; Li et al. 2016, arXiv 1612.08220)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from faithbench.conversations import Asking
from faithbench.parameters import check_whole
from faithbench.questions import Logits
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.baselines import check_baseline, fill_of
from faithbench_explainers.objective import objective


@dataclass(frozen=True)
class Occlusion:
    """z_c(text) − z_c(text with a window of tokens replaced); special tokens stay and score 0.

    With a window of more than one token, a token's score is the mean over the windows that it is in, as in captum's
    `Occlusion`.

    Args:
        window: how many neighbouring content tokens are replaced at once; all of them where a text has fewer.
        baseline: what replaces them, `mask` or `pad` token.
        contrastive: explain by how much the logit exceeds that of the runner-up class.
    """

    window: int = 1
    baseline: str = "mask"
    contrastive: bool = False

    def __post_init__(self) -> None:
        check_whole("window", self.window, 1, 1000)
        check_baseline(self.baseline)

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        aim = yield from objective(text, target, self.contrastive)
        content, covered = text.content, windows(len(text.content), self.window)
        keep = np.ones((len(covered) + 1, len(text)), dtype=bool)
        keep[1:, content] = ~covered
        logits: Float[np.ndarray, "variants classes"] = yield Logits(text, keep, fill_of(text, self.baseline))
        values = aim.value(logits)
        scores = np.zeros(len(text))
        scores[content] = (values[0] - values[1:]) @ covered / covered.sum(axis=0)
        return Attribution(text.id, target, scores)


def windows(tokens: int, size: int) -> Bool[np.ndarray, "windows tokens"]:
    """Each window of neighbours: which tokens it covers."""
    size = min(size, tokens)
    starts = np.arange(tokens - size + 1)[:, None]
    places = np.arange(tokens)
    covered: Bool[np.ndarray, "windows tokens"] = (places >= starts) & (places < starts + size)
    return covered
