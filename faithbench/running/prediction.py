"""What a model says of a text, in words: names of classes, probabilities, the runner-up; labels; or a value."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.interfaces import Classifier
from faithbench.probability import probabilities
from faithbench.types import Link, Target

NAMED = 5  # outputs whose numbers are said
BARELY = 0.1  # lead of a class over the runner-up, in probability, from which on the model prefers it
AT_CHANCE = 5.0  # points of balanced accuracy above chance below which a model is at chance


def names_of(classifier: Classifier) -> tuple[str, ...]:
    """A name for each output: the model's own, or `LABEL_0` and so on."""
    count = classifier.classes
    own = tuple(getattr(classifier, "class_names", ()))
    if len(own) == count:
        return own
    return ("the value",) if count == 1 else tuple(f"LABEL_{number}" for number in range(count))


def named_target(target: Target, names: Sequence[str]) -> str:
    """What is explained: `Business`, or `Business rather than Sports`."""
    own = names[target.output]
    return own if target.against is None else f"{own} rather than {names[target.against]}"


def named_choice(output: int, names: Sequence[str], contrast: bool = True) -> str:
    """What is explained of two tokens: `sleep rather than sleeps`; without a contrast `sleep`."""
    return f"{names[output]} rather than {names[1 - output]}" if contrast else names[output]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a text.

    Args:
        logits: one for each output.
        link: what they mean.
        names: of the outputs.
    """

    logits: Float[np.ndarray, "outputs"]
    link: Link
    names: tuple[str, ...]

    @property
    def probabilities(self) -> Float[np.ndarray, "outputs"]:
        """Of the outputs; of a model that says values, the values."""
        return probabilities(self.logits, self.link)

    @property
    def predicted(self) -> int:
        """The likeliest output."""
        return int(self.logits.argmax())

    @property
    def usual(self) -> int:
        """The output that is explained where no other is named: the likeliest."""
        return self.predicted

    @property
    def title(self) -> str:
        """What it says, with the number: `Business 0.97`."""
        given = self._order if self.link == "identity" else self._given
        none = "no label; the likeliest: " if self.link == "sigmoid" and self.probabilities.max() <= 0.5 else ""
        return none + ", ".join(map(self.named, given[:NAMED])) + _more(len(given) - NAMED)

    def named(self, output: int) -> str:
        """An output with its number."""
        return f"{self.names[output]} {number(float(self.probabilities[output]), self.link != 'identity')}"

    def weighed(self, target: Target) -> str:
        """What changes as words are taken away."""
        return self.name(target)

    def name(self, target: Target) -> str:
        """What is explained: `Business`, or `Business rather than Sports`."""
        return named_target(target, self.names)

    def about(self, target: Target) -> Iterator[str]:
        """Sentences: the runner-up and others, what is explained, and how sure the model is of it."""
        given = self._given
        rest = [output for output in self._order if output not in given]
        if rest:
            others = ", ".join(map(self.named, rest[1:NAMED])) + _more(len(rest) - NAMED)
            first = "Runner-up" if self.link == "softmax" else "Not given; the likeliest"
            yield f"{first}: {self.named(rest[0])}{'; then ' if others else ''}{others}."
        if target.against is not None:
            lead = float(target.value(self.logits[None])[0])
            yield f"Explained: {self.name(target)}, a difference of logits of {number(lead)}."
        elif given[:1] != [target.output] or len(given) > 1:
            yield f"Explained: {self.name(target)}."
        yield from self._doubts(target)

    def _doubts(self, target: Target) -> Iterator[str]:
        given, chances, own = self._given, self.probabilities, target.output
        if self.link == "identity" or len(self.names) == 1:
            return
        if self.link == "sigmoid" and abs(chances[own] - 0.5) < BARELY / 2:
            yield f"The model is undecided on {self.names[own]}: an explanation of it explains little."
        if self.link == "softmax" and chances[given[0]] - chances[self._order[1]] < BARELY:
            first, second = self.named(given[0]), self.named(self._order[1])
            yield f"The model barely prefers {first} to {second}: an explanation of it explains little."

    @property
    def _order(self) -> list[int]:
        """Outputs, the likeliest first."""
        return [int(output) for output in np.argsort(-self.logits, kind="stable")]

    @property
    def _given(self) -> list[int]:
        """The outputs that the model says."""
        given = [output for output in self._order if self.probabilities[output] > 0.5] if self.link == "sigmoid" else []
        return self._order if self.link == "identity" else given or self._order[:1]


def number(value: float, probability: bool = False) -> str:
    """A number as people read it: two decimals for a probability, `<0.01` rather than `0.00` for what is not 0."""
    if not probability:
        return f"{value:.2f}".replace("-", "\u2212") if abs(value) < 1e4 else f"{value:.3g}".replace("-", "\u2212")
    if 0 < value < 0.005:
        return "<0.01"
    return ">0.99" if 0.995 < value < 1 else f"{value:.2f}"


def at_chance(report: Mapping[str, Any], classes: int) -> str:
    """A sentence where a training's report says that the model is hardly better than chance; else nothing."""
    reached, chance = _reached(report), 100 / max(classes, 1)
    if reached is None or classes < 2 or reached > chance + AT_CHANCE:
        return ""
    return (
        f"The model is at chance: its balanced accuracy on its test split is {reached:.1f} % (chance {chance:.1f} %), "
        "so there is little to be explained."
    )


def is_unproven(report: Mapping[str, Any], link: Link, classes: int) -> bool:
    """Whether a model says classes, and no report of a training says how often they are right."""
    return link != "identity" and classes > 1 and _reached(report) is None


def _reached(report: Mapping[str, Any]) -> float | None:
    """The balanced accuracy on the test split, in percent, where it is known."""
    reached = report.get("test", {}).get("balanced_accuracy")
    return None if not isinstance(reached, (int, float)) or math.isnan(reached) else float(reached)


def _more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""
