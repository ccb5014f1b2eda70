"""Exported neurons are read back by dataclasses written out here from the other tool's documentation of its fields."""

import json
import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import pytest
from fixtures_run import call
from hostile_words import WORDS
from kept_neurons import CELL, DATA, NGRAM, TOPK, neuron_of, neuron_run, unit_of

import faithbench
from faithbench.errors import UserError
from faithbench.exporting import export as exporting
from faithbench.exporting.neuron_explainer import neuron_record
from faithbench.records.kept_parts import add_kept
from faithbench.records.neuron_parts import neuron_row
from faithbench.records.store import Store


@dataclass
class ActivationRecord:
    tokens: list[str]
    activations: list[float]


@dataclass
class NeuronId:
    layer_index: int
    neuron_index: int


@dataclass
class NeuronRecord:
    neuron_id: NeuronId
    random_sample: list[ActivationRecord] = field(default_factory=list)
    random_sample_by_quantile: list[list[ActivationRecord]] | None = None
    quantile_boundaries: list[float] | None = None
    mean: float | None = math.nan
    variance: float | None = math.nan
    skewness: float | None = math.nan
    kurtosis: float | None = math.nan
    most_positive_activation_records: list[ActivationRecord] = field(default_factory=list)


@dataclass
class SequenceSimulation:
    tokens: list[str]
    expected_activations: list[float]
    activation_scale: str
    distribution_values: list[list[float]]
    distribution_probabilities: list[list[float]]
    uncalibrated_simulation: "SequenceSimulation | None" = None


@dataclass
class ScoredSequenceSimulation:
    simulation: SequenceSimulation
    true_activations: list[float]
    ev_correlation_score: float | None
    rsquared_score: float | None = None
    absolute_dev_explained_score: float | None = None


@dataclass
class ScoredSimulation:
    scored_sequence_simulations: list[ScoredSequenceSimulation]
    ev_correlation_score: float | None = None
    rsquared_score: float | None = None
    absolute_dev_explained_score: float | None = None


@dataclass
class ScoredExplanation:
    explanation: str
    scored_simulation: ScoredSimulation


@dataclass
class NeuronSimulationResults:
    neuron_id: NeuronId
    scored_explanations: list[ScoredExplanation]


KINDS = {
    kind.__name__: kind
    for kind in (
        ActivationRecord,
        NeuronId,
        NeuronRecord,
        SequenceSimulation,
        ScoredSequenceSimulation,
        ScoredSimulation,
        ScoredExplanation,
        NeuronSimulationResults,
    )
}


def loads(text: str):
    """As the other tool does: each object names its dataclass, which takes its fields and no others."""

    def made(found):
        kind = KINDS[found.pop("dataclass_name")]
        assert set(found) <= {each.name for each in fields(kind)}
        return kind(**found)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, object_hook=made, parse_constant=refuse)


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*.json*")}


def test_records_hold_what_the_run_keeps_and_nothing_else(tmp_path: Path):
    run = neuron_run(tmp_path / "run")
    found = faithbench.export(run, tmp_path / "out")
    assert (found.neurons, found.descriptions, found.left_out) == (8, 16, 0)
    here = files(tmp_path / "out" / "crate-tiny")
    assert set(here) == {
        f"{kind}/{layer}/{number}.{ending}"
        for kind, ending in (("neurons", "json"), ("explanations", "jsonl"))
        for layer in (0, 1)
        for number in range(4)
    }
    wanted, read = neuron_of(1, 2), loads(here["neurons/1/2.json"])
    assert read.neuron_id == NeuronId(1, 2)
    for kind, records in (("top", read.most_positive_activation_records), ("random", read.random_sample)):
        own = [each for each in wanted.windows if each.kind == kind]
        assert [tuple(each.tokens) for each in records] == [each.tokens for each in own]
        np.testing.assert_allclose(
            [each.activations for each in records], [each.activations for each in own], rtol=1e-4
        )
    assert (read.mean, read.variance) == (wanted.mean, wanted.deviation**2)
    unknown = (read.skewness, read.kurtosis, read.random_sample_by_quantile, read.quantile_boundaries)
    assert unknown == (None,) * 4
    assert "quantile_boundaries" in (tmp_path / "out" / "README.txt").read_text("utf-8")


def test_explanations_have_their_text_and_the_correlation_in_the_windows(tmp_path: Path):
    run = neuron_run(tmp_path / "run", text="says {}")
    faithbench.export(run, tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*/explanations/0/0.jsonl")
    read = loads(path.read_text("utf-8"))
    assert path.read_text("utf-8").count("\n") == 1
    assert [each.explanation for each in read.scored_explanations] == ["says 0", "says 0"]
    scored = read.scored_explanations[0].scored_simulation
    real = np.array([each.true_activations for each in scored.scored_sequence_simulations])
    said = np.array([each.simulation.expected_activations for each in scored.scored_sequence_simulations])
    np.testing.assert_allclose(said[:, 0], real[:, 0] / 2, rtol=1e-4)
    assert scored.ev_correlation_score == pytest.approx(np.corrcoef(real.ravel(), said.ravel())[0, 1])
    one = scored.scored_sequence_simulations[0]
    assert one.ev_correlation_score == pytest.approx(np.corrcoef(real[0], said[0])[0, 1])
    assert one.simulation.distribution_values == [[value] for value in one.simulation.expected_activations]


def test_a_constant_window_has_no_correlation(tmp_path: Path):
    run = neuron_run(tmp_path / "run", words=("only",))
    faithbench.export(run, tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*/explanations/0/1.jsonl")
    (scored, _) = (each.scored_simulation for each in loads(path.read_text("utf-8")).scored_explanations)
    assert {each.ev_correlation_score for each in scored.scored_sequence_simulations} == {None}


def test_hostile_words_stay_words_and_names_of_models_make_no_way_out(tmp_path: Path):
    words, model = tuple(WORDS.values()), "../../evil/\x1b[31m"
    run = neuron_run(tmp_path / "run", words=words, text=WORDS["html"], model=model)
    faithbench.export(run, tmp_path / "out")
    here = [path for path in tmp_path.rglob("*") if path.is_file() and "run" not in path.relative_to(tmp_path).parts]
    assert all(path.is_relative_to(tmp_path / "out") for path in here)
    (path,) = (tmp_path / "out").glob("*/neurons/0/0.json")
    tokens = loads(path.read_text("utf-8")).random_sample[0].tokens
    assert [token for token in tokens if token not in words] == [r"a\udc9b31mb\ud800"]  # halves of characters


def test_models_of_one_name_have_a_folder_each(tmp_path: Path):
    run = neuron_run(tmp_path / "run")
    neuron_run(tmp_path / "run", dataset=DATA.replace("train=20", "train=21"))
    assert faithbench.export(run, tmp_path / "out").neurons == 16
    assert len([path for path in (tmp_path / "out").iterdir() if path.is_dir()]) == 2


def test_nothing_is_overwritten_or_half_written(tmp_path: Path, monkeypatch):
    run, out = neuron_run(tmp_path / "run"), tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("mine")
    with pytest.raises(UserError, match="nothing is overwritten"):
        faithbench.export(run, out)
    assert [path.name for path in out.iterdir()] == ["mine"]
    with pytest.raises(UserError, match="not a known format"):
        faithbench.export(run, tmp_path / "new", format="neuron-explorer")
    written = iter(range(5))

    def fail(*given):
        if next(written) == 3:
            raise OSError(28, "No space left on device", str(tmp_path / "new"))
        return 1

    monkeypatch.setattr(exporting, "_put", fail)
    with pytest.raises(UserError, match="No space left"):
        faithbench.export(run, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_neurons_of_no_record_are_left_out(tmp_path: Path):
    run = neuron_run(tmp_path / "run")
    own = {name: str(CELL[name]) for name in CELL}
    add_kept(Store(run), "neurons", [neuron_row(own, neuron_of(1, 9))])
    assert faithbench.export(run, tmp_path / "out").neurons == 8
    assert "neurons/1/9.json" not in files(tmp_path / "out" / "crate-tiny")


def test_a_variance_beyond_what_numbers_can_be_is_not_known():
    assert neuron_record(replace(neuron_of(1, 3), deviation=1e308))["variance"] is None


def test_a_run_that_has_kept_nothing_cannot_be_exported(tmp_path: Path):
    with pytest.raises(UserError, match="has not kept"):
        faithbench.export(neuron_run(tmp_path / "run", is_kept=False), tmp_path / "out")


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys):
    run = neuron_run(tmp_path / "run", {TOPK: np.arange(4.0), NGRAM: np.arange(4.0)})
    ended = call(capsys, "export", str(run), "--out", str(tmp_path / "out"))
    assert (ended.status, ended.out) == (0, f"wrote 4 neurons with 8 descriptions to {tmp_path / 'out'}\n")
    ended = call(capsys, "neuron", str(run), unit_of(0, 1), "1:0")
    assert ended.status == 0
    assert [line for line in ended.out.splitlines() if " of crate-tiny" in line] == [
        f"{unit_of(0, 1)} of crate-tiny (best, 1 of 2 in layer 0)",
        f"{unit_of(1, 0)} of crate-tiny (worst, 2 of 2 in layer 1)",
    ]


def test_neurons_that_nobody_named_are_listed_with_the_command_that_shows_one(tmp_path: Path, capsys):
    run = neuron_run(tmp_path / "run", {TOPK: np.arange(4.0), NGRAM: np.arange(4.0)})
    lines = call(capsys, "neuron", str(run)).out.splitlines()
    assert [line for line in lines if line[:2] in ("0:", "1:")] == [
        "0:1  best, 1 of 2 in layer 0",
        "0:0  worst, 2 of 2 in layer 0",
        "1:1  best, 1 of 2 in layer 1",
        "1:0  worst, 2 of 2 in layer 1",
    ]
    assert lines[0] == "crate-tiny"
    assert sum(line.startswith("      ") and "fires on" in line for line in lines) == 4
    assert lines[-1] == f"To see what one does: faithbench neuron {run} 0:1"
