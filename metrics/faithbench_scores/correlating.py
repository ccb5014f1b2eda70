"""What compares activations with their simulation, over all tokens of some windows joined (Bills et al. 2023)."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.activations import Description, Neuron, Recording, Windows, deviation
from faithbench.types import Measurement

PEARSON, SPEARMAN, R2 = FORMS = ("pearson", "spearman", "r2")
Numbers = Float[np.ndarray, "tokens"]


def _range(self: Any) -> tuple[float, float]:
    """The least and the largest value of a score's form."""
    return (-math.inf if self.form == R2 else -100.0, 100.0)


range_of_form = property(_range)  # of scores, which take it into their class


def scored(form: str, neuron: Neuron, description: Description, recordings: Sequence[Recording]) -> Measurement:
    """How a neuron's activations in windows compare with their simulation, in percent.

    Args:
        form: of `FORMS`: a correlation, or R² of the simulation after the linear map that fits best on what is there
            to calibrate by.
        neuron: whose those are.
        description: simulates.
        recordings: windows that are scored, all tokens joined.
    """
    some = [recording for recording in recordings if recording.activations.size]
    actual = joined([recording.activations for recording in some])
    simulated = joined([simulation(description, recording.windows) for recording in some])
    if form != R2:
        return correlated(actual, simulated, form)
    line = calibration(neuron.calibrate, description)
    if line is None:
        return Measurement(math.nan, (deviation(actual), deviation(simulated), 0.0))
    return explained(actual, simulated, line)


def joined(values: Sequence[Float[np.ndarray, "_ _"]]) -> Numbers:
    """All numbers in a row, in double precision."""
    return np.concatenate([np.empty(0), *(np.asarray(each, dtype=np.float64).ravel() for each in values)])


def simulation(description: Description, windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """What a description predicts, in numbers of our own.

    Raises:
        ValueError: it is not a finite number for each token.
    """
    values = np.array(description.simulate(windows), dtype=np.float64)
    if values.shape != windows.ids.shape:
        raise ValueError(f"the simulation has the shape {values.shape}, and the windows have {windows.ids.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("the simulation has numbers that are not finite.")
    return values


def correlated(actual: Numbers, simulated: Numbers, form: str = PEARSON) -> Measurement:
    """Pearson's or Spearman's correlation in percent; NaN where either is constant. Parts: as `Score` says."""
    spread = (deviation(actual), deviation(simulated))
    parts = (*spread, float(len(actual)))
    if not (spread[0] and spread[1]):
        return Measurement(math.nan, parts)
    return Measurement(100 * CORRELATIONS[form](actual, simulated), parts)


def pearson(one: Numbers, other: Numbers) -> float:
    """Correlation of two that are not constant, −1 to 1."""
    first, second = _standing(one), _standing(other)
    return float(np.clip(first @ second / math.sqrt((first @ first) * (second @ second)), -1, 1))


def spearman(one: Numbers, other: Numbers) -> float:
    """Correlation of the ranks of two that are not constant, −1 to 1; of equal numbers each has their mean rank."""
    return pearson(ranks(one), ranks(other))


def ranks(values: Numbers) -> Numbers:
    """Ranks from 1, the mean where numbers are equal."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: Numbers = (last - (counts - 1) / 2)[place]
    return mean_rank


CORRELATIONS: Mapping[str, Callable[[Numbers, Numbers], float]] = {PEARSON: pearson, SPEARMAN: spearman}


def calibration(calibrate: Recording, description: Description) -> tuple[float, float] | None:
    """Slope and height of the line from simulation to activation with the least squared error; None without windows.

    A constant simulation has slope 0, and the height is the mean of the activations.
    """
    if not calibrate.activations.size:
        return None
    actual, simulated = joined([calibrate.activations]), joined([simulation(description, calibrate.windows)])
    slope = 0.0
    if spread := deviation(simulated):
        slope = float(np.mean((simulated - simulated.mean()) / spread * (actual - actual.mean()))) / spread
    return slope, float(actual.mean() - slope * simulated.mean())


def explained(actual: Numbers, simulated: Numbers, line: tuple[float, float]) -> Measurement:
    """R² in percent of a simulation on the scale of activations; NaN where those are constant.

    1 − Σ(a − s)² / Σ(a − mean a)²: 0 is as good as the mean of the windows themselves, and it may be negative.
    """
    spread = deviation(actual)
    parts = (spread, deviation(simulated), float(len(actual)))
    if not spread:
        return Measurement(math.nan, parts)
    error = (actual - (line[0] * simulated + line[1])) / spread
    return Measurement(100 * (1 - float(np.mean(error**2))), parts)


def _standing(values: Numbers) -> Numbers:
    """Less their mean, the largest 1 in size."""
    scaled = values / np.abs(values).max()
    centred = scaled - scaled.mean()
    return centred / np.abs(centred).max()
