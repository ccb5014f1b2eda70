"""Another score on the documents that descriptions were made from: how much of it is learned by heart."""

from dataclasses import dataclass, replace
from typing import ClassVar

from faithbench.activations import Description, Neuron
from faithbench.conversations import Asking
from faithbench.types import Measurement
from faithbench_scores import another


@dataclass(frozen=True)
class Fitted:
    """Another score, of what the description was made from: a check for leaks, and no score.

    By how much it exceeds the score itself is learned by heart. With noise that it was fitted to, a table of tokens has
    100 √((types − 1) / (tokens − 1)) or thereabouts, and with other noise 0: where it has that by the score itself,
    documents that were fitted have got among those that are scored.

    Args:
        score: a spec, as in `fitted(full)`.
    """

    score: str
    kind: ClassVar[str] = "control"
    higher_is_better: ClassVar[bool | None] = None
    inner = another.inner
    range = another.limits
    version = another.version

    def __post_init__(self) -> None:
        another.build_inner(self)

    def __call__(self, neuron: Neuron, description: Description) -> Asking[Measurement] | Measurement:
        """The other score, or its questions."""
        found: Asking[Measurement] | Measurement = self.inner.object(replace(neuron, evaluate=neuron.fit), description)
        return found
