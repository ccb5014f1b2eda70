"""What every score of neurons' descriptions must keep: the clauses, and the trial whose answers they look at."""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.activations import Neuron, Overwritten, Recording, Score, Windows
from faithbench.conformance import ruled
from faithbench.conformance.answers import TOLERANCE, alike
from faithbench.conformance.told import traits_of
from faithbench.interfaces import Traits
from faithbench.types import Measurement

PERFECT, RANDOM, CONSTANT = "perfect", "random", "constant"
DRAWS = 3  # random descriptions of each neuron
Case = tuple[str, str]  # a neuron's name, and which description


def check_score(component: Score) -> None:
    """Checks all that a score must keep, on neurons whose rule is known.

    Args:
        component: the score.

    Raises:
        AssertionError: says what it does not keep.
    """
    trial = ScoreTrial(component)
    for clause in SCORE_CLAUSES:
        clause(trial)


@dataclass(eq=False)
class Kept:
    """A description that gives the same array each time, so that it is seen who writes into it."""

    rule: ruled.Rule
    text: str = "a rule"
    bits: float = 8.0
    given: dict[int, tuple[Windows, np.ndarray, bytes]] = field(default_factory=dict)

    def simulate(self, windows: Windows) -> Float[np.ndarray, "windows tokens"]:
        """What the rule gives, and keeps."""
        values = np.array(self.rule(windows))
        self.given[id(values)] = (windows, values, values.tobytes())
        return values

    @property
    def spoilt(self) -> bool:
        """Whether somebody has written into what it gave."""
        return any(values.tobytes() != before for _, values, before in self.given.values())


@dataclass(frozen=True, eq=False)
class ScoreTrial:
    """A score put to the question: each answer is had once, when the first clause asks for it."""

    component: Score
    neurons: Sequence[Neuron] = field(default_factory=ruled.neurons)

    @cached_property
    def traits(self) -> Traits:
        """What the score says of itself."""
        return traits_of("score", self.component)

    @cached_property
    def first(self) -> dict[Case, Measurement]:
        """Its values of each neuron under each description."""
        return {
            (neuron.unit, name): measured(self.component, neuron, Kept(rule))
            for neuron in self.neurons
            for name, rule in descriptions(neuron).items()
        }

    def of(self, description: str) -> list[Measurement]:
        """Those of one description that are defined."""
        found = [measurement for (_, name), measurement in self.first.items() if name.startswith(description)]
        return [measurement for measurement in found if not math.isnan(measurement.value) and measurement.weight > 0]


def descriptions(neuron: Neuron) -> Mapping[str, ruled.Rule]:
    """What it is tried on: the rule of the neuron itself, rules of nothing, and the same number for all tokens."""
    draws = {f"{RANDOM} {draw}": ruled.drawn(draw) for draw in range(DRAWS)}
    return {PERFECT: ruled.rule_of(neuron), **draws, CONSTANT: lambda windows: np.full(windows.ids.shape, 0.1)}


def measured(component: Score, neuron: Neuron, description: Any) -> Any:
    """The value, with the score's questions to the model answered: by how far the neuron is from its rule."""
    found: Any = component(neuron, description)
    if not isinstance(found, Generator):
        return found
    try:
        question = next(found)
        while True:
            assert isinstance(question, Overwritten), f"{component!r} yields {question!r}, which is no Overwritten."
            question = found.send(ruled.moved(question, ruled.rule_of(neuron)))
    except StopIteration as stop:
        return stop.value


def gives_a_value(trial: ScoreTrial) -> None:
    """The answer is a measurement in floats: finite, or NaN where it is not defined, as for constants; no error."""
    component = trial.component
    for (unit, name), found in trial.first.items():
        told = f"of neuron {unit!r} and a {name} description"
        assert isinstance(found, Measurement), (
            f"{component!r} gives a {type(found).__name__}, not a Measurement, {told}."
        )
        for value in (found.value, *found.parts, found.weight):
            kind = type(value).__name__
            assert isinstance(value, float), f"{component!r} gives a {kind}, not a float, {told}."
            assert not math.isinf(value), f"{component!r} gives an infinite value {told}."


def scores_alike_again(trial: ScoreTrial) -> None:
    """A second time, in another order and among others, each neuron has the same value, to the last bit."""
    for (unit, name), found in reversed(trial.first.items()):
        neuron = next(neuron for neuron in trial.neurons if neuron.unit == unit)
        again = measured(trial.component, neuron, Kept(descriptions(neuron)[name]))
        assert numbers(found).tobytes() == numbers(again).tobytes(), (
            f"{trial.component!r} gives neuron {unit!r} first {found.value!r}, then {again.value!r}."
        )


def leaves_all_as_found_scoring(trial: ScoreTrial) -> None:
    """Neither activations nor what a description gives are written into."""
    for neuron in trial.neurons:
        description = Kept(ruled.rule_of(neuron))
        before = _content(neuron)
        measured(trial.component, neuron, description)
        assert _content(neuron) == before, f"{trial.component!r} changes neuron {neuron.unit!r}."
        assert not description.spoilt, f"{trial.component!r} writes into what a description simulates."


def trait_range_of_score_holds(trial: ScoreTrial) -> None:
    """No value is outside the `range` that the score gives."""
    if trial.traits.range is None:
        return
    low, high = trial.traits.range
    slack = TOLERANCE * max(abs(end) for end in (low, high, 1) if math.isfinite(end))
    for (unit, _), found in trial.first.items():
        inside = math.isnan(found.value) or low - slack <= found.value <= high + slack
        assert inside, f"{trial.component!r} says range = ({low}, {high}), but gives neuron {unit!r} {found.value!r}."


def prefers_the_truth(trial: ScoreTrial) -> None:
    """If the score has a direction, descriptions by the neurons' own rules have at least what random ones have."""
    traits = trial.traits
    if not traits.direction or traits.kind != "faithfulness":
        return
    best, chance = _mean(trial.of(PERFECT)), _mean(trial.of(RANDOM))
    assert traits.direction * (best - chance) >= -TOLERANCE * max(abs(best), abs(chance)), (
        f"{trial.component!r} says higher_is_better = {traits.higher_is_better}, but descriptions by the neurons' own "
        f"rules have {best:.6g} on average, and random ones have {chance:.6g}."
    )


def scores_alike_in_any_precision(trial: ScoreTrial) -> None:
    """The same numbers, of activations and simulations, in half, single or double precision have the same value."""
    for neuron in trial.neurons:
        found = trial.first[neuron.unit, PERFECT]
        for kind in (np.float16, np.float32):
            other = measured(trial.component, _as(neuron, kind), Kept(partial(_in, kind, ruled.rule_of(neuron))))
            assert alike(numbers(found), numbers(other), 1.0), (
                f"{trial.component!r} gives neuron {neuron.unit!r} {found.value!r}, and {other.value!r} when the same "
                f"numbers are {kind.__name__}."
            )


SCORE_CLAUSES: tuple[Callable[[ScoreTrial], None], ...] = (
    gives_a_value,
    scores_alike_again,
    leaves_all_as_found_scoring,
    trait_range_of_score_holds,
    prefers_the_truth,
    scores_alike_in_any_precision,
)


def numbers(found: Measurement) -> Float[np.ndarray, "numbers"]:
    """All numbers of a measurement."""
    return np.array([found.value, *found.parts, found.weight], dtype=np.float64)


def _mean(found: Sequence[Measurement]) -> float:
    if not found:
        return math.nan
    return float(np.average([one.value for one in found], weights=[one.weight for one in found]))


def _content(neuron: Neuron) -> tuple[bytes, ...]:
    parts = (neuron.fit, neuron.calibrate, neuron.evaluate)
    return tuple(array.tobytes() for part in parts for array in (part.activations, part.windows.ids))


def _as(neuron: Neuron, kind: type) -> Neuron:
    """The neuron with activations of another number type."""
    fit, calibrate, evaluate = (
        Recording(part.windows, part.activations.astype(kind))
        for part in (neuron.fit, neuron.calibrate, neuron.evaluate)
    )
    return replace(neuron, fit=fit, calibrate=calibrate, evaluate=evaluate)


def _in(kind: type, rule: ruled.Rule, windows: Windows) -> np.ndarray:
    return rule(windows).astype(kind)
