"""How well a description predicts a neuron's activations wherever they were recorded and are not fitted."""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.activations import Description, Neuron
from faithbench.parameters import check_choice
from faithbench.types import Measurement
from faithbench_scores.correlating import FORMS, PEARSON, range_of_form, scored


@dataclass(frozen=True)
class Full:
    """Correlation of simulated with real activations over all windows of the documents to evaluate on, −100 to 100.

    All tokens are joined. NaN where activations or simulation are constant in them.

    Args:
        form: `pearson`, `spearman`, or `r2`, after calibration, which has no lower limit.
    """

    form: str = PEARSON
    higher_is_better: ClassVar[bool] = True
    range = range_of_form

    def __post_init__(self) -> None:
        check_choice("form", self.form, FORMS)

    def __call__(self, neuron: Neuron, description: Description) -> Measurement:
        """The correlation, or R²."""
        return scored(self.form, neuron, description, [neuron.evaluate])
