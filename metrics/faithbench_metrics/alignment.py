"""Alignment of inputs and weights, which B > 1 rewards (Böhle et al. 2022; here arXiv 2502.12992, Figure 13)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.parameters import check_whole
from faithbench.questions import Inside
from faithbench.types import Attribution, Measurement, Text

PERCENTILES = "faithbench_metrics.cosines:percentiles"


@dataclass(frozen=True)
class Alignment:
    """A percentile of 100 · |cos(x, w)| within each encoder layer (`parts`, from the first), mean over the layers.

    In percent, 0 to 100; no direction is better. It describes the model on the text: the scores play no part, and all
    explainers of a model have the same value. Inputs x are those at every token, special ones too; weight rows w those
    of all output units of the layer's B-cos linear modules, in a conventional model those of the same places: attention
    output and feed-forward, not query, key and value. Each pair of a token and an output unit counts once. Between two
    values a percentile is interpolated linearly, as numpy does.

    All percentiles and explainers of a text are answered by one `Inside`, which costs two to three forward passes.

    Args:
        percentile: which, a whole number from 0 (the least) over 50 (the median) to 100 (the greatest).
    """

    percentile: int = 50
    kind: ClassVar[str] = "model"
    higher_is_better: ClassVar[bool | None] = None
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)
    on_request: ClassVar[bool] = True
    keep_parts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole("percentile", self.percentile, 0, 100)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        found: Float[np.ndarray, "layers 101"] = yield Inside(text, PERCENTILES)
        layers = 100 * found[:, self.percentile]
        return Measurement(float(layers.mean()), tuple(layers.tolist()))
