"""Neurons in the shape of OpenAI's neuron-explainer: records of activations, and explanations with simulations.

The fields are those of the dataclasses `NeuronRecord` (`activations/activations.py`) and `NeuronSimulationResults`
(`explanations/explanations.py` in `neuron-explainer/neuron_explainer`) of github.com/openai/automated-interpretability
(Bills et al. 2023, "Language models can explain neurons in language models"), whose names each object bears.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from faithbench.records.neuron_parts import KeptNeuron, Shown
from faithbench.reporting.neurons import Said

SCALE = (
    "simulated_normalized_activations"  # theirs for numbers that are no activations: describers predict on any scale
)

Values = Sequence[float]


def neuron_record(neuron: KeptNeuron) -> dict[str, Any]:
    """A neuron as a `NeuronRecord`; what a run does not keep (skewness, kurtosis, quantiles) is None."""
    return {
        "dataclass_name": "NeuronRecord",
        "neuron_id": _neuron_id(neuron),
        "random_sample": [_activation_record(each) for each in neuron.windows if each.kind == "random"],
        "random_sample_by_quantile": None,
        "quantile_boundaries": None,
        "mean": neuron.mean,
        "variance": _square(neuron.deviation),
        "skewness": None,
        "kurtosis": None,
        "most_positive_activation_records": [_activation_record(each) for each in neuron.windows if each.kind == "top"],
    }


def simulation_results(neuron: KeptNeuron, said: Sequence[Said]) -> dict[str, Any]:
    """What is said of a neuron as `NeuronSimulationResults`, whose scores are correlations in the windows kept.

    Args:
        neuron: which.
        said: descriptions; those that failed are left out.
    """
    return {
        "dataclass_name": "NeuronSimulationResults",
        "neuron_id": _neuron_id(neuron),
        "scored_explanations": [_scored(neuron, each) for each in said if each.simulated],
    }


def _square(deviation: float) -> float | None:
    """None where it is beyond what a number can be."""
    square = deviation * deviation
    return square if math.isfinite(square) else None


def _neuron_id(neuron: KeptNeuron) -> dict[str, Any]:
    return {"dataclass_name": "NeuronId", "layer_index": neuron.layer, "neuron_index": neuron.number}


def _activation_record(window: Shown) -> dict[str, Any]:
    return {
        "dataclass_name": "ActivationRecord",
        "tokens": list(window.tokens),
        "activations": list(window.activations),
    }


def _scored(neuron: KeptNeuron, said: Said) -> dict[str, Any]:
    windows = list(zip(neuron.windows, said.simulated, strict=True))
    joined = [value for each in neuron.windows for value in each.activations]
    simulated = [value for each in said.simulated for value in each]
    return {
        "dataclass_name": "ScoredExplanation",
        "explanation": said.text,
        "scored_simulation": {
            "dataclass_name": "ScoredSimulation",
            "scored_sequence_simulations": [_sequence(*window) for window in windows],
            **_scores(joined, simulated),
        },
    }


def _sequence(window: Shown, simulated: Values) -> dict[str, Any]:
    return {
        "dataclass_name": "ScoredSequenceSimulation",
        "simulation": {
            "dataclass_name": "SequenceSimulation",
            "tokens": list(window.tokens),
            "expected_activations": list(simulated),
            "activation_scale": SCALE,
            "distribution_values": [[value] for value in simulated],
            "distribution_probabilities": [[1.0] for _ in simulated],
            "uncalibrated_simulation": None,
        },
        "true_activations": list(window.activations),
        **_scores(window.activations, simulated),
    }


def _scores(activations: Values, simulated: Values) -> dict[str, Any]:
    """The correlation; None where it is undefined, and for what takes a scale."""
    return {
        "ev_correlation_score": _correlation(activations, simulated),
        "rsquared_score": None,
        "absolute_dev_explained_score": None,
    }


def _correlation(activations: Values, simulated: Values) -> float | None:
    one, other = (np.array(values, dtype=np.float64) for values in (activations, simulated))
    if len(set(activations)) < 2 or len(set(simulated)) < 2:  # constant
        return None
    one, other = one - one.mean(), other - other.mean()
    found = float((one * other).sum() / math.sqrt(float((one**2).sum()) * float((other**2).sum())))
    return found if math.isfinite(found) else None
