"""Max-sensitivity: how far an explanation moves when the input hardly does (Yeh et al. 2019, arXiv 1901.09392)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.conversations import Asking
from faithbench.parameters import check_seed, check_whole
from faithbench.questions import NOISE, Explain, Variant
from faithbench.types import Attribution, Measurement, Text

MOST = 1000  # noises of one seed


@dataclass(frozen=True)
class Sensitivity:
    """max over noises r of ‖a(x + r) − a(x)‖ / ‖a(x)‖ over content tokens, in percent; from 0, lower is better.

    The noise is uniform in [−radius, radius] and added to the embeddings of all tokens; it is the same for all texts,
    place by place. An explanation that does not depend on the input has 0: a low value is no proof of anything by
    itself. `parts` are the distances, as fractions. Not defined (NaN) where all content scores are 0. Explainers with a
    baseline meet the noise there too. Costs `n_samples` explanations a text.

    Args:
        n_samples: how many noises; the maximum grows with them. captum's default is 10.
        radius: how far each dimension may move. captum's default is 0.02.
        seed: draws the noises.
    """

    n_samples: int = 10
    radius: float = 0.02
    seed: int = 0
    on_request: ClassVar[bool] = True
    higher_is_better: ClassVar[bool | None] = False
    unproven: ClassVar[str] = "an explanation that does not depend on the input is the best, whatever it says"
    range: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def __post_init__(self) -> None:
        check_whole("n_samples", self.n_samples, 1, MOST)
        check_seed(self.seed)
        if not 0 < self.radius < math.inf:
            raise ValueError(f"radius={self.radius!r} is not allowed; it must be a number above 0.")

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        own = attribution.scores[text.content].astype(np.float64)
        scale = float(np.linalg.norm(own))
        if not scale > 0:
            return Measurement(math.nan)
        distances = []
        for sample in range(self.n_samples):
            noise = Variant(NOISE, (("radius", self.radius), ("seed", MOST * self.seed + sample)))
            moved: Attribution = yield Explain(text, attribution.target, noise)
            distances.append(float(np.linalg.norm(moved.scores[text.content] - own)) / scale)
        return Measurement(100 * float(np.max(distances)), tuple(distances))
