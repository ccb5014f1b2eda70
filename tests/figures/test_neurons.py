"""Figures of neurons: their data, what is left out, and that they can be drawn."""

import pytest
from neuron_records import CRATE, GPT, SCORE, neurons, run_of_neurons, unit
from records import record, run_of

from faithbench.errors import UserError
from faithbench.figures.making import figure

LAYERS = [[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]]


@pytest.fixture
def run(tmp_path):
    records = [
        *neurons(LAYERS),
        *neurons([[0.0, 1.0, 2.0]], metric=f"permuted(score={SCORE!r}, seed=0)"),
        *neurons([[1.0, 2.0, 3.0]], model=GPT),
    ]
    density = {(model, unit(layer, n)): 0.01 * (n + 1) for model in (CRATE, GPT) for layer in (0, 1) for n in range(3)}
    return run_of_neurons(tmp_path / "run", records, density)


def test_scores_by_layer_are_those_of_the_table(run):
    found = figure([run], "layers")
    own = found.data[found.data["model"] == CRATE]
    assert dict(zip(own["layer"], own["mean"], strict=True)) == {0: 20.0, 1: 50.0}
    assert set(found.data["metric"]) == {SCORE}
    assert "means over neurons" in found.caption
    assert "n = 3 neurons" in found.caption


def test_scores_against_the_length_of_descriptions(run):
    found = figure([run], "length", models=["crate-tiny"])
    assert found.data["cost"].tolist() == [100.0]
    assert found.data["mean"].tolist() == [35.0]


def test_scores_by_how_often_neurons_fire(run):
    found = figure([run], "density", models=["crate-tiny"])
    assert found.data.groupby("density")["mean"].first().to_dict() == pytest.approx({1.0: 25.0, 2.0: 35.0, 3.0: 45.0})
    assert found.data["n"].tolist() == [2, 2, 2]


@pytest.mark.parametrize("of", ["layers", "length", "density", "scores"])
def test_figures_of_neurons_are_drawn(run, tmp_path, of):
    path = figure([run], of).plot(tmp_path / "figure.svg")
    drawn = path.read_text()
    assert "random_only" in drawn
    assert "texts" not in drawn


@pytest.mark.parametrize("of", ["layers", "length", "density"])
def test_runs_of_texts_have_no_such_figures(tmp_path, of):
    run = run_of(tmp_path / "run", [record(1.0, 0), record(2.0, 1)])
    with pytest.raises(UserError, match="hold no"):
        figure([run], of)
