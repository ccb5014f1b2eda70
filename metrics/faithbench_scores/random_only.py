"""How well a description predicts a neuron's activations in windows drawn at random."""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.activations import Description, Neuron
from faithbench.parameters import check_seed, check_whole
from faithbench.types import Measurement
from faithbench_scores.correlating import correlated


@dataclass(frozen=True)
class RandomOnly:
    """Correlation of simulated with real activations over windows drawn at random, −100 to 100.

    Args:
        windows: how many; 5 is the published number, with which a rare neuron is silent most of the time.
        seed: draws them.
    """

    windows: int = 200
    seed: int = 0
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-100.0, 100.0)

    def __post_init__(self) -> None:
        check_whole("windows", self.windows, 1, 10**6)
        check_seed(self.seed)

    def __call__(self, neuron: Neuron, description: Description) -> Measurement:
        """The correlation; NaN where activations or simulation are constant."""
        there = len(neuron.evaluate.windows)
        chosen = neuron.generator("random_only", self.seed).permutation(there)[: self.windows]
        scored = neuron.evaluate.take(chosen)
        return correlated(scored.activations, description.simulate(scored.windows))
