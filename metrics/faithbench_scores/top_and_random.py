"""How well a description predicts a neuron's activations where it fires most, and at random (Bills et al. 2023)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.activations import Description, Neuron
from faithbench.parameters import check_choice, check_seed, check_whole
from faithbench.types import Measurement
from faithbench_scores.correlating import FORMS, PEARSON, range_of_form, scored


@dataclass(frozen=True)
class TopAndRandom:
    """Correlation of simulated with real activations over held-out top windows and random ones, −100 to 100.

    Top windows are those with the largest activations, one a document. The others are drawn without regard to that, as
    in Bills et al. 2023, so that a top window may be among them and then counts twice. All tokens are joined. NaN where
    activations or simulation are constant in them. Where there are fewer windows, or documents, there are fewer.

    Args:
        top: windows with the largest activations; equal ones fall by lot.
        random: windows drawn at random.
        form: `pearson`, `spearman`, or `r2`, after calibration, which has no lower limit.
        seed: draws the windows, together with the neuron's name.
    """

    top: int = 5
    random: int = 5
    form: str = PEARSON
    seed: int = 0
    higher_is_better: ClassVar[bool] = True
    range = range_of_form

    def __post_init__(self) -> None:
        check_whole("top", self.top, 1, 10**6)
        check_whole("random", self.random, 0, 10**6)
        check_choice("form", self.form, FORMS)
        check_seed(self.seed)

    def __call__(self, neuron: Neuron, description: Description) -> Measurement:
        """The correlation, or R²."""
        draws = neuron.generator("top_and_random", self.seed)
        places = [neuron.evaluate.top(self.top, draws), neuron.evaluate.drawn(self.random, draws)]
        return scored(self.form, neuron, description, [neuron.evaluate.take(np.concatenate(places))])
