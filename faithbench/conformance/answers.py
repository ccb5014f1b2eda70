"""What components come to when an engine answers their questions, and whether two answers are alike."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from faithbench.answering.engine import Engine
from faithbench.conformance.crowded import Crowded
from faithbench.conversations import Asking, Outcome, attempt
from faithbench.interfaces import Classifier
from faithbench.types import Text

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
Numbers = Float[np.ndarray, "n"]
TOLERANCE = 1e-5  # of a text's largest score; of the texts' largest value


def outcomes(
    classifier: Classifier, askings: Mapping[K, Asking[T]], batch_tokens: int | None = None
) -> dict[K, Outcome[T]]:
    """What all come to when one engine answers them side by side; errors too."""
    found = dict(Engine(classifier, batch_tokens).run(attempt(*item) for item in askings.items()))
    return {case: found[case] for case in askings}


def answers(classifier: Classifier, askings: Mapping[K, Asking[T]], batch_tokens: int | None = None) -> dict[K, T]:
    """The same, where none may fail."""
    found = outcomes(classifier, askings, batch_tokens)
    for case, outcome in found.items():
        assert outcome.error is None, f"the component failed on {case!r}: {outcome.error}"
    return {case: outcome.value for case, outcome in found.items()}  # type: ignore[misc]  # no error: a value


def answers_alone(
    classifier: Classifier, texts: Sequence[Text], asked: Callable[[Sequence[Text]], Mapping[K, Asking[T]]]
) -> dict[K, T]:
    """Each text by itself, and each row a batch of its own."""
    return {case: found for text in texts for case, found in answers(classifier, asked([text]), 1).items()}


def answers_in_company(
    classifier: Classifier, texts: Sequence[Text], asked: Callable[[Sequence[Text]], Mapping[K, Asking[T]]]
) -> dict[K, T]:
    """All texts side by side, in another order, and each batch with all of them in it."""
    return answers(Crowded(classifier, texts), asked(texts[::-1]))


def check_texts(texts: Sequence[Text]) -> None:
    """Raises an AssertionError where texts could not show a fault."""
    assert len({text.id for text in texts}) == len(texts), "the texts to check with must have different ids."
    assert len({len(text) for text in texts}) > 1, "the texts to check with must have different lengths."


def alike(one: Numbers, other: Numbers, scale: float | None = None) -> bool:
    """Whether numbers are the same but for rounding."""
    allowed = TOLERANCE * (largest(one) if scale is None else scale)
    return one.shape == other.shape and np.allclose(one, other, rtol=0, atol=allowed, equal_nan=True)


def largest(values: Numbers) -> float:
    """The largest absolute value; 0 if there is none."""
    return float(np.nanmax(np.abs(values), initial=0.0))
