"""How well a description predicts a neuron's activations in windows drawn at random (Bills et al. 2023)."""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.activations import Description, Neuron
from faithbench.parameters import check_choice, check_seed, check_whole
from faithbench.types import Measurement
from faithbench_scores.correlating import FORMS, PEARSON, range_of_form, scored


@dataclass(frozen=True)
class RandomOnly:
    """Correlation of simulated with real activations over windows drawn at random, −100 to 100.

    All tokens of the windows are joined. NaN where activations or simulation are constant in them. Where there are
    fewer windows, all are scored.

    Args:
        windows: how many; 5 is the published number, in which a unit that fires on 0.1 % of tokens is silent 73 % of
            the time.
        form: `pearson`, `spearman`, or `r2`, after calibration, which has no lower limit.
        seed: draws the windows, together with the neuron's name.
    """

    windows: int = 200
    form: str = PEARSON
    seed: int = 0
    higher_is_better: ClassVar[bool] = True
    range = range_of_form

    def __post_init__(self) -> None:
        check_whole("windows", self.windows, 1, 10**6)
        check_choice("form", self.form, FORMS)
        check_seed(self.seed)

    def __call__(self, neuron: Neuron, description: Description) -> Measurement:
        """The correlation, or R²."""
        places = neuron.evaluate.drawn(self.windows, neuron.generator("random_only", self.seed))
        return scored(self.form, neuron, description, [neuron.evaluate.take(places)])
