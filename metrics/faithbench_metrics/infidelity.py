"""Infidelity (Yeh et al. 2019, arXiv 1901.09392): do scores add up to what taking tokens away does to the logit?"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from faithbench.conversations import Asking
from faithbench.draws import generator
from faithbench.parameters import check_seed, check_whole
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.perturbation.operators import Operator, needs_of_operator, settle


@dataclass(frozen=True)
class Infidelity:
    """Error of predicting logit changes by sums of scores, as a share of the changes themselves; lower is better.

    Random subsets S of the content tokens are taken away, sizes uniform on 1 … n. With A = Σ_{i∈S} score_i and
    B = logit(text) − logit(text without S), the value is 100 · Σ(βA − B)² / ΣB², in percent: 0 for scores that add up,
    100 for what is no better than scores of 0. `scaled` takes the best β ≥ 0, so that explainers of any scale compare,
    and then 100 is the most; the paper's β may be negative, which would praise scores of the wrong sign. Otherwise
    β = 1, and there is no limit. `parts` are the mean of (βA − B)², which is what the paper reports, and the mean of
    B², both in squared logits; the latter is the weight, so that means over texts are ratios of means. Not defined
    (NaN, weight 0) where no subset changes the logit.

    Args:
        n_samples: subsets.
        scaled: scale the scores of each text to fit best.
        operator: how tokens are taken away, `mask`, `pad`, `attention`, `delete` or `sample`.
        seed: draws the subsets, together with the text's id; the same for all explainers.
    """

    n_samples: int = 64
    scaled: bool = True
    operator: str = "mask"
    seed: int = 0
    higher_is_better: ClassVar[bool] = False
    on_request: ClassVar[bool] = True
    needs = needs_of_operator

    def __post_init__(self) -> None:
        check_whole("n_samples", self.n_samples, 1, 1_000_000)
        settle(self)
        check_seed(self.seed)

    @property
    def range(self) -> tuple[float, float]:
        """There is no limit unless scores are scaled."""
        return 0.0, 100.0 if self.scaled else math.inf

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        taken = self.subsets(text)
        keep = np.concatenate([np.ones((1, len(text)), dtype=bool), ~taken])
        logits = (yield from Operator(self.operator).logits(text, keep)).mean(axis=1, dtype=np.float64)
        changes = logits[0, attribution.target] - logits[1:, attribution.target]
        sums = taken @ attribution.scores.astype(np.float64)
        size = float((changes**2).mean())
        if not size > 0 or not np.isfinite(size):
            return Measurement(math.nan, weight=0.0)
        energy = float((sums**2).mean())
        scale = max(0.0, float((sums * changes).mean()) / energy if energy else 0.0) if self.scaled else 1.0
        error = float(((scale * sums - changes) ** 2).mean())
        return Measurement(100 * error / size, (error, size), weight=size)

    def subsets(self, text: Text) -> Bool[np.ndarray, "samples tokens"]:
        """Which tokens each sample takes away."""
        draws, content = generator(text, "subsets", self.seed), text.content
        taken = np.zeros((self.n_samples, len(text)), dtype=bool)
        if len(content):
            sizes = draws.integers(1, len(content) + 1, size=(self.n_samples, 1))
            places = draws.permuted(np.tile(np.arange(len(content)), (self.n_samples, 1)), axis=1)
            taken[:, content] = places < sizes
        return taken
