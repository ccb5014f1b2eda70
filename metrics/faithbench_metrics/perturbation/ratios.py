"""What comprehensiveness and sufficiency share: protocols, ratios (DeYoung et al. 2020, arXiv 1911.03429).

Two protocols: `strict` is the definition; `paper` repeats what the research code of arXiv 2502.12992 computes.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from faithbench.conversations import Asking
from faithbench.parameters import check_choice
from faithbench.types import Attribution, Measurement, Text
from faithbench_metrics.perturbation.operators import Operator
from faithbench_metrics.perturbation.ordering import first_of, ranked

PROTOCOLS = ("strict", "paper")
TENTHS = range(1, 10)  # the ratios 0.1 … 0.9
RATIOS = tuple(tenth / 10 for tenth in TENTHS)


@dataclass(frozen=True)
class Protocol:
    """Which of the two protocols; checked."""

    name: str

    def __post_init__(self) -> None:
        check_choice("protocol", self.name, PROTOCOLS)

    @property
    def range(self) -> tuple[float, float]:
        """In which a summary lies: an area over the ratios 0.1 to 0.9 is 80 at the most."""
        return (-100.0, 100.0) if self.name == "strict" else (-80.0, 80.0)

    def check_operator(self, operator: Operator) -> None:
        """The research code knows the mask token and probabilities only.

        Raises:
            ValueError: the operator does not exist in this protocol.
        """
        if self.name == "paper" and operator.name != "mask":
            raise ValueError(f"operator={operator.name!r} is not allowed; protocol=paper allows only mask.")
        if self.name == "paper" and operator.value != "probability":
            raise ValueError(f"value={operator.value!r} is not allowed; protocol=paper allows only probability.")

    def ranking(self, text: Text, scores: Float[np.ndarray, "tokens"]) -> Int[np.ndarray, "content"]:
        """Content positions, highest signed score first. Ties: first position first (`strict`) or last (`paper`)."""
        return ranked(text, scores, last_first=self.name == "paper")

    def summary(self, drops: Float[np.ndarray, "ratios"], unit: float = 100.0) -> float:
        """The drops as one number: unit × mean (of probabilities at most 100), or × trapezoid area (at most 80)."""
        return unit * float(drops.mean() if self.name == "strict" else (drops[1:] + drops[:-1]).sum() / 2 * 0.1)


def sizes(content: int) -> list[int]:
    """How many of the content tokens each ratio takes: max(1, floor(n·q)), in exact integers."""
    return [max(1, content * tenth // 10) for tenth in TENTHS]


def measure(
    text: Text, attribution: Attribution, protocol: Protocol, operator: Operator, remove: bool
) -> Asking[Measurement]:
    """p(target | text) − p(target | what is kept) when the top tokens of each ratio are removed, or only they kept."""
    order = protocol.ranking(text, attribution.scores)
    if not len(order):
        return Measurement(math.nan)
    top = first_of(text, order, sizes(len(order)))
    keep = ~top if remove else top | (text.special & (protocol.name == "strict"))
    everything = np.ones((1, len(text)), dtype=bool)
    chances = yield from operator.chances(text, np.concatenate([everything, keep]))
    drops = chances[0, attribution.target] - chances[1:, attribution.target]
    return Measurement(protocol.summary(drops, operator.unit(text)), tuple(map(float, drops)))
