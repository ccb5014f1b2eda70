"""Figures like the published ones: their data, and that they are drawn."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures_run import call
from records import column, run_of

import faithbench
from faithbench.errors import UserError
from faithbench.paper import drawing
from faithbench.paper.published import published
from faithbench.records.store import Store
from faithbench.types import Record

HATEXPLAIN = "hatexplain(classes=2)"
COMP, ENTROPY = "comprehensiveness(protocol=paper, operator=mask)", "entropy(part=absolute, normalised=False)"
BY_BCOS = "bcos(contrastive=False)"
VALUES = np.random.default_rng(0).normal(40, 12, 20)
FIGURES = ("figure2", "figure5", "figure6", "figure13")
WORDS = {"women": [100.0, 0.0, 100.0, 100.0], "it's": [0.0, 0.0, 0.0, 100.0]}


def bcos(b: float, seed: int = 42) -> str:
    return f"bcos-minilm(b={b}, qkv=False, seed={seed}, embedding_bias=False)"


def cell(values: Sequence[float] = VALUES, **changes: object) -> list[Record]:
    usual = {"dataset": HATEXPLAIN, "model": bcos(1.5), "explainer": BY_BCOS, "metric": COMP}
    return column(values, **{**usual, **changes})


def rate(values: Sequence[float], word: str = "", of: Sequence[int] = (), **changes: object) -> list[Record]:
    """Positive rates; only the texts `of` hold the word."""
    found = cell(values, metric=f"positive_rate(positive=1, word={word!r})", **changes)
    return [r if not word or i in of else replace(r, value=float("nan"), weight=0.0) for i, r in enumerate(found)]


def alignment(layers: Sequence[float], percentile: int = 50, **changes: object) -> list[Record]:
    """Two texts whose mean parts are these."""
    found = cell([0.0, 0.0], metric=f"alignment(percentile={percentile})", **changes)
    return [replace(r, parts=tuple(x + shift for x in layers)) for r, shift in zip(found, (-1.0, 1.0), strict=True)]


def reported(run: Path, reports: dict[tuple[str, str], float]) -> Path:
    """A run's manifest with these test accuracies; balanced ones are 2 less."""
    manifest = Store(run).manifest()
    for (model, dataset), value in reports.items():
        training = {"test": {"accuracy": value, "balanced_accuracy": value - 2}}
        entry = {"label": model, "fingerprint": "m", "training": training, "truncated_texts": 0}
        manifest["models"][f"{model} on {dataset}"] = entry
    Store(run).write_text("manifest.json", json.dumps(manifest))
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Everything that the figures need."""
    records: list[Record] = []
    for b in (1.0, 1.5, 2.0):
        records += cell(VALUES + b, model=bcos(b)) + cell(VALUES / 10 - b, model=bcos(b), metric=ENTROPY)
        records += cell(VALUES / 2 + b, model=bcos(b), metric="special_share")
        records += rate([100.0, 0.0, 100.0, 100.0], model=bcos(b))
        for word, values in WORDS.items():
            records += rate(values, word, (0, 1, 3), model=bcos(b))
        records += alignment([b, 2 * b, 3 * b], model=bcos(b), explainer="random(seed=0)")
    records += alignment([5.0, 6.0, 7.0], percentile=95, model="conv-minilm(seed=42)", dataset="imdb")
    folder = run_of(tmp_path / "run", records)
    return reported(folder, {(bcos(b), HATEXPLAIN): 90.0 - 10 * b for b in (1.0, 1.5, 2.0)})


def test_figure_2_has_the_accuracies_of_all_backbones_by_data_set(tmp_path: Path):
    accuracies = {
        ("conv-minilm(seed=42)", HATEXPLAIN): 81.0,
        (bcos(1.5, seed=1), HATEXPLAIN): 77.0,
        (bcos(1.5, seed=2), HATEXPLAIN): 79.0,
        (bcos(2.0), HATEXPLAIN): 10.0,  # not the usual B
        (bcos(1.5, seed=1), f"seqpg(dataset='{HATEXPLAIN}')"): 77.0,  # the same training
        ("bcos-bert(b=1.5, qkv=False, seed=42, embedding_bias=False)", "seqpg(dataset=imdb)"): 91.0,
        ("conv-bert(seed=42)", "ag_news"): 94.0,
        ("owner/model", HATEXPLAIN): 20.0,
    }
    folder = reported(run_of(tmp_path / "run", cell()), accuracies)
    found = faithbench.paper_figure([folder], "figure2").data
    assert found.to_numpy().tolist() == [
        ["ag_news", "bert", "conv", 94.0, 1],
        ["imdb", "bert", "bcos", 91.0, 1],
        ["hatexplain", "minilm", "bcos", 78.0, 2],
        ["hatexplain", "minilm", "conv", 81.0, 1],
    ]
    assert set(faithbench.paper_figure([folder], "figure2", "bert").data["backbone"]) == {"bert"}


def test_figure_2_takes_no_heed_of_what_is_made_of_its_models(tmp_path: Path):
    masked = f"{bcos(1.5)[:-1]}, masking=half)"
    told = {("conv-minilm(seed=42, masking=half)", HATEXPLAIN): 81.0, (masked, HATEXPLAIN): 78.0}
    made = {(f"calibrated(model={masked!r}, temperature=0.0)", HATEXPLAIN): 78.0}
    alone, beside = (
        faithbench.paper_figure([reported(run_of(tmp_path / name, cell(model=masked)), accuracies)], "figure2").data
        for name, accuracies in (("alone", told), ("beside", told | made))
    )
    assert alone["accuracy"].tolist() == [78.0, 81.0]
    pd.testing.assert_frame_equal(alone, beside)


def test_figure_5_has_our_numbers_against_b_and_the_papers(run: Path):
    data = faithbench.paper_figure([run], "figure5").data
    ours = data[data["source"] == "ours"].set_index(["panel", "b"])
    assert ours.loc["comp"]["value"].to_dict() == {b: pytest.approx(VALUES.mean() + b) for b in (1.0, 1.5, 2.0)}
    assert ours.loc["entropy"]["value"].to_dict() == {b: pytest.approx(VALUES.mean() / 10 - b) for b in (1.0, 1.5, 2.0)}
    assert ours.loc["accuracy"]["value"].to_dict() == {1.0: 80.0, 1.5: 75.0, 2.0: 70.0}
    assert (ours.loc["comp"]["low"] < ours.loc["comp"]["value"]).all()
    table = published("table8_b_sweep.csv").astype(float)
    for panel in ("accuracy", "comp", "entropy"):
        paper = data[(data["source"] == "paper") & (data["panel"] == panel)]
        assert paper[["b", "value"]].to_numpy().tolist() == table[["b", panel]].to_numpy().tolist()


def test_figure_6_has_rates_with_intervals_words_and_special_tokens(run: Path):
    data = faithbench.paper_figure([run], "figure6").data
    at = data[data["b"] == 1.0].set_index(["panel", "series"])
    assert at["value"].to_dict() == {
        ("positive rate", "minilm"): 75.0,
        ("balanced accuracy", "minilm"): 78.0,
        ("special tokens", "minilm"): pytest.approx(VALUES.mean() / 2 + 1.0),
        ("positive rate by word", "women"): pytest.approx(200 / 3),  # of the three texts that hold it
        ("positive rate by word", "it's"): pytest.approx(100 / 3),
    }
    row = at.loc["positive rate", "minilm"]
    assert row["low"] < 75.0 < row["high"]


def test_rates_are_those_of_any_explainer_and_shares_those_of_bcos(tmp_path: Path):
    records = rate([100.0, 0.0], explainer="random(seed=0)") + rate([100.0], explainer="sig")
    records += cell([90.0], metric="special_share", explainer="random(seed=0)")
    found = faithbench.paper_figure([run_of(tmp_path / "run", records)], "figure6")
    assert found.data[["panel", "value"]].to_numpy().tolist() == [["positive rate", 50.0]]
    assert found.notes[0] == (
        "figure6: nothing in these runs for balanced accuracy, special tokens, positive rate by word."
    )


def test_figure_6_has_the_conventional_model_and_the_labels_as_level_lines(run: Path, tmp_path: Path):
    of_labels = {"metric": "positive_rate(positive=1, word='', of=label)"}
    conv = {"model": "conv-minilm(seed=42)"}
    records = rate([100.0, 100.0, 0.0, 100.0], **conv) + cell([100.0, 0.0, 0.0, 0.0], **of_labels)
    records += rate([0.0, 100.0, 0.0, 0.0], "women", (0, 1, 3), **conv) + cell(
        VALUES / 4, metric="special_share", **conv
    )
    other = run_of(tmp_path / "other", records)
    found = faithbench.paper_figure([run, reported(other, {("conv-minilm(seed=42)", HATEXPLAIN): 82.0})], "figure6")
    lines = found.data.groupby(["panel", "series"])["value"].agg(list).to_dict()
    assert lines["positive rate", "conventional"] == [75.0] * 3
    assert lines["balanced accuracy", "conventional"] == [80.0] * 3
    assert lines["special tokens", "conventional"] == pytest.approx([VALUES.mean() / 4] * 3)
    assert lines["positive rate", "gold"] == [25.0] * 3
    assert lines["positive rate by word, conventional", "women"] == pytest.approx([100 / 3] * 3)
    assert sorted(set(found.data["b"])) == [1.0, 1.5, 2.0]
    assert not [note for note in found.notes if "missing" in note]
    missing = [note for note in faithbench.paper_figure([run], "figure6").notes if "missing" in note]
    assert [note.split(" is missing")[0] for note in missing] == [
        "The curve of the conventional model",
        "The rate of the labels",
    ]
    assert found.plot(tmp_path / "figure6.svg").exists()


def test_figure_13_has_the_mean_parts_by_layer_for_each_model(run: Path):
    data = faithbench.paper_figure([run], "figure13").data
    found = {key: list(group["value"]) for key, group in data.groupby(["model", "dataset", "percentile"])}
    assert found == {
        ("bcos-minilm", "hatexplain", 50): [1.5, 3.0, 4.5],
        ("bcos-minilm(b=1.0)", "hatexplain", 50): [1.0, 2.0, 3.0],
        ("bcos-minilm(b=2.0)", "hatexplain", 50): [2.0, 4.0, 6.0],
        ("conv-minilm", "imdb", 95): [5.0, 6.0, 7.0],
    }
    assert data["layer"].tolist() == [1, 2, 3] * 4


def test_seeds_are_one_model_in_figure_13(tmp_path: Path):
    records = alignment([1.0, 2.0], model=bcos(1.5, 1)) + alignment([3.0, 6.0], model=bcos(1.5, 2))
    data = faithbench.paper_figure([run_of(tmp_path / "run", records)], "figure13").data
    assert data["value"].tolist() == [2.0, 4.0]


def test_layers_that_differ_or_are_missing_are_an_error(tmp_path: Path):
    odd = run_of(tmp_path / "odd", [*alignment([1.0, 2.0])[:1], *alignment([1.0, 2.0, 3.0])[1:]])
    with pytest.raises(UserError, match="have different numbers of layers"):
        faithbench.paper_figure([odd], "figure13")
    without = run_of(tmp_path / "without", [replace(r, parts=()) for r in alignment([1.0])])
    with pytest.raises(UserError, match=r"nothing of what figure13 shows; .* --metric alignment"):
        faithbench.paper_figure([without], "figure13")


def test_two_trainings_of_one_name_are_an_error(tmp_path: Path):
    first = run_of(tmp_path / "first", cell())
    with pytest.raises(UserError, match="two records for one result"):
        faithbench.paper_figure(
            [first, run_of(tmp_path / "other", cell(VALUES + 1, model_fingerprint="other"))], "figure5"
        )
    layers = run_of(tmp_path / "layers", alignment([1.0]))
    for changes in ({"model_fingerprint": "other"}, {"dataset_fingerprint": "other"}):
        twice = run_of(tmp_path / next(iter(changes)), alignment([2.0], **changes))
        with pytest.raises(UserError, match=r"two records for one result: .*other"):
            faithbench.paper_figure([layers, twice], "figure13")


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_the_same_every_time(run: Path, tmp_path: Path, name: str):
    found = faithbench.paper_figure([run], name)
    drawn = [found.plot(tmp_path / f"{i}.svg").read_text() for i in range(2)]
    assert drawn[0] == drawn[1]
    assert "<dc:date>" not in drawn[0]
    for label in found.data["series" if "series" in found.data else "model" if "model" in found.data else "dataset"]:
        if label not in ("minilm", "bert"):  # a lone line needs no name
            assert str(label) in drawn[0].replace("&apos;", "'")
    for ending in ("png", "pdf"):
        assert found.plot(tmp_path / f"figure.{ending}").stat().st_size > 1000


def test_records_of_replaced_weights_are_left_out_and_told_of(tmp_path: Path):
    old = cell(VALUES + 50, model_fingerprint="earlier")
    other = cell(VALUES, model="bcos-bert(b=1.5, qkv=False, seed=42, embedding_bias=False)")
    found = faithbench.paper_figure([run_of(tmp_path / "run", [*old, *cell()[:9], *other])], "figure5", "minilm")
    assert found.ours["value"].tolist() == [pytest.approx(VALUES[:9].mean())]
    told = f"{len(VALUES)} records are left out: of weights, precision or data that a later run replaced"
    assert f"{told}." in found.notes
    folder = run_of(tmp_path / "stale", [*old, *alignment([1.0])])
    with pytest.raises(UserError, match=rf"nothing of what figure5 shows \({told}\); what it needs is made by"):
        faithbench.paper_figure([folder], "figure5")


def test_the_papers_line_is_labelled(run: Path, tmp_path: Path):
    text = faithbench.paper_figure([run], "figure5").plot(tmp_path / "figure.svg").read_text()
    assert text.count("paper (bert)") == 3


def test_lines_and_bars_differ_without_colour(run: Path):
    layers = [("m", "d", percentile, layer, 1.0) for percentile in (25, 50, 75) for layer in (1, 2)]
    columns = ["model", "dataset", "percentile", "layer", "value"]
    data = {name: faithbench.paper_figure([run], name).data for name in ("figure5", "figure6")}
    counts = []
    for name, frame in {**data, "figure13": pd.DataFrame(layers, columns=columns)}.items():
        for axes in drawing.FIGURES[name](frame).axes:
            lines = [line for line in axes.get_lines() if line.get_linestyle() != "None"]  # without ends of intervals
            for looks in ({line.get_linestyle() for line in lines}, {line.get_marker() for line in lines}):
                assert len(looks) == len(lines)
            counts.append(len(lines))
    assert counts == [2, 2, 2, 1, 1, 1, 2, 3]
    rows = [("imdb", backbone, kind, 90.0, 1) for backbone in ("bert", "minilm", "tiny") for kind in ("conv", "bcos")]
    bars = drawing.FIGURES["figure2"](pd.DataFrame(rows, columns=["dataset", "backbone", "kind", "accuracy", "n"]))
    looks = [(bar.get_facecolor(), bar.get_hatch()) for bar in bars.axes[0].patches]
    assert len(set(looks)) == len(looks) == 6


def test_mistakes_are_said_in_a_sentence(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match="'figure3' is not a known figure or table of the paper; did you mean"):
        faithbench.paper_figure([run], "figure3")
    conv = run_of(tmp_path / "conv", cell(model="conv-minilm(seed=42)"))
    for name, command in (("figure2", "faithbench run"), ("figure5", "entropy"), ("figure6", "special_share")):
        with pytest.raises(UserError, match=f"nothing of what {name} shows; what it needs is made by: .*{command}"):
            faithbench.paper_figure([conv], name)
    found = faithbench.paper_figure([run], "figure5")
    with pytest.raises(UserError, match=r"'.*map.txt' does not end in .svg or .png or .pdf"):
        found.plot(tmp_path / "map.txt")
    with pytest.raises(UserError, match="cannot be written: No such file"):
        found.plot(tmp_path / "none" / "map.svg")
    for name in ("faithbench.paper.drawing", "faithbench.tables.drawing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr(faithbench.paper, "drawing", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"a figure needs matplotlib .*: pip install 'faithbench\[plot\]'"):
        found.plot(tmp_path / "map.svg")


@pytest.mark.slow
def test_the_command_draws(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ended = call(capsys, "figure", run, "--like", "figure5", "--out", tmp_path / "f.svg")
    assert (ended.status, ended.out) == (0, "")
    assert (tmp_path / "f.svg").is_file()
    refused = call(capsys, "figure", run, "--like", "figure5", "--out", tmp_path / "f.svg", "--backbone", "brt")
    assert (refused.status, len(refused.complaints)) == (2, 1)
