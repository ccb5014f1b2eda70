"""Tables of neurons: their words, undefined correlations in all three ways, lengths of descriptions, layers."""

import math

import pytest
from neuron_records import CONSTANT_SIMULATION, CRATE, GPT, neuron, neurons, run_of_neurons, sites
from records import record, run_of

from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.tables.table import render, table

NAN = math.nan


@pytest.fixture
def run(tmp_path):
    """Two layers of four neurons; of the second two have no value, one for want of activations."""
    records = [
        *neurons([(10, 20, 30, 40), (50, NAN, 70)]),
        neuron(NAN, 1, 3, parts=CONSTANT_SIMULATION),
        *neurons([(1, 2, 3, 4), (5, 6, 7, 8)], model=GPT),
    ]
    return run_of_neurons(tmp_path / "run", records, **sites(4, 3))


def test_undefined_correlations_are_told_in_three_ways_with_their_reasons(run):
    row = table([run]).set_index("model").loc[CRATE]
    assert (row["n"], row["undefined"]) == (6, 2)
    assert row["mean"] == pytest.approx(220 / 6)
    assert row["mean_with_zeros"] == pytest.approx(220 / 8)
    assert row["undefined_share"] == pytest.approx(25.0)
    assert (row["activations_constant"], row["simulation_constant"]) == (1, 1)


def test_scores_share_a_row_where_the_same_neurons_have_no_value_for_the_same_reasons(tmp_path):
    other, third = "full(form=pearson)", "quantile(windows=100, seed=0)"
    records = [
        *neurons([(10, NAN)]),
        *neurons([(50, NAN)], metric=other),
        neuron(70, metric=third),
        neuron(NAN, 0, 1, metric=third, parts=CONSTANT_SIMULATION),
    ]
    told = render([run_of_neurons(tmp_path / "run", records)])
    rows = [line.replace(" ", "") for line in told.splitlines() if "50.0 %" in line]
    assert rows == ["|token_topk|1(50.0%)|0|1||35.00||", "|token_topk|1(50.0%)|1|0|25.00||5.00|"]
    assert "neurons:2@" in told


def test_undefined_ratios_count_nothing_where_their_denominator_is_nothing(tmp_path):
    records = [neuron(10.0, 0, 0, weight=2.0), neuron(40.0, 0, 1, weight=1.0), neuron(NAN, 0, 2, weight=0.0)]
    row = table([run_of_neurons(tmp_path / "run", records)]).iloc[0]
    assert row["mean_with_zeros"] == pytest.approx(row["mean"]) == pytest.approx(20.0)


def test_the_table_speaks_of_neurons_and_not_of_texts(run):
    told = render([run])
    for words in ("8 neurons.", "Means over neurons", "| describer", "with 0"):
        assert words in told
    for words in ("texts.", "predicted class", "mask token", "Raw means", "over texts"):
        assert words not in told
    assert "100" in told.split("token_topk")[1].split("|")[1]  # bits beside the scores


def test_texts_and_neurons_in_one_table_each_have_their_word(run, tmp_path):
    texts = run_of(tmp_path / "texts", [record(float(i), i) for i in range(4)])
    told = render([run, texts])
    assert "Means over texts or neurons" in told
    assert "4 texts." in told
    assert "8 neurons." in told


def test_tables_of_texts_have_no_columns_of_neurons(tmp_path):
    frame = table([run_of(tmp_path / "run", [record(float(i), i) for i in range(4)])])
    assert not {"mean_with_zeros", "bits", "undefined_share"} & set(frame)


def test_every_layer_is_shown_with_its_units(run):
    frame = table([run], by_layer=True)
    assert len(frame) == 4
    own = frame[frame["model"] == CRATE].set_index("layer")
    assert list(own["mean"]) == [25.0, 60.0]
    assert list(own["n"]) == [4, 2]
    assert list(own["alive"]) == [4, 3]
    assert list(own["dead"]) == [0, 1]
    assert list(own["density"]) == [0.125, 0.125]
    assert list(own["mean_with_zeros"]) == [25.0, 30.0]
    told = render([run], by_layer=True)
    assert "by layer" in told
    assert "2 undefined, with 0 30.0" in told
    assert "L0" in told


def test_layers_of_trainings_are_put_together(tmp_path):
    records = [*neurons([(10, 20)], model="crate-tiny(seed=1)"), *neurons([(30, 40)], model="crate-tiny(seed=2)")]
    frame = table([run_of_neurons(tmp_path / "run", records, **sites(2))], by_layer=True, over_seeds=True)
    assert (frame["mean"].iloc[0], frame["seeds"].iloc[0], frame["alive"].iloc[0]) == (25.0, 2, 2)


def test_runs_of_texts_have_no_layers(tmp_path):
    run = run_of(tmp_path / "run", [record(1.0, 0), record(2.0, 1)])
    with pytest.raises(UserError, match="hold no neurons, so there are no layers"):
        table([run], by_layer=True)


def test_a_data_set_of_another_is_labelled_by_what_that_is_called():
    full = "neurons(dataset='planted-grammar(train=40000)', window=8)"
    assert spec.label("dataset", full) == "neurons(planted-grammar, window=8)"
    assert spec.build("dataset", full).label == "neurons(planted-grammar, window=8)"
    again = spec.build("dataset", "neurons(planted-grammar, window=8)")
    assert again.identity == spec.build("dataset", full).identity
