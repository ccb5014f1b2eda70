"""What a component must offer. Protocols: there is nothing to inherit.

Optional attributes that the core reads if they are there: `version: int` (raised when numbers change), `needs:
tuple[str, ...]` on metrics (fields of `Text` that must be present, e.g. "evidence"), `class_sensitive: bool` on
explainers (False where scores do not depend on the target class), `lr: float` on data sets (fine-tuning rate).
"""

from collections.abc import Sequence
from typing import Any, Protocol

from faithbench.questions import Asking
from faithbench.types import Attribution, Example, Measurement, Text


class Dataset(Protocol):
    """A labelled data set with the splits `train`, `validation` and `test`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each label, in the order of the labels 0, 1, …"""

    def load(self, split: str) -> Sequence[Example]:
        """All rows of a split."""


class Explainer(Protocol):
    """Says of one text how much each token mattered for a class."""

    def __call__(self, text: Text, target: int) -> Asking[Attribution]:
        """A generator: yields questions to the model, receives their answers, returns an attribution."""


class Metric(Protocol):
    """Gives one value to one attribution; means and intervals are made elsewhere."""

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        """A generator: yields questions to the model, receives their answers, returns a measurement."""


class Model(Protocol):
    """A description of a model; `faithbench.models.prepare` makes the zoo's real, and plugins bring `prepare`."""

    def prepare(self, dataset: Dataset, **options: Any) -> Any:
        """The classifier, trained for the data set if need be."""
