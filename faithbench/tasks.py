"""What there is to explain of a text: a task says which outputs, what their logits mean, and where the head reads.

Classification is the usual case. A new task is one frozen dataclass with `link`, `read` and `targets`, anywhere.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.probability import probabilities
from faithbench.questions import Logits
from faithbench.types import Link, Target, Text

Read = Literal["first", "last"]  # token of a text


class Task(Protocol):
    """What a model is asked to say of a text."""

    @property
    def link(self) -> Link:
        """From logits to what the model says."""

    @property
    def read(self) -> Read:
        """The position that the head reads."""

    def targets(self, text: Text) -> Asking[tuple[Target, ...]]:
        """What is to be explained of a text, one or more; the model may be asked first."""


@dataclass(frozen=True)
class Classification:
    """One class of several: the one that the model predicts is explained."""

    read: Read = "first"
    link: ClassVar[Link] = "softmax"

    def targets(self, text: Text) -> Asking[tuple[Target, ...]]:
        """The predicted class."""
        logits: Float[np.ndarray, "outputs"] = yield from logits_of(text)
        return (Target(int(logits.argmax())),)


CLASSIFICATION = Classification()


@dataclass(frozen=True)
class MultiLabel:
    """Any of several labels: each that the model gives is explained."""

    read: Read = "first"
    link: ClassVar[Link] = "sigmoid"

    def targets(self, text: Text) -> Asking[tuple[Target, ...]]:
        """The labels of a probability above ½; the likeliest where there is none."""
        logits: Float[np.ndarray, "outputs"] = yield from logits_of(text)
        given = np.flatnonzero(probabilities(logits, self.link) > 0.5)
        return tuple(Target(int(label)) for label in given) or (Target(int(logits.argmax())),)


@dataclass(frozen=True)
class Regression:
    """A value: the only output is explained."""

    read: Read = "first"
    link: ClassVar[Link] = "identity"

    def targets(self, text: Text) -> Asking[tuple[Target, ...]]:
        """The value; the model need not be asked."""
        return (Target(0),)
        yield


@dataclass(frozen=True)
class NextToken:
    """Which of two tokens comes next: that the good one does is explained, whatever the model prefers."""

    read: Read = "last"
    link: ClassVar[Link] = "softmax"

    def targets(self, text: Text) -> Asking[tuple[Target, ...]]:
        """The good candidate; the model need not be asked."""
        return (Target(0),)
        yield


def logits_of(text: Text) -> Asking[Float[np.ndarray, "outputs"]]:
    """The logits of a text as it is."""
    found: Float[np.ndarray, "1 outputs"] = yield Logits(text, np.ones((1, len(text)), dtype=bool))
    return found[0]
