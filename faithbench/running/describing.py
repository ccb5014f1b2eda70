"""Describes one neuron and scores the descriptions: what components raise, or return wrongly, is an error of theirs."""

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float

from faithbench.activations import Description, Neuron, Overwritten, Recording, Windows
from faithbench.answering.returned import LARGEST, check_measurement
from faithbench.conversations import Answer, Asking, Outcome, alone, ask
from faithbench.plugins.spec import Component
from faithbench.records.neuron_parts import KeptDescription
from faithbench.running.measuring import record_of
from faithbench.running.remaining import Cell
from faithbench.types import Measurement, Record, Target, rows_of

T = TypeVar("T")
Told = TypeVar("Told", bound=Neuron | Recording | Windows)

LONGEST = 100_000  # characters of a description
AT_ONCE = 2**20  # bytes that are compared
Simulation: TypeAlias = Float[np.ndarray, "windows tokens"]
Answering = Callable[[Neuron, Overwritten], Answer]


@dataclass(frozen=True)
class Studied:
    """What came of one neuron.

    Args:
        records: of its cells.
        descriptions: of each describer that was asked.
        seconds: that each of these took.
    """

    records: tuple[Record, ...]
    descriptions: tuple[KeptDescription, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Checked:
    """A description whose simulations are looked at before they are used, and can be had by nobody else."""

    description: Description
    text: str
    bits: float

    def simulate(self, windows: Windows) -> Float[np.ndarray, "windows tokens"]:
        """The activations that it predicts, in float64, all of them finite.

        Raises:
            ValueError: it gives something else.
        """
        given: object = self.description.simulate(own(windows))
        try:
            array = np.array(given, dtype=np.float64)
        except Exception as error:  # whatever the thing raises
            raise ValueError(f"simulate gave a {type(given).__name__}, not an array of numbers") from error
        if array.shape != windows.ids.shape:
            raise ValueError(
                f"simulate gave shape {array.shape} for {windows.ids.shape[0]} windows of {windows.ids.shape[1]} tokens"
            )
        if not (np.abs(array) <= LARGEST).all():
            raise ValueError(f"simulate gave numbers that are not finite, or beyond {LARGEST:g}")
        return array


@dataclass(frozen=True)
class Study:
    """One model on one data set of neurons: what is to be described by whom, and scored how.

    The seconds of a record are those of the score, and an equal share of those that the description took; its rows are
    the windows that the model was asked.

    Args:
        identity: what all records have in common.
        describers: by identity.
        scores: by identity.
        answer: what scores ask of the model.
        most_seconds: that a component may take for one neuron; None for any time.
    """

    identity: Mapping[str, str]
    describers: Mapping[str, Component]
    scores: Mapping[str, Component]
    answer: Answering
    most_seconds: float | None = None

    def of(self, neuron: Neuron, cells: Sequence[Cell], also: Sequence[str], shown: Windows) -> Studied:
        """Describes a neuron once by each describer, and scores that.

        Args:
            neuron: which.
            cells: that are left of it.
            also: describers that are asked whether or not they have cells left.
            shown: windows in which people see what is simulated.
        """
        records, descriptions, seconds = list[Record](), list[KeptDescription](), dict[str, float]()
        watch = Watch(neuron, shown)
        for name in dict.fromkeys((*(describer for describer, _ in cells), *also)):
            made = self._described(name, neuron, watch)
            simulated = self._simulated(made, shown, watch)
            made = made if simulated.error is None else replace(made, value=None, error=simulated.error)
            seconds[name] = made.seconds
            descriptions.append(self._kept(name, neuron, made, simulated))
            scores = [score for describer, score in cells if describer == name]
            for score in scores:
                outcome = self._scored(score, neuron, made, watch)
                outcome.seconds += made.seconds / len(scores)
                described, scored = self.describers[name], self.scores[score]
                target = Target(neuron.layer)
                records.append(record_of(self.identity, described, scored, neuron.unit, target, outcome))
        return Studied(tuple(records), tuple(descriptions), seconds)

    def _described(self, name: str, neuron: Neuron, watch: "Watch") -> Outcome[Checked]:
        def asking() -> Asking[Checked]:
            return check_description(
                (yield from ask(self.describers[name].object, own(neuron.fit), own(neuron.calibrate)))
            )

        return watch.checked(alone(asking(), _nothing_to_ask, (), self.most_seconds))

    def _simulated(self, made: Outcome[Checked], windows: Windows, watch: "Watch") -> Outcome[Simulation]:
        """What a description predicts in some windows; where there is none, an error likewise."""
        description = made.value
        if description is None:
            return Outcome(error=f"describer failed: {made.error}")

        def asking() -> Asking[Simulation]:
            yield from ()
            return description.simulate(windows)

        outcome = watch.checked(alone(asking(), _nothing_to_ask, (), self.most_seconds))
        return outcome if outcome.error is None else replace(outcome, error=f"describer failed: {outcome.error}")

    def _kept(
        self, name: str, neuron: Neuron, made: Outcome[Checked], simulated: Outcome[Simulation]
    ) -> KeptDescription:
        said = neuron.unit, name, str(self.describers[name].version)
        if made.value is None or simulated.value is None:
            return KeptDescription(*said, "", math.nan, (), made.error)
        rows = tuple(tuple(map(float, row)) for row in simulated.value)
        return KeptDescription(*said, made.value.text, made.value.bits, rows)

    def _scored(self, score: str, neuron: Neuron, made: Outcome[Checked], watch: "Watch") -> Outcome[Measurement]:
        description = made.value
        if description is None:
            return Outcome(error=made.error)

        def asking() -> Asking[Measurement]:
            return check_measurement((yield from ask(self.scores[score].object, own(neuron), description)))

        def answer(question: Overwritten) -> Answer:
            return self.answer(neuron, question)

        return watch.checked(alone(asking(), answer, Overwritten, self.most_seconds))


class Watch:
    """Sees whether a component has written into what others are given, as torch lets it, and puts that back.

    Args:
        neuron: what components are given.
        shown: likewise.
    """

    def __init__(self, neuron: Neuron, shown: Windows) -> None:
        recordings = (neuron.fit, neuron.calibrate, neuron.evaluate)
        of_windows = [each for windows in (shown, *(r.windows for r in recordings)) for each in _arrays(windows)]
        self._arrays = [*(recording.activations for recording in recordings), *of_windows]
        self._before = [array.tobytes() for array in self._arrays]

    def checked(self, outcome: Outcome[T]) -> Outcome[T]:
        """The outcome of a component; an error where it has written into anything, all of which is as it was then."""
        changed = False
        for array, before in zip(self._arrays, self._before, strict=True):
            if not _is_same(array, before):
                changed = True
                ctypes.memmove(array.ctypes.data, before, len(before))
        return replace(outcome, value=None, error="it wrote into the activations it was given") if changed else outcome


def _arrays(windows: Windows) -> list[np.ndarray]:
    arrays = (windows.ids, windows.documents, windows.following, windows.places)
    return [array for array in arrays if array is not None]


def _is_same(array: np.ndarray, before: bytes) -> bool:
    now, then = (np.frombuffer(each, np.uint8) for each in (array.data.cast("B") if array.size else b"", before))
    return all(np.array_equal(now[start:][:AT_ONCE], then[start:][:AT_ONCE]) for start in range(0, len(then), AT_ONCE))


def own(told: Told) -> Told:
    """The same for one component alone, whatever it makes of it; the numbers, which `Watch` looks after, are theirs."""
    parts = {each.name: getattr(told, each.name) for each in fields(told)}
    inner: dict[str, Any] = {name: own(part) for name, part in parts.items() if isinstance(part, (Recording, Windows))}
    arrays = {name: part for name, part in parts.items() if isinstance(part, np.ndarray)}
    inner |= {name: rows_of(part) for name, part in arrays.items()}
    return replace(told, **inner)


def check_description(found: object) -> Checked:
    """A description as scores can be given it: with a text, a length from 0, and a function that simulates.

    Raises:
        ValueError: it is something else.
    """
    kind = type(found).__name__
    text, bits, simulate = (getattr(found, name, None) for name in ("text", "bits", "simulate"))
    if not isinstance(text, str) or not callable(simulate):
        raise ValueError(f"gave a {kind}, not a description with text, bits and simulate")
    if isinstance(bits, bool) or not isinstance(bits, (int, float, np.integer, np.floating)):
        raise ValueError(f"gave a description whose bits are a {type(bits).__name__}, not a number")
    if not 0 <= bits <= LARGEST:
        raise ValueError(f"gave a description of {bits} bits; a length is finite and not below 0")
    if len(text) > LONGEST:
        raise ValueError(f"gave a description of {len(text):,} characters; {LONGEST:,} are allowed")
    return Checked(found, text, float(bits))  # type: ignore[arg-type]  # it has what a description has


def _nothing_to_ask(question: object) -> Answer:
    raise TypeError("a describer asks the model nothing")
