"""How much of what a neuron does to the next token its description keeps: it stands in the neuron's place."""

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.activations import Description, Neuron, Overwritten, deviation
from faithbench.parameters import check_seed, check_whole
from faithbench.types import Measurement
from faithbench_scores.correlating import calibration, simulation

LEAST = 1e-9  # nats a token: less is rounding of the model's


@dataclass(frozen=True)
class Ablation:
    """1 − JSD(neuron := simulation) / JSD(neuron := its mean), in percent, at most 100.

    The Jensen-Shannon divergence of the model's next-token distributions from its own, averaged over the tokens of
    windows drawn at random: 100 where the simulation does what the neuron does, 0 where it does no more than the mean,
    negative where it does harm. The simulation is put on the scale of activations by the line that fits best on the
    documents to calibrate by, and the mean is that of the same documents, so that a constant description has 0.

    The weight is the denominator, so that means over neurons are ratios of means, and neurons count as they matter.
    NaN, with weight 0, where the mean in its place changes nothing (below 1e-9 nats a token). The fourth and fifth of
    `parts` are the two divergences in nats a token.

    Costs two forward passes for each window.

    Args:
        windows: how many.
        seed: draws the windows, together with the neuron's name.
    """

    windows: int = 40
    seed: int = 0
    higher_is_better: ClassVar[bool] = True
    on_request: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-math.inf, 100.0)

    def __post_init__(self) -> None:
        check_whole("windows", self.windows, 1, 10**6)
        check_seed(self.seed)

    def __call__(
        self, neuron: Neuron, description: Description
    ) -> Generator[Overwritten, Float[np.ndarray, "windows tokens"], Measurement]:
        """Asks for both divergences, and compares them."""
        recording = neuron.evaluate.take(neuron.evaluate.drawn(self.windows, neuron.generator("ablation", self.seed)))
        windows, line = recording.windows, calibration(neuron.calibrate, description)
        if line is None or not len(windows):
            return Measurement(math.nan, (0.0, 0.0, 0.0), weight=0.0)
        simulated = simulation(description, windows)
        parts = (deviation(recording.activations), deviation(simulated), float(windows.ids.size))
        mean = np.full(windows.ids.shape, neuron.calibrate.activations.mean(dtype=np.float64))
        by_mean = float(np.mean((yield Overwritten(windows, mean))))
        if by_mean < LEAST:
            return Measurement(math.nan, (*parts, math.nan, 0.0), weight=0.0)
        by_simulation = float(np.mean((yield Overwritten(windows, line[0] * simulated + line[1]))))
        return Measurement(100 * (1 - by_simulation / by_mean), (*parts, by_simulation, by_mean), weight=by_mean)
