"""A study of neurons as a run: components that fail, runs that go on, and what is for texts alone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from documents import documents, white_box
from neurons import neuron, noise, token_table, unigram

from faithbench.activations import Neuron, Overwritten, Windows
from faithbench.conversations import Answer
from faithbench.errors import UserError
from faithbench.interfaces import Traits
from faithbench.neurons.answering import answer
from faithbench.neurons.corpus import read_corpus
from faithbench.neurons.recording import Unit, choose_units, record
from faithbench.neurons.sites import Site
from faithbench.plan import Plan
from faithbench.plugins.spec import Component
from faithbench.running.agenda import resolve_plan
from faithbench.running.describing import Studied, Study, check_description
from faithbench.running.neuron_plans import check_alone
from faithbench.running.neurons import answering, limited_units
from faithbench.types import Measurement

DATA = "neurons(planted-grammar, window=8)"
IDENTITY = {"dataset": "d", "dataset_fingerprint": "1", "model": "m", "model_fingerprint": "2"}


def component(name: str, function: Callable[..., Any]) -> Component:
    return Component(name, name, function, Traits())


def test_one_number_in_a_neurons_place_is_asked_of_the_model_once():
    model = white_box("crate")
    corpus = read_corpus(documents(50, 8, 14), model.tokenizer, model.max_length, 4)
    units, runs = choose_units(model.model, per_layer=1), []
    with record(model, corpus, units) as activations:
        told, (one, other) = answering(activations), (activations.neuron(0), activations.neuron(1))
        windows = one.evaluate.windows.take(np.arange(5))
        same = Overwritten(windows, np.full(windows.ids.shape, 0.5))
        expected = [answer(activations, place, same) for place in (0, 1)]
        model.model.get_submodule(units[0].site.module).register_forward_pre_hook(lambda *_: runs.append(1))
        first = told(one, same)
        first.value[:] = -1.0
        asked = len(runs)
        again = told(one, Overwritten(windows, same.values.copy()))
        assert len(runs) == asked > 0
        np.testing.assert_array_equal(again.value, expected[0])
        assert (again.rows, again.seconds) == (5, first.seconds)
        np.testing.assert_array_equal(told(other, same).value, expected[1])
        for changed in (
            Overwritten(windows, same.values + 1),
            Overwritten(windows.take(np.arange(4)), same.values[:4]),
        ):
            np.testing.assert_array_equal(told(other, changed).value, answer(activations, 1, changed))


def described(fit, calibrate):
    return token_table(fit)


def correlated(neuron, description):
    simulated = description.simulate(neuron.evaluate.windows)
    return Measurement(100 * float(np.corrcoef(neuron.evaluate.activations.ravel(), simulated.ravel())[0, 1]))


def study(
    describers: dict[str, Callable[..., Any]],
    scores: dict[str, Callable[..., Any]],
    which: Neuron | None = None,
    answer: Callable[[Neuron, Overwritten], Answer] = lambda neuron, question: Answer(question.values, 3, 0.0),
    most_seconds: float | None = None,
) -> Studied:
    made = Study(
        IDENTITY,
        {name: component(name, each) for name, each in describers.items()},
        {name: component(name, each) for name, each in scores.items()},
        answer,
        most_seconds,
    )
    which = which or neuron(unigram)
    cells = [(describer, score) for describer in describers for score in scores]
    return made.of(which, cells, (), which.evaluate.windows.take(np.arange(3)))


def raises(*given):
    raise SystemExit("gone")


@dataclass(frozen=True)
class Wrong:
    """A description that simulates what it is told to."""

    given: Any
    text: str = "wrong"
    bits: float = 1.0
    asked: list[Windows] = field(default_factory=list)

    def simulate(self, windows):
        return self.given if not callable(self.given) else self.given(windows)


def test_each_cell_has_a_record_of_the_neuron_and_its_layer():
    found = study({"one": described, "two": described}, {"r": correlated})
    assert [(each.explainer, each.metric, each.target.output, each.error) for each in found.records] == [
        ("one", "r", 0, None),
        ("two", "r", 0, None),
    ]
    assert found.records[0].value == pytest.approx(100, abs=1)
    assert {each.unit for each in found.records} == {neuron(unigram).unit}
    assert [len(each.simulated) for each in found.descriptions] == [3, 3]
    assert found.records[0].version == "1.1"


def test_a_describer_that_fails_fails_its_cells_alone():
    found = study({"bad": raises, "good": described}, {"r": correlated})
    bad, good = found.records
    assert bad.error == "describer failed: SystemExit: gone"
    assert np.isnan(bad.value)
    assert good.error is None
    assert [each.error for each in found.descriptions] == [bad.error, None]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "not a description"),
        (Wrong(0, bits=-1.0), "not below 0"),
        (Wrong(0, bits=float("nan")), "not below 0"),
        (Wrong(0, bits="long"), "not a number"),
        (Wrong(np.zeros(3)), "simulate gave shape"),
        (Wrong("words"), "not an array of numbers"),
        (Wrong(lambda windows: np.full(windows.ids.shape, np.nan)), "not finite"),
    ],
)
def test_what_is_no_description_is_the_describers_error(given, said):
    (record,) = study({"bad": lambda fit, calibrate: given}, {"r": correlated}).records
    assert record.error.startswith("describer failed: ")
    assert said in record.error


@pytest.mark.parametrize(("given", "said"), [(None, "not a Measurement"), (Measurement(np.inf), "infinite")])
def test_what_is_no_measurement_is_the_scores_error(given, said):
    bad, good = study({"one": described}, {"bad": lambda *both: given, "good": correlated}).records
    assert said in bad.error
    assert good.error is None


def test_a_score_that_asks_is_answered_and_its_rows_are_counted():
    def asks(neuron, description):
        told = yield Overwritten(neuron.evaluate.windows, neuron.evaluate.activations + 1)
        return Measurement(float(told.min()))

    (record,) = study({"one": described}, {"asks": asks}).records
    assert (record.error, record.rows) == (None, 3)
    assert record.value == neuron(unigram).evaluate.activations.min() + 1


def test_what_the_model_refuses_is_raised_in_the_score_that_asked():
    def refuse(neuron, question):
        raise ValueError("no next tokens")

    def asks(neuron, description):
        yield Overwritten(neuron.evaluate.windows, neuron.evaluate.activations)

    bad, good = study({"one": described}, {"asks": asks, "r": correlated}, answer=refuse).records
    assert "no next tokens" in bad.error
    assert good.error is None


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_nobody_can_write_into_what_others_are_given():
    def writes(fit, calibrate):
        torch.from_numpy(fit.activations).zero_()
        return token_table(fit)

    one = neuron(noise)
    before = one.fit.activations.copy()
    bad, good = study({"writes": writes, "good": described}, {"r": correlated}, one).records
    assert "wrote into" in bad.error
    assert good.error is None
    assert np.array_equal(one.fit.activations, before)


def test_what_a_component_puts_in_the_place_of_its_input_nobody_else_sees():
    def describes(fit, calibrate):
        object.__setattr__(fit.windows, "pieces", ())
        fit.activations.shape = (-1,)
        object.__setattr__(calibrate, "activations", None)
        return Wrong(simulates)

    def simulates(windows):
        windows.ids.shape = (-1,)
        return np.arange(windows.ids.size, dtype=float).reshape(len(windows.documents), -1)

    def scores(neuron, description):
        neuron.evaluate.activations.shape = (-1,)
        object.__setattr__(neuron, "evaluate", neuron.fit)
        return Measurement(1.0)

    alone, one = study({"good": described}, {"r": correlated}), neuron(unigram)
    after = study({"bad": describes, "good": described}, {"bad": scores, "r": correlated}, one)
    assert [each.error for each in after.records] == [None] * 4
    assert after.records[-1].value == alone.records[0].value
    assert after.descriptions[1] == alone.descriptions[0]
    assert one.fit.activations.ndim == 2


def test_a_component_may_not_take_longer_than_it_may():
    def endless(fit, calibrate):
        while True:
            pass

    slow, quick = study({"slow": endless, "quick": described}, {"r": correlated}, most_seconds=0.3).records
    assert "longer than 0.3 seconds" in slow.error
    assert quick.error is None


def test_modes_that_a_component_leaves_switched_are_put_back():
    def switches(fit, calibrate):
        torch.set_grad_enabled(False)
        np.seterr(all="raise")
        return token_table(fit)

    before = np.geterr()
    study({"switches": switches}, {"r": correlated})
    assert torch.is_grad_enabled()
    assert np.geterr() == before


def units(layers: int = 3, each: int = 5) -> list[Unit]:
    sites = [Site(f"layers.{layer}.act", layer, each) for layer in range(layers)]
    return [Unit(site, number) for site in sites for number in range(each)]


def test_a_larger_limit_takes_what_a_smaller_does_and_of_all_layers_alike():
    every, before = units(), set[Unit]()
    for limit in range(1, 16):
        chosen = limited_units(every, limit, seed=0)
        assert before < set(chosen)
        counts = [sum(unit.site.layer == layer for unit in chosen) for layer in range(3)]
        assert (sum(counts), max(counts) - min(counts) <= 1) == (limit, True)
        before = set(chosen)
    assert limited_units(every, 7, 0) != limited_units(every, 7, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"explainers": ("lime",)}, "explainer 'lime' is for texts"),
        ({"metrics": ("comprehensiveness",)}, "metric 'comprehensiveness' is for texts"),
        ({"until": 1.0}, "until=1 adds texts"),
        ({"dtype": "auto"}, "dtype='auto' is for texts"),
        ({"dtype": "bf16-mixed"}, "is for texts"),
        ({"protocol": "paper"}, "protocol='paper' is for texts"),
        ({"split": "validation"}, "write split=validation into its brackets"),
        ({"datasets": (DATA, "planted")}, "put them into two plans"),
    ],
)
def test_what_is_for_texts_is_refused_in_a_sentence(options, said):
    with pytest.raises(UserError, match=r"^[^\n]{1,400}$") as told:
        resolve_plan(Plan(**{"datasets": (DATA,), "models": ("crate-tiny",), **options}))
    assert said in str(told.value)


@pytest.mark.parametrize(("kind", "name"), [("explainers", "token_topk"), ("metrics", "random_only")])
def test_what_is_for_neurons_is_refused_for_texts(kind, name):
    with pytest.raises(UserError, match=f"{name}' is for neurons"):
        resolve_plan(Plan(("planted",), ("conv-tiny",), **{kind: (name,)}))


@pytest.mark.parametrize("workers", [2, "ray"])
def test_one_process_does_all(workers):
    check_alone(1)
    with pytest.raises(UserError, match="one process"):
        check_alone(workers)


@pytest.mark.parametrize("spec", ["corpus({})", "seqpg({}, segment=20)", "shortcut({})"])
def test_data_sets_made_of_texts_are_not_made_of_neurons(spec):
    with pytest.raises(UserError, match="takes texts, and neurons"):
        resolve_plan(Plan((spec.format(DATA),), ("conv-tiny",)))


def test_a_description_is_taken_as_it_is():
    made = check_description(token_table(neuron(unigram).fit))
    windows = neuron(unigram).evaluate.windows
    assert np.array_equal(made.simulate(windows), token_table(neuron(unigram).fit).simulate(windows))
