"""The contract that every installed describer keeps, and for each clause a fault that breaks it."""

import json
from dataclasses import asdict, dataclass, field, replace
from inspect import signature

import numpy as np
import pytest

from faithbench.activations import Recording, Windows
from faithbench.conformance import check_describer
from faithbench.conformance.checking import CURES
from faithbench.conformance.describers import (
    DESCRIBER_CLAUSES,
    DescriberTrial,
    describes_alike_again,
    description_can_be_kept,
    gives_a_description,
    leaves_all_as_found_describing,
    simulates_alike_in_any_company,
    simulates_every_token,
)
from faithbench.conformance.recordings import recordings
from faithbench.plugins import finding, spec

NAMES = [
    name
    for name, plugin in finding.find("describer").items()
    if all(each.default is not each.empty for each in signature(plugin.load()).parameters.values())
]
VARIANTS = ["token_topk(k=2)", "ngram(n=1)", "ngram(n=5, nodes=4)"]


@dataclass(frozen=True)
class Mean:
    """Sound: the mean of each token, in any order."""

    text: str = "means"
    bits: float = 1.0
    values: tuple[float, ...] = ()

    def __call__(self, fit: Recording, calibrate: Recording) -> "Mean":
        size = len(fit.windows.pieces)
        counts = np.bincount(fit.windows.ids.ravel(), minlength=size)
        totals = np.bincount(fit.windows.ids.ravel(), weights=fit.activations.ravel(), minlength=size)
        return replace(self, values=tuple((totals / np.maximum(counts, 1)).tolist()))

    def simulate(self, windows: Windows) -> np.ndarray:
        return np.array(self.values)[windows.ids]


class Nothing(Mean):
    def __call__(self, fit, calibrate):
        return None


class Centred(Mean):
    def simulate(self, windows):
        simulated = super().simulate(windows)
        return simulated - simulated.mean()


class Turned(Mean):
    def simulate(self, windows):
        return super().simulate(windows) * (1 + np.arange(len(windows)))[:, None]


class Short(Mean):
    def simulate(self, windows):
        return super().simulate(windows)[:, 1:]


class Undefined(Mean):
    def __call__(self, fit, calibrate):
        found = super().__call__(fit, calibrate)
        with np.errstate(invalid="ignore"):
            return replace(found, values=tuple((np.array(found.values) / fit.activations.std()).tolist()))


class Listing(Mean):
    def simulate(self, windows):
        return super().simulate(windows).tolist()


@dataclass(frozen=True)
class Moody(Mean):
    draws: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0), compare=False)

    def __call__(self, fit, calibrate):
        return replace(super().__call__(fit, calibrate), bits=self.draws.random())


@dataclass(frozen=True)
class Forgetful(Mean):
    draws: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0), compare=False)

    def __call__(self, fit, calibrate):
        found = super().__call__(fit, calibrate)
        return replace(found, values=tuple(value + self.draws.random() for value in found.values))


@dataclass(frozen=True)
class Seeded(Mean):
    """A seed that does not matter."""

    seed: int = 0


class Writing(Mean):
    def __call__(self, fit, calibrate):
        object.__setattr__(fit, "activations", fit.activations - 1)
        return super().__call__(fit, calibrate)


class Rewriting(Mean):
    def simulate(self, windows):
        object.__setattr__(windows, "ids", windows.ids[:, ::-1])
        return super().simulate(windows)


class Closing(Mean):
    def __call__(self, fit, calibrate):
        found = super().__call__(fit, calibrate)
        object.__setattr__(found, "then", lambda: None)
        return found


FAULTS = [
    (Nothing(), gives_a_description, "a description is a NoneType, which has no 'text'"),
    (Mean(text=" "), gives_a_description, "gives a neuron that fires on some tokens an empty text"),
    (Mean(text="fires\non"), gives_a_description, "several lines"),
    (Mean(text=b"fires"), gives_a_description, "whose text is b'fires'"),
    (Mean(bits=-1.0), gives_a_description, "-1.0 bits"),
    (Mean(bits=float("nan")), gives_a_description, "nan bits"),
    (Mean(bits=None), gives_a_description, "None bits"),
    (Short(), simulates_every_token, "by numbers of shape"),
    (Undefined(), simulates_every_token, "never fires simulates numbers that are not finite"),
    (Listing(), simulates_every_token, "simulates a list, not an array"),
    (Centred(), simulates_alike_in_any_company, "predicts other activations for a window"),
    (Turned(), simulates_alike_in_any_company, "predicts other activations for a window"),
    (Moody(), describes_alike_again, "otherwise when it is asked again"),
    (Forgetful(), describes_alike_again, "simulates otherwise when it is asked again"),
    (Seeded(), describes_alike_again, "has a seed, but"),
    (Writing(), leaves_all_as_found_describing, "writes into what it is shown of a neuron that fires on some tokens"),
    (Rewriting(), leaves_all_as_found_describing, "writes into what it is shown"),
    (Closing(), description_can_be_kept, "cannot be pickled"),
]


@pytest.mark.parametrize("name", [*NAMES, *VARIANTS])
def test_every_describer_keeps_the_contract(name):
    check_describer(spec.build("describer", name).object)


@pytest.mark.parametrize("name", NAMES)
def test_descriptions_are_values_that_can_be_compared_and_written(name):
    describer = spec.build("describer", name).object
    for each in recordings().values():
        one, other = (describer(each.fit, each.calibrate) for _ in range(2))
        assert one == other
        assert hash(one) == hash(other)
        written = json.loads(json.dumps({"kind": type(one).__name__, **asdict(one)}))
        assert (written["text"], written["bits"]) == (one.text, one.bits)


def test_what_is_sound_passes():
    check_describer(Mean())


@pytest.mark.parametrize(("component", "clause", "words"), FAULTS)
def test_a_fault_breaks_its_clause(component, clause, words):
    trial = DescriberTrial(component)
    if clause is not gives_a_description:
        gives_a_description(trial)
    with pytest.raises(AssertionError) as caught:
        clause(trial)
    assert words in str(caught.value)


def test_each_clause_has_a_fault_and_a_cure():
    assert {clause for _, clause, _ in FAULTS} == set(DESCRIBER_CLAUSES)
    assert set(DESCRIBER_CLAUSES) <= set(CURES)


def test_a_describer_cannot_write_into_what_it_is_shown():
    shown = recordings()["a neuron that fires once"].fit
    with pytest.raises(ValueError, match="read-only"):
        shown.activations[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        shown.windows.ids[0, 0] = 1
