"""Soft normalised sufficiency, π-Soft-NS (arXiv 2305.10496, of equal expected shares as in 2601.03089)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from faithbench.conversations import Asking
from faithbench.types import Attribution, Link, Measurement, Text
from faithbench_metrics.perturbation.soft import check_erasures, ratio, soft_drops


@dataclass(frozen=True)
class SoftSufficiency:
    """How little of the target's probability is lost when embeddings keep elements in proportion to the scores.

    Higher is better, unlike `sufficiency`. In percent, at most 100 (nothing is lost); 0 where as much is lost as when
    all content embeddings are zero, less where more is. Elements of a token's embedding are kept with a probability
    that is its share: scores brought to 0 … 1 by the least and the largest of the text, then shifted, and cut off at 0
    and 1, until 0.1, 0.3, 0.5, 0.7 and 0.9 of all elements are expected to stay; the value is the mean over the five.
    So no explainer keeps more than another, and equal scores are chance. Scores of few values still act more sharply
    than graded ones: a floor is the explainer with its scores in other places, `permuted(…)`.

    The fall with everything erased is the weight, so that means over texts are ratios of means. Not defined (NaN,
    weight 0) where that is no fall, as without content tokens; a text of one content token says nothing about the
    scores. 5 · `draws` + 2 rows.

    The expected share is equalised after arXiv 2601.03089; the shift that does so is ours. Unlike the code of arXiv
    2305.10496, elements are erased after the embedding LayerNorm, positions included, special tokens are
    never touched, and the value is the mean over several draws.

    Args:
        draws: random erasures for each expected share.
        seed: draws them, together with the text's id; the same for all explainers.
    """

    draws: int = 8
    seed: int = 0
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-math.inf, 100.0)
    version: ClassVar[int] = 2
    on_request: ClassVar[bool] = True
    links: ClassVar[tuple[Link, ...]] = ("softmax", "sigmoid")  # a value that rises where all is erased has no fall

    def __post_init__(self) -> None:
        check_erasures(self.draws, self.seed)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        drop, most = yield from soft_drops(text, attribution, self.draws, self.seed, remove=False)
        return Measurement(ratio(most - drop, most), (drop, most), weight=most)
