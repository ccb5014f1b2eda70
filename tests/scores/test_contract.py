"""The contract that every installed score keeps, and for each clause a fault that breaks it."""

import math
from dataclasses import dataclass, field
from inspect import signature
from typing import ClassVar

import numpy as np
import pytest
from faithbench_scores.correlating import correlated, joined

from faithbench.activations import Windows
from faithbench.conformance import check_score
from faithbench.conformance.scores import (
    SCORE_CLAUSES,
    ScoreTrial,
    gives_a_value,
    leaves_all_as_found_scoring,
    prefers_the_truth,
    scores_alike_again,
    scores_alike_in_any_precision,
    trait_range_of_score_holds,
)
from faithbench.plugins import finding, spec
from faithbench.types import Measurement

PLAIN = [
    name
    for name, plugin in finding.find("score").items()
    if all(each.default is not each.empty for each in signature(plugin.load()).parameters.values())
]
TOLD = """random_only(5); full(spearman); full(r2); quantile(spearman); top_and_random(form=r2); permuted(random_only);
    permuted(full(r2)); permuted(ablation); fitted(quantile); fitted(ablation)"""


@pytest.mark.parametrize("name", [*PLAIN, *map(str.strip, TOLD.split(";"))])
def test_a_score_keeps_everything(name):
    assert check_score(spec.build("score", name).object) is None


@dataclass
class Sound:
    """Pearson's correlation on all that there is; faults are planted into it."""

    higher_is_better: ClassVar[bool | None] = True

    def __call__(self, neuron, description):
        return self.compared(neuron.evaluate.activations, description.simulate(neuron.evaluate.windows))

    def compared(self, actual, simulated):
        return correlated(joined([actual]), joined([simulated]))


class Bare(Sound):
    def compared(self, actual, simulated):
        return super().compared(actual, simulated).value


class Whole(Sound):
    def compared(self, actual, simulated):
        found = super().compared(actual, simulated)
        object.__setattr__(found, "value", np.float32(found.value))
        return found


class Raising(Sound):
    def compared(self, actual, simulated):
        if actual.std() == 0:
            raise ZeroDivisionError("nothing to correlate with")
        return super().compared(actual, simulated)


class Endless(Sound):
    def compared(self, actual, simulated):
        return Measurement(math.inf)


class Wandering(Sound):
    def __call__(self, neuron, description):
        yield neuron.evaluate.windows


@dataclass
class Remembering(Sound):
    calls: list = field(default_factory=list)

    def compared(self, actual, simulated):
        self.calls.append(0)
        return Measurement(super().compared(actual, simulated).value + 1e-9 * len(self.calls))


class Drawing(Sound):
    def __call__(self, neuron, description):
        some = neuron.evaluate.take(neuron.evaluate.drawn(9, np.random.default_rng()))
        return self.compared(some.activations, description.simulate(some.windows))


class Writing(Sound):
    def compared(self, actual, simulated):
        simulated -= simulated.mean()
        return super().compared(actual, simulated)


class Narrow(Sound):
    range: ClassVar = (0.0, 1.0)


class Reversed(Sound):
    higher_is_better: ClassVar = False


class Blind(Sound):
    def compared(self, actual, simulated):
        return Measurement(-abs(super().compared(actual, simulated).value))


class Undefined(Sound):
    def compared(self, actual, simulated):
        return Measurement(math.nan)


class Coarse(Sound):
    def compared(self, actual, simulated):
        with np.errstate(all="ignore"):
            value = float((actual * simulated).mean(dtype=actual.dtype))
        return Measurement(value)


@pytest.mark.parametrize(
    ("fault", "clause", "words"),
    [
        (Bare, gives_a_value, "gives a float, not a Measurement"),
        (Whole, gives_a_value, "gives a float32, not a float"),
        (Endless, gives_a_value, "infinite"),
        (Wandering, gives_a_value, "which is no Overwritten"),
        (Remembering, scores_alike_again, "first"),
        (Drawing, scores_alike_again, "first"),
        (Writing, leaves_all_as_found_scoring, "writes into what a description simulates"),
        (Narrow, trait_range_of_score_holds, "says range"),
        (Reversed, prefers_the_truth, "own rules have 100"),
        (Blind, prefers_the_truth, "own rules have -100"),
        (Undefined, prefers_the_truth, "nan"),
        (Coarse, scores_alike_in_any_precision, "float16"),
    ],
)
def test_each_clause_notices_a_fault(fault, clause, words):
    assert clause(ScoreTrial(Sound())) is None
    with pytest.raises(AssertionError, match=words):
        clause(ScoreTrial(fault()))
    assert clause in SCORE_CLAUSES


def test_an_error_for_constants_is_told():
    with pytest.raises(ZeroDivisionError, match="nothing to correlate with"):
        gives_a_value(ScoreTrial(Raising()))


def test_neurons_cannot_be_written_into():
    neuron = ScoreTrial(Sound()).neurons[0]
    with pytest.raises(ValueError, match="read-only"):
        neuron.evaluate.activations[0, 0] = 1
    assert isinstance(neuron.evaluate.windows, Windows)
