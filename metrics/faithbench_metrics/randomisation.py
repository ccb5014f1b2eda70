"""Model randomisation test: do explanations depend on what was learnt? (Adebayo et al. 2018, arXiv 1810.03292.)"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from faithbench.conversations import Asking
from faithbench.parameters import check_seed
from faithbench.questions import RANDOMISED, Explain, Inside, Variant
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.ranking import spearman

COUNT = "faithbench.models.variants:count_parts"


@dataclass(frozen=True)
class Randomisation:
    """|Spearman's ρ| of an explanation with that of the model with random weights, mean over stages; lower is better.

    In percent, 0 to 100. An explanation that stays has 100, and so has one that is turned round: neither depends on
    what was learnt. 0 is the best, where nothing is left; explanations that have nothing in common have
    √(2 / (π · (n − 1))) on average for many content tokens n, such as 8 % for 100 of them. The stages go from the head
    over the layers down to the embeddings. The class is the one that the model as it is was explained for; content
    tokens count.

    `parts` are the correlations at the stages with their signs, as fractions, NaN where an explanation is constant;
    those are left out, and the weight is the number of the others. Not defined (NaN, weight 0) where none is left, as
    for texts of one token. Costs an explanation a stage, layers + 2 of them.

    Args:
        cascade: each stage randomises all parts before it too; otherwise one part at a time.
        absolute: correlate absolute scores; otherwise scores with their signs.
        seed: draws the weights.
    """

    cascade: bool = True
    absolute: bool = False
    seed: int = 0
    on_request: ClassVar[bool] = True
    higher_is_better: ClassVar[bool | None] = False
    unproven: ClassVar[str] = "a linear model has no layers to randomise"
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)
    version: ClassVar[int] = 3

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        own = self._ranked(text, attribution)
        stages: int = yield Inside(text, COUNT)
        found = []
        for stage in range(stages):
            changed = Variant(RANDOMISED, (("part", stage), ("cascade", self.cascade), ("seed", self.seed)))
            other: Attribution = yield Explain(text, attribution.target, changed)
            found.append(spearman(own, self._ranked(text, other)))
        return replace(Measurement.mean_of([abs(each) for each in found]), parts=tuple(found))

    def _ranked(self, text: Text, attribution: Attribution) -> np.ndarray:
        scores = attribution.scores[text.content].astype(np.float64)
        return np.abs(scores) if self.absolute else scores
