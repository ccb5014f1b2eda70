"""Another score of activations that belong to other documents: what it gives to a description of nothing."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from faithbench.activations import Description, Neuron, Recording
from faithbench.conversations import Asking
from faithbench.parameters import check_seed
from faithbench.types import Measurement
from faithbench_scores import another

TRIES = 100  # at a token to exchange with, before all are looked through


@dataclass(frozen=True)
class Permuted:
    """Another score, with the activations of all tokens dealt out anew among the documents: 0 but for chance.

    Each token gets the activation of a token of another document, wherever that stood, in the documents to calibrate by
    and in those to evaluate on, so that neither words nor places nor topics are left. With n tokens a correlation is
    within ±200 / √n of 0 in 95 of 100 cases: ±1.8 for 200 windows of 64. As no document keeps its own activations, it
    is somewhat below 0 where few documents are told apart: −100 / (D − 1) for a description that tells all D of them.

    Where one document has more than half of all windows, some of them are left out; one document alone leaves none, and
    the score is NaN.

    Args:
        score: a spec, as in `permuted(random_only)`.
        seed: deals them out, together with the neuron's name.
    """

    score: str
    seed: int = 0
    kind: ClassVar[str] = "control"
    higher_is_better: ClassVar[bool | None] = None
    inner = another.inner
    range = another.limits
    version = another.version

    def __post_init__(self) -> None:
        check_seed(self.seed)
        another.build_inner(self)

    def __call__(self, neuron: Neuron, description: Description) -> Asking[Measurement] | Measurement:
        """The other score, or its questions."""
        draws = neuron.generator("permuted", self.seed)
        calibrate, evaluate = (across_documents(part, draws) for part in (neuron.calibrate, neuron.evaluate))
        found: Asking[Measurement] | Measurement = self.inner.object(
            replace(neuron, calibrate=calibrate, evaluate=evaluate), description
        )
        return found


def across_documents(recording: Recording, draws: np.random.Generator) -> Recording:
    """The same windows with activations of which none is of its own document."""
    recording = recording.take(_halved(recording.windows.documents, draws))
    shape = recording.activations.shape
    order = elsewhere(np.repeat(recording.windows.documents, shape[1]), draws)
    return Recording(recording.windows, recording.activations.ravel()[order].reshape(shape))


def elsewhere(owners: Int[np.ndarray, "tokens"], draws: np.random.Generator) -> Int[np.ndarray, "tokens"]:
    """An order at random in which nothing is where another of its owner's was; none may own more than half.

    All orders are drawn from, and what is amiss is then exchanged with others at random.
    """
    order = draws.permutation(len(owners))
    for place in np.flatnonzero(owners[order] == owners).tolist():
        if owners[order[place]] == owners[place]:  # it may have been another's partner
            other = _partner(owners, order, place, draws)
            order[place], order[other] = order[other], order[place]
    return order


def _partner(owners: Int[np.ndarray, "tokens"], order: np.ndarray, place: int, draws: np.random.Generator) -> int:
    """A place to exchange with, after which both are right."""
    owner = owners[place]
    for other in draws.integers(len(owners), size=TRIES):
        if owners[other] != owner and owners[order[other]] != owner:
            return int(other)
    return int(draws.choice(np.flatnonzero((owners != owner) & (owners[order] != owner))))


def _halved(documents: Int[np.ndarray, "windows"], draws: np.random.Generator) -> Int[np.ndarray, "some"]:
    """Places of windows, all but those by which one document has more than half."""
    kept = np.arange(len(documents))
    names, counts = np.unique(documents, return_counts=True)
    if not len(names) or 2 * counts.max() <= len(documents):
        return kept
    largest = documents == names[counts.argmax()]
    some = draws.permutation(np.flatnonzero(largest))[: np.count_nonzero(~largest)]
    return np.sort(np.concatenate([np.flatnonzero(~largest), some]))
