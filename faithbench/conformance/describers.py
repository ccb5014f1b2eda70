"""What every describer of neurons must keep: the clauses, and the trial whose answers they look at.

That a describer never sees what it is scored on needs no clause: it is given two parts of the documents, and a
description is given tokens alone.
"""

import hashlib
import math
import pickle  # of what has just been written
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.activations import Describer, Description, Recording, Windows
from faithbench.conformance.answers import alike, largest
from faithbench.conformance.recordings import Recorded, recordings
from faithbench.conformance.told import traits_of

NEAR = 1e-4  # of the largest number of a simulation: what company may change, as in a language model's batches
Simulation = Float[np.ndarray, "windows tokens"]


def check_describer(component: Describer) -> None:
    """Checks all that a describer of neurons must keep.

    Args:
        component: the describer.

    Raises:
        AssertionError: says what it does not keep.
    """
    trial = DescriberTrial(component)
    for clause in DESCRIBER_CLAUSES:
        clause(trial)


@dataclass(frozen=True, eq=False)
class DescriberTrial:
    """A describer put to the question: each answer is had once, when the first clause asks for it."""

    component: Describer
    neurons: Mapping[str, Recorded] = field(default_factory=recordings)
    before: Mapping[str, str] = field(init=False)  # the recordings, before any is shown

    def __post_init__(self) -> None:
        traits_of("describer", self.component)
        getattr(self.component, "resolve", lambda: None)()
        object.__setattr__(self, "before", self.content())

    @cached_property
    def descriptions(self) -> dict[str, Description]:
        """What it says of each neuron."""
        return {name: self.component(each.fit, each.calibrate) for name, each in self.neurons.items()}

    @cached_property
    def again(self) -> dict[str, Description]:
        """What it says when it is asked once more, in another order."""
        return {name: self.component(each.fit, each.calibrate) for name, each in reversed(list(self.neurons.items()))}

    @cached_property
    def simulations(self) -> dict[str, Simulation]:
        """What descriptions predict in documents that the describer has not seen."""
        return self.simulated(self.descriptions)

    def simulated(self, descriptions: Mapping[str, Description]) -> dict[str, Simulation]:
        """What other descriptions of the same neurons predict there."""
        return {name: descriptions[name].simulate(each.unseen) for name, each in self.neurons.items()}

    def content(self) -> dict[str, str]:
        """A picture of all that a describer is shown."""
        return {name: _content(each) for name, each in self.neurons.items()}


def gives_a_description(trial: DescriberTrial) -> None:
    """Every neuron, also a silent one, has a description: a text of one line and a length in bits, finite, from 0."""
    for name, description in trial.descriptions.items():
        told = f"{trial.component!r} gives {name}"
        text, bits = _attribute(description, "text"), _attribute(description, "bits")
        assert isinstance(text, str), f"{told} a {type(description).__name__} whose text is {text!r}."
        assert text.strip(), f"{told} an empty text."
        assert len(text.splitlines()) == 1, f"{told} a text of several lines, {text!r}."
        good = isinstance(bits, (int, float)) and math.isfinite(bits) and bits >= 0
        assert good, f"{told} a length of {bits!r} bits."


def simulates_every_token(trial: DescriberTrial) -> None:
    """A description predicts a finite number for each token of windows."""
    for name, found in trial.simulations.items():
        shape = trial.neurons[name].unseen.ids.shape
        told = f"the description that {trial.component!r} gives {name}"
        assert isinstance(found, np.ndarray), f"{told} simulates a {type(found).__name__}, not an array."
        assert found.shape == shape, f"{told} simulates tokens of shape {shape} by numbers of shape {found.shape}."
        assert np.isfinite(found).all(), f"{told} simulates numbers that are not finite."


def simulates_alike_in_any_company(trial: DescriberTrial) -> None:
    """The prediction for a window does not depend on which others are asked for, or in which order."""
    for name, found in trial.simulations.items():
        description, windows = trial.descriptions[name], trial.neurons[name].unseen
        alone = [description.simulate(windows.take(np.array([place]))) for place in range(len(windows))]
        turned = description.simulate(windows.take(np.arange(len(windows))[::-1]))[::-1]
        for other in (np.concatenate(alone), turned):
            assert _near(found, other), (
                f"the description that {trial.component!r} gives {name} predicts other activations for a window when "
                f"others are asked for with it: they differ by {largest(other - found):.2g}."
            )


def describes_alike_again(trial: DescriberTrial) -> None:
    """A second time, in another order, each neuron has the same description; with another seed some has another."""
    component: Any = trial.component
    others = trial.simulated(trial.again)
    for name, one in trial.descriptions.items():
        _check_same(f"{component!r} describes {name} otherwise when it is asked again", one, trial.again[name])
        same = alike(trial.simulations[name], others[name])
        assert same, f"{component!r} gives {name} a description that simulates otherwise when it is asked again."
    if hasattr(component, "seed"):
        other = DescriberTrial(replace(component, seed=component.seed + 1), trial.neurons)
        same = all(alike(found, other.simulations[name]) for name, found in trial.simulations.items())
        assert not same, f"{component!r} has a seed, but {other.component!r} describes all neurons alike."


def leaves_all_as_found_describing(trial: DescriberTrial) -> None:
    """Neither activations nor windows are written into."""
    assert trial.again
    assert trial.simulations
    after = trial.content()
    changed = next((name for name, content in trial.before.items() if after[name] != content), None)
    assert changed is None, f"{trial.component!r} writes into what it is shown of {changed}."


def description_can_be_kept(trial: DescriberTrial) -> None:
    """A description is data: written by pickle and read again, it says and predicts the same."""
    for name, one in trial.descriptions.items():
        told = f"the description that {trial.component!r} gives {name}"
        try:
            other = pickle.loads(pickle.dumps(one))  # noqa: S301
        except Exception as error:  # whatever cannot be pickled raises
            raise AssertionError(f"{told} cannot be pickled: {error}.") from error
        _check_same(f"{told} is another when it has been pickled", one, other)
        same = alike(trial.simulations[name], other.simulate(trial.neurons[name].unseen))
        assert same, f"{told} predicts other activations when it has been pickled."


DESCRIBER_CLAUSES: tuple[Callable[[DescriberTrial], None], ...] = (
    gives_a_description,
    simulates_every_token,
    simulates_alike_in_any_company,
    describes_alike_again,
    leaves_all_as_found_describing,
    description_can_be_kept,
)


def _attribute(description: object, name: str) -> object:
    assert hasattr(description, name), f"a description is a {type(description).__name__}, which has no {name!r}."
    return getattr(description, name)


def _check_same(told: str, one: Description, other: Description) -> None:
    assert one.text == other.text, f"{told}: {one.text!r} and {other.text!r}."
    assert one.bits == other.bits, f"{told}: {one.bits!r} and {other.bits!r} bits."


def _near(one: Simulation, other: Simulation) -> bool:
    return one.shape == other.shape and largest(one - other) <= NEAR * largest(one)


def _content(recorded: Recorded) -> str:
    digest = hashlib.sha256()
    for recording in (recorded.fit, recorded.calibrate):
        for one in (recording, recording.windows):
            _digest(digest, one)
    _digest(digest, recorded.unseen)
    return digest.hexdigest()


def _digest(digest: Any, one: Recording | Windows) -> None:
    for each in fields(one):
        value = getattr(one, each.name)
        if isinstance(value, np.ndarray):
            digest.update(value.tobytes())
