"""Tables in the layout of the published ones, filled with records."""

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import places
import pytest
from fixtures_run import call
from records import column, run_of

import faithbench
from faithbench.errors import UserError
from faithbench.paper.layouts import COMP, ENTROPY, LAYOUTS, SEQPG, SUFF
from faithbench.paper.matching import is_named, value_of
from faithbench.paper.published import FOLDERS, published
from faithbench.paper.sources import Cell
from faithbench.paper.table import holds_paper
from faithbench.paper.trainings import TrainedModel, differing
from faithbench.plugins.spec import build, parse
from faithbench.records.store import Store
from faithbench.tables.latex import PACKAGES, escape
from faithbench.tables.table import render, table
from faithbench.tables.writers import FORMATS
from faithbench.types import Record

SHARED = places.SHARED / "paper"
CONV, BCOS = "conv-minilm(seed=42)", "bcos-minilm(b=1.5, qkv=False, seed=42, embedding_bias=False)"
HATEXPLAIN = "hatexplain(classes=2)"
DOCUMENTS = (
    "seqpg(dataset='hatexplain(classes=2)', judge='conv-minilm(seed=42)', segment=25, segments=2, documents=500, "
    "confidence=0.75, seed=0)"
)
PAPER_COMP = "comprehensiveness(protocol=paper, operator=mask)"
STRICT_COMP = "comprehensiveness(protocol=strict, operator=mask)"
PAPER_SEQPG = "seqpg(protocol=paper)"
BY_BCOS = "bcos(contrastive=False)"
LIME = "lime(n_samples={}, kernel_width=25.0, feature_selection=none, num_features=10, baseline=mask, seed=0)"
VALUES = np.random.default_rng(0).normal(40, 12, 30)


def cell(values: Sequence[float] = VALUES, **changes: object) -> list[Record]:
    """Records of one cell: unless said otherwise comprehensiveness of `bcos` on bcos-minilm and HateXplain."""
    usual = {"dataset": HATEXPLAIN, "model": BCOS, "explainer": BY_BCOS, "metric": PAPER_COMP}
    return column(values, **{**usual, **changes})


def told(run: Path, trainings: Mapping[str, Mapping[str, object]], dataset: str = HATEXPLAIN) -> Path:
    """Adds to the run's manifest what is known of trainings."""
    manifest = Store(run).manifest()
    for model, report in trainings.items():
        entry = manifest["models"].setdefault(f"{model} on {dataset}", {"fingerprint": "m"})
        entry.update(label=model, hardware="a CPU", training=report, truncated_texts=0)
    Store(run).write_text("manifest.json", json.dumps(manifest))
    return run


def accuracy(value: float, **more: object) -> dict[str, object]:
    return {"test": {"accuracy": value, "balanced_accuracy": value - 1}, **more}


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """A conventional and a B-cos model; what they are measured on is in few tables."""
    records = cell() + cell(VALUES - 30, model=CONV, explainer="attention(variant=raw)", metric="entropy")
    return run_of(tmp_path / "both", records)


def rows(run: Path, like: str, **keys: str) -> pd.DataFrame:
    frame = faithbench.paper_table([run], like).frame(beside_paper=True)
    for key, value in keys.items():
        frame = frame[frame[key] == value]
    return frame


def test_published_numbers_are_those_that_were_given():
    if not SHARED.is_dir():
        pytest.skip("the published numbers are not beside the checkout")
    ours = next(folder for folder in FOLDERS if folder.is_dir())
    given = list(SHARED.glob("*.csv"))
    assert {path.name for path in ours.iterdir()} == {path.name for path in given}
    for path in given:
        assert (ours / path.name).read_bytes() == path.read_bytes()


def test_every_component_that_a_table_asks_for_can_be_built():
    for layout in LAYOUTS.values():
        for subject in layout.subjects:
            assert is_named(build("explainer", subject.explainer).identity, parse(subject.explainer)[0])
            for kind, text in (("model", subject.model.replace("*", "minilm")), ("dataset", subject.dataset)):
                if text:
                    assert is_named(build(kind, text).identity, parse(text)[0])
    for source in (COMP, SUFF, SEQPG, ENTROPY):
        assert is_named(build("metric", source.metric).identity, parse(source.metric)[0])


@pytest.mark.parametrize("like", LAYOUTS)
def test_header_and_labels_are_the_published_ones(both: Path, like: str):
    layout = LAYOUTS[like]
    expected = published(layout.file, layout.where)
    found = pd.read_csv(
        io.StringIO(faithbench.paper_table([both], like).render("csv")), dtype=str, keep_default_na=False
    )
    assert list(found.columns)[: len(expected.columns)] == list(expected.columns)
    labels = [key for key in layout.keys if key != "backbone"]
    pd.testing.assert_frame_equal(found[labels], expected[labels])
    assert set(found.get("backbone", ["minilm"])) == {"minilm"}
    rest = list(found.columns)[len(expected.columns) :]
    measured = [name for name, source in layout.columns.items() if source.has_interval]
    assert rest == [f"{name}_{end}" for name in measured for end in ("low", "high", "n")]


def test_tables_of_faithfulness_have_the_papers_shape(both: Path):
    lines = faithbench.paper_table([both], "table2").render().splitlines()
    header = [each.strip() for each in lines[2].split("|")[1:-1]]
    names = [f"{data} {metric}" for data in ("ag_news", "imdb", "hatexplain") for metric in ("comp", "suff", "seqpg")]
    assert header == ["kind", "explainer", *names]
    labels = [tuple(each.strip() for each in line.split("|")[1:3]) for line in lines[4:17]]
    expected = LAYOUTS["table2"].published[["kind", "explainer"]].drop_duplicates()
    assert labels == list(expected.itertuples(index=False, name=None))
    latex = faithbench.paper_table([both], "table2").render("latex")
    assert r" &  & \multicolumn{3}{c}{ag\_news} & \multicolumn{3}{c}{imdb} & \multicolumn{3}{c}{hatexplain} \\" in latex
    assert r"\cmidrule(lr){3-5}\cmidrule(lr){6-8}\cmidrule(lr){9-11}" in latex


def test_a_cell_is_the_mean_over_texts_and_its_interval_that_of_the_plain_table(both: Path):
    row = rows(both, "table2", kind="bcos", explainer="B-cos", dataset="hatexplain").iloc[0]
    assert row["comp"] == pytest.approx(VALUES.mean(), rel=1e-12)
    assert row["comp_n"] == 30
    plain = table([both]).set_index("metric").loc[PAPER_COMP]
    assert (row["comp_low"], row["comp_high"]) == pytest.approx((plain["low"], plain["high"]), rel=1e-12)
    for like in ("table6", "table7"):  # of any backbone
        again = rows(both, like, kind="bcos", explainer="B-cos", dataset="hatexplain").iloc[0]
        assert (again["comp"], again["backbone"]) == (row["comp"], "minilm")


def test_what_was_not_run_is_empty_and_never_zero(both: Path):
    frame = rows(both, "table2")
    assert frame[["comp", "suff", "seqpg"]].notna().to_numpy().sum() == 1
    assert frame[["comp_n", "suff_n", "seqpg_n"]].notna().to_numpy().sum() == 1
    csv = pd.read_csv(io.StringIO(faithbench.paper_table([both], "table2").render("csv")), keep_default_na=False)
    assert (csv[["suff", "suff_low", "suff_n", "seqpg", "seqpg_n"]] == "").all(axis=None)
    text = faithbench.paper_table([both], "table2").render()
    line = next(line for line in text.splitlines() if re.match(r"\| bcos +\| DecompX", line))
    assert set(line.split("DecompX")[1]) <= set(" |")
    assert "Not in these runs: ag_news, imdb." in text


def test_cells_without_any_value_are_empty_and_say_why(tmp_path: Path):
    run = run_of(tmp_path / "run", cell([math.nan] * 3))
    found = faithbench.paper_table([run], "table8")
    assert found.frame()["comp"].isna().all()
    assert "1 cell is empty: bcos has no value on any text (failed or undefined)." in found.notes


def test_strict_records_do_not_fill_and_are_told_of(tmp_path: Path):
    strict = cell(metric=STRICT_COMP) + cell(metric="seqpg(protocol=strict)", dataset=DOCUMENTS)
    found = faithbench.paper_table([run_of(tmp_path / "run", strict)], "table5")
    assert found.frame()[["comp", "seqpg"]].isna().all(axis=None)
    (note,) = (note for note in found.notes if "strict" in note)
    assert note.startswith("2 empty cells have records of the strict protocol only")
    assert "--protocol paper fills them" in note
    other = cell() + cell(metric=PAPER_COMP.replace("mask", "delete"))  # no protocol has this; it fills nothing either
    assert faithbench.paper_table([run_of(tmp_path / "other", other)], "table5").frame()["comp"].notna().sum() == 1


def test_seqpg_is_that_of_documents_of_the_data_set(tmp_path: Path):
    imdb = DOCUMENTS.replace("hatexplain(classes=2)", "imdb").replace("segment=25", "segment=64")
    records = cell([60.0, 80.0], metric=PAPER_SEQPG, dataset=DOCUMENTS)
    records += cell([90.0, 92.0], metric=PAPER_SEQPG, dataset=imdb)
    run = run_of(tmp_path / "run", records)
    assert rows(run, "table8", b="1.50")["seqpg"].tolist() == [70.0]
    assert rows(run, "table3", setup="B-cos LM")["seqpg"].tolist() == [91.0]
    notes = faithbench.paper_table([run], "table3").notes
    assert "SeqPG on imdb: seqpg(segment=64); the paper: seqpg(segment=256)." in notes


@pytest.mark.parametrize(
    "changes",
    [
        {"explainer": "attention(variant=rollout)"},
        {"explainer": "bcos(contrastive=True)"},
        {"dataset": "hatexplain(classes=3)"},
        {"metric": PAPER_COMP.replace("operator=mask", "operator=pad")},
        {"model": "bcos-minilm(b=1.5, qkv=True, seed=42, embedding_bias=False)"},
        {"model": "bcos-minilm(b=1.5, qkv=False, seed=42, loss=ce, embedding_bias=False)"},
        {"model": "folder/of/a/checkpoint"},
    ],
)
def test_other_parameters_are_another_thing(tmp_path: Path, changes: Mapping[str, str]):
    conv = cell(model=CONV)
    found = rows(run_of(tmp_path / "run", [*conv, *cell(**changes)]), "table2")
    assert found["comp"].notna().sum() == 0  # Table 2 has no B-cos explanation of conventional models


def test_a_parameter_that_is_missing_has_its_default(tmp_path: Path):
    full = f"{BCOS[:-1]}, loss=bce, biases=False, start=pretrained, epochs=0, mlm_data='')"
    run = run_of(tmp_path / "run", cell(model=full, metric="comprehensiveness(protocol=paper)", dataset="hatexplain"))
    assert rows(run, "table5", setting="Full system")["comp"].tolist() == [pytest.approx(VALUES.mean())]


def test_settings_that_are_not_the_published_ones_are_told(tmp_path: Path):
    records = [
        *cell(explainer=LIME.format(300)),
        *cell(explainer="shap_sampl(n_permutations=25, protocol=paper)", model=CONV),
    ]
    found = faithbench.paper_table([run_of(tmp_path / "run", records)], "table2")
    assert found.frame()["comp"].notna().sum() == 2
    assert [note for note in found.notes if "lime(" in note] == [
        "LIME: lime(n_samples=300); the paper: lime(n_samples=3000)."
    ]
    as_published = run_of(tmp_path / "published", cell(explainer=LIME.format(3000)))
    notes = faithbench.paper_table([as_published], "table2").notes
    assert not any("lime(" in note for note in notes)
    assert "LIME: comp and suff are measured on the text with its special tokens; the paper: without them." in notes


def test_another_judge_of_the_documents_is_told(tmp_path: Path):
    def notes(name: str, dataset: str) -> list[str]:
        run = run_of(tmp_path / name, cell(dataset=dataset, metric=PAPER_SEQPG))
        return [note for note in faithbench.paper_table([run], "table2").notes if "judged" in note]

    assert notes("usual", DOCUMENTS) == notes("seed", DOCUMENTS.replace("seed=42", "seed=1")) == []
    assert notes("other", DOCUMENTS.replace("conv-minilm(seed=42)", "bcos-minilm(seed=42, embedding_bias=False)")) == [
        "SeqPG on hatexplain: the texts were judged by bcos-minilm; the paper: conv-minilm."
    ]


OLD = "bcos-minilm(b=1.5, qkv=False, seed=42)"
KEPT = "Converted with the bias of the embeddings' LayerNorm kept"


@pytest.mark.parametrize(
    ("model", "trained", "named"),
    [
        (OLD, OLD, "bcos-minilm(embedding_bias=True)"),
        (BCOS, BCOS, ""),
        (CONV, CONV, ""),
        (f"{OLD[:-1]}, biases=True)", f"{OLD[:-1]}, biases=True)", ""),  # an ablation, in the paper too
        ("runs/checkpoint", OLD, "bcos-minilm(embedding_bias=True)"),
    ],
)
def test_models_that_were_converted_before_are_told_from_the_manifest_in_one_line(tmp_path, model, trained, named):
    run = told(run_of(tmp_path / "run", cell(model=model)), {model: accuracy(80, model=trained)})
    lines = [line for line in render([run]).splitlines() if KEPT in line]
    assert len(lines) == bool(named)
    assert all(line.endswith(f"(docs/bcos.md): {named}.") for line in lines)


def test_models_that_were_converted_before_fill_the_papers_cells_and_are_told(tmp_path: Path):
    old, new = (
        told(run_of(tmp_path / name, cell(model=model)), {model: accuracy(80, model=model)})
        for name, model in (("old", OLD), ("new", BCOS))
    )
    found = {run: faithbench.paper_table([run], "table2") for run in (old, new)}
    assert found[old].frame().equals(found[new].frame())
    assert [note for note in found[old].notes if KEPT in note] == [
        f"{KEPT}, unlike the paper's, as all were before there was embedding_bias (docs/bcos.md): "
        "bcos-minilm(embedding_bias=True)."
    ]
    assert not any(KEPT in note for note in found[new].notes)
    with pytest.raises(UserError, match=r"embedding_bias=True"):
        faithbench.paper_table([old, new], "table2")


def test_two_records_for_one_cell_are_an_error_that_names_both(tmp_path: Path):
    two = run_of(tmp_path / "two", cell(explainer=LIME.format(300)) + cell(explainer=LIME.format(3000)))
    with pytest.raises(
        UserError, match=r"two records for one result: .* of lime\(n_samples=300\) on .* and .* of lime on "
    ):
        faithbench.paper_table([two], "table2")
    faithbench.paper_table([two], "table8")  # which has no LIME
    first = run_of(tmp_path / "first", cell())
    anew = run_of(tmp_path / "anew", cell(VALUES + 1, model_fingerprint="other"))
    with pytest.raises(UserError, match=r"two records for one result: .*\(weights m\) and .*\(weights other\)"):
        faithbench.paper_table([first, anew], "table8")
    content = run_of(tmp_path / "content", cell(VALUES + 1, dataset_fingerprint="other"))
    with pytest.raises(UserError, match=r"two records for one result: .*\(content d\) and .*\(content other\)"):
        faithbench.paper_table([first, content], "table8")


@pytest.mark.parametrize("what", ["model", "dataset"])
def test_records_of_replaced_weights_or_data_are_left_out_and_counted(what: str, tmp_path: Path):
    """One training in place of another in a run's folder: what is left of the first must not mix with the second."""
    earlier = cell(VALUES + 20, metric="entropy") + cell(VALUES + 20, **{f"{what}_fingerprint": "earlier"})[:7]
    earlier = [replace(each, **{f"{what}_fingerprint": "earlier"}) for each in earlier]
    found = faithbench.paper_table([run_of(tmp_path / "run", earlier + cell())], "table8")
    assert found.frame()["comp"].dropna().tolist() == [pytest.approx(VALUES.mean())]
    assert found.frame()["entropy"].isna().all()
    assert "37 records are left out: of weights, precision or data that a later run replaced." in found.notes


def test_one_training_may_be_read_in_two_precisions_each_on_data_of_its_own(tmp_path: Path):
    texts = told(run_of(tmp_path / "texts", cell(model_fingerprint="m-bf16-mixed")), {BCOS: accuracy(80)})
    of_documents = run_of(tmp_path / "documents", cell(dataset=DOCUMENTS, metric=PAPER_SEQPG))
    manifest = (of_documents / "manifest.json").read_text()
    assert '"fingerprint": "m"' in manifest
    assert '"fingerprint": "m-bf16-mixed"' in (texts / "manifest.json").read_text()
    documents = told(of_documents, {BCOS: accuracy(80)}, DOCUMENTS)
    found = faithbench.paper_table([texts, documents], "table8").frame().set_index("b").loc["1.50"]
    assert found[["accuracy", "comp", "seqpg"]].tolist() == pytest.approx([80, VALUES.mean(), VALUES.mean()])


def test_the_precision_of_rows_is_said_with_the_most_that_it_moves_a_text(tmp_path: Path):
    run = run_of(tmp_path / "run", cell(model_fingerprint="m-bf16-mixed"))
    manifest = json.loads((run / "manifest.json").read_text())
    moved = {"mean": 0.0, "largest": 1.0}
    rejected = {"dtype": "float32", "weights": "n", "data": "d", "limit": 0.5, "unit": "points", "texts": 16}
    rejected["measured"] = {"bf16-mixed": {"comprehensiveness": moved | {"absolute": 9.0}}}
    manifest.setdefault("precision", {})["rejected"] = {"auto": rejected}
    found = {"dtype": "bf16-mixed", "weights": "m", "data": "d", "limit": 0.5, "unit": "points", "texts": 16}
    for place, sizes in {
        "one": {"comprehensiveness": 0.04, "shapley": 1.5},
        "other": {"comprehensiveness": 0.06},
    }.items():
        measured = {"bf16-mixed": {name: moved | {"absolute": size} for name, size in sizes.items()}}
        manifest.setdefault("precision", {})[place] = {"bf16-mixed": {**found, "measured": measured}}
    said = "Rows without some tokens were computed in bf16-mixed, not in float32"
    assert [note for note in faithbench.paper_table([run], "table8").notes if said in note] == [f"{said}."]
    (run / "manifest.json").write_text(json.dumps(manifest))
    (note,) = (note for note in faithbench.paper_table([run], "table8").notes if said in note)
    assert note == (
        f"{said}; that moves a text by 0.06 points of comprehensiveness, 1.5 % of Shapley values at most, in the mean "
        "of a model's texts (docs/precision.md)."
    )
    usual = faithbench.paper_table([run_of(tmp_path / "usual", cell())], "table8")
    assert not any("computed in" in note for note in usual.notes)


@pytest.mark.parametrize("like", [f"table{number}" for number in range(2, 9)])
def test_a_run_that_fills_no_cell_makes_an_empty_table(like: str, tmp_path: Path):
    backbone = published(LAYOUTS[like].file)["backbone"][0] if like in ("table6", "table7") else "bert"
    run = run_of(tmp_path / "run", column([1.0, 2.0], model=f"bcos-{backbone}(seed=42)"))
    assert faithbench.paper_table([run], like).render()


def test_documents_of_another_data_set_have_their_own_published_length(tmp_path: Path):
    run = told(run_of(tmp_path / "run", cell(dataset=DOCUMENTS, metric=PAPER_SEQPG)), {BCOS: accuracy(80)}, DOCUMENTS)
    found = faithbench.paper_table([run], "table3")
    assert found.frame()["seqpg"].notna().any()
    assert not any("segment=" in note for note in found.notes)


def test_two_trainings_of_one_name_are_an_error(tmp_path: Path):
    one = told(run_of(tmp_path / "one", cell()), {BCOS: accuracy(80)})
    other = told(run_of(tmp_path / "other", cell()), {BCOS: accuracy(70)})
    text = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(text.replace('"fingerprint": "m"', '"fingerprint": "else"'))
    with pytest.raises(UserError, match=r"two records for one result: bcos-minilm\(.*weights else\)"):
        faithbench.paper_table([one, other], "table8")


def test_beside_the_paper_stand_its_number_the_difference_and_whether_the_interval_holds_it(tmp_path: Path):
    near, far = VALUES - VALUES.mean() + 59.0, VALUES
    records = cell(near) + cell(far, model="bcos-minilm(b=1.0, qkv=False, seed=42, embedding_bias=False)")
    run = told(run_of(tmp_path / "run", records), {BCOS: accuracy(77.5)})
    frame = rows(run, "table8").set_index("b")
    assert frame["comp_paper"]["1.50"] == "59.64"
    assert frame["comp_difference"]["1.50"] == pytest.approx(59.0 - 59.64)
    assert frame["comp_difference"]["1.00"] == pytest.approx(VALUES.mean() - 55.09)
    assert (frame["comp_interval_holds_paper"]["1.50"], frame["comp_interval_holds_paper"]["1.00"]) == (True, False)
    assert frame["accuracy_difference"]["1.50"] == pytest.approx(77.5 - 78.10)
    assert pd.isna(frame["accuracy_interval_holds_paper"]["1.50"])
    assert pd.isna(frame["comp_difference"]["2.00"])
    assert pd.isna(frame["comp_interval_holds_paper"]["2.00"])
    text = faithbench.paper_table([run], "table8").render("markdown", beside_paper=True)
    assert re.search(r"\| 1\.50 +\| +59\.0 ± \d\.\d \| +30 \| +59\.64 \| −0\.6, inside +\|", text)
    assert re.search(r"\| 1\.00 +\| .* \| +30 \| +55\.09 \| −1\d\.\d, outside +\|", text)
    assert re.search(r"\| 1\.50 +\| +77\.50 \| +\| +78\.10 \| −0\.60 +\|", text)
    assert re.search(r"\| 2\.25 +\| +\| +\| +70\.44 \| +\|", text)
    assert "arXiv 2502.12992, Table 8, bert" in text
    assert "another backbone, minilm" in text


@pytest.mark.parametrize(
    ("low", "high", "published", "inside"),
    [
        (50.0000001, 50.0000001, "50", True),
        (50.4, 50.6, "50", True),  # which may be 50.45
        (50.6, 51.0, "50", False),
        (59.664, 60.0, "59.66", True),
        (59.666, 60.0, "59.66", False),
        (-5.0, -4.896, "-4.89", False),
        (math.nan, math.nan, "50", pd.NA),
        (1.0, 2.0, "", pd.NA),
    ],
)
def test_a_published_number_is_as_exact_as_it_is_printed(low: float, high: float, published: str, inside: object):
    assert holds_paper(Cell((low + high) / 2, low, high, 9), published) is inside


def test_seeds_are_put_together(tmp_path: Path):
    models = {seed: f"bcos-minilm(b=1.5, qkv=False, seed={seed}, embedding_bias=False)" for seed in (1, 2, 3)}
    records = [
        r for seed, name in models.items() for r in cell(VALUES + 3 * seed, model=name, model_fingerprint=str(seed))
    ]
    reports = {models[seed]: accuracy(value, best_step=1000 * seed) for seed, value in ((1, 70), (2, 80), (3, 81))}
    run = told(run_of(tmp_path / "run", records), reports)
    found = faithbench.paper_table([run], "table8")
    row = found.frame().set_index("b").loc["1.50"]
    assert row["comp"] == pytest.approx(VALUES.mean() + 6)
    assert (row["comp_n"], row["accuracy"]) == (30, 77.0)
    expected = table([run], over_seeds=True).iloc[0]
    assert (row["comp_low"], row["comp_high"]) == pytest.approx((expected["low"], expected["high"]), rel=1e-12)
    (note,) = (note for note in found.notes if "trainings" in note)
    assert note.startswith("bcos-minilm: means over 3 trainings")
    assert re.search(r"; seeds ± 3\.0 \(30\)", found.render())


def test_setups_are_found_and_steps_shown_as_published(tmp_path: Path):
    models = {
        "Conv. LM": CONV,
        "B-cos LM": BCOS,
        "B-cos from scratch": "bcos-minilm(b=1.5, qkv=False, seed=42, start=scratch, embedding_bias=False)",
        "Task then B-cos": f"{BCOS[:-1]}, start=task, start_epochs=5, epochs=5)",
        "B-cos then task": f"{BCOS[:-1]}, start=mlm, start_epochs=10, epochs=5)",
    }
    reports = {name: accuracy(90 + i, best_step=3661 + i) for i, name in enumerate(models.values())}
    reports[models["Task then B-cos"]] |= {"start": {"best_step": 1000}, "best_step": 4333}
    reports[models["B-cos then task"]] |= {"start": {"best_step": 15000}}
    run = told(run_of(tmp_path / "run", cell()), reports, "imdb")
    frame = rows(run, "table3").set_index(["setup", "epochs"])
    filled = frame[frame["accuracy"].notna()]
    assert filled["accuracy"].to_dict() == {
        ("Conv. LM", "5"): 90.0,
        ("B-cos LM", "5"): 91.0,
        ("B-cos from scratch", "5"): 92.0,
        ("Task then B-cos", "5+5*"): 93.0,
        ("B-cos then task", "10+5*"): 94.0,
    }
    assert filled["steps_thousand"].tolist() == ["3.66", "3.66", "3.66", "1+4.33", "15+3.67"]
    assert filled["steps_thousand_difference"].iloc[-2] == pytest.approx(1 + 4.33 - 6.67 - 3.33)
    assert set(frame["steps_thousand"]) - set(filled["steps_thousand"]) == {""}


def test_ablations_are_found(tmp_path: Path):
    models = {
        "w/o alignment pressure (B=1)": "bcos-minilm(b=1.0, qkv=False, seed=42, embedding_bias=False)",
        "w/o BCE training": "bcos-minilm(b=1.5, qkv=False, seed=42, loss=ce, embedding_bias=False)",
        "w/o architectural adaptations": "bcos-minilm(b=1.5, qkv=False, seed=42, biases=True)",
        "from conv. model": CONV,
        "Full system": BCOS,
    }
    means = {setting: 10.0 * i for i, setting in enumerate(models, start=1)}
    records = [
        r for setting, model in models.items() for r in cell(VALUES - VALUES.mean() + means[setting], model=model)
    ]
    records += cell(VALUES - VALUES.mean() + 70, explainer="input_x_gradient(contrastive=False)")
    found = rows(run_of(tmp_path / "run", records), "table5").set_index("setting")["comp"].to_dict()
    assert found == {key: pytest.approx(v) for key, v in {**means, "w/o dynamic linear weights (IxG)": 70.0}.items()}


def attributions(seconds: Sequence[float], **changes: object) -> list[dict[str, object]]:
    usual = {
        **{"dataset": HATEXPLAIN, "dataset_fingerprint": "d", "model": BCOS, "model_fingerprint": "m"},
        **{"explainer": BY_BCOS, "version": "1", "target": 1, "scores": [1.0], "rows": 1, "error": None},
    }
    return [{**usual, "text_id": str(i), "seconds": value, **changes} for i, value in enumerate(seconds)]


def test_seconds_are_those_of_the_attributions(tmp_path: Path):
    run = run_of(tmp_path / "run", cell())
    store = Store(run)
    store.add(attributions([0.01, 0.03]) + attributions([0.5], model=CONV, explainer="sig(n_steps=50)"), [])
    store.add(attributions([9.0], dataset="imdb", error="no"), [])
    store.flush()
    found = faithbench.paper_table([run], "table4")
    frame = found.frame(beside_paper=True).set_index("explainer")
    assert frame["bcos_seconds"]["B-cos"] == pytest.approx(0.02)
    assert (frame["bcos_seconds_n"]["B-cos"], frame["conv_seconds"]["SIG"]) == (2, 0.5)
    assert frame["bcos_seconds_difference"]["B-cos"] == pytest.approx(0.02 - 0.08)
    assert frame[["conv_memory_gb", "bcos_memory_gb"]].isna().all(axis=None)
    assert "| 0.020 " in found.render()
    assert "benchmarks/cost.py" in found.render()
    empty = faithbench.paper_table([run_of(tmp_path / "board", cell())], "table4")
    assert empty.frame()["bcos_seconds"].isna().all()
    assert any("no attributions" in note for note in empty.notes)


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+\.\d+", text)


@pytest.mark.parametrize("like", ["table2", "table5"])
def test_all_formats_have_the_same_numbers(tmp_path: Path, like: str):
    records = cell(VALUES - 45) + cell(explainer=LIME.format(300), model=CONV)
    run = told(run_of(tmp_path / "run", records), {BCOS: accuracy(77.25)})
    found = faithbench.paper_table([run], like)
    markdown, latex = found.render("markdown", beside_paper=True), found.render("latex", beside_paper=True)
    in_rows = [line for line in markdown.splitlines() if line.startswith("| ") and "paper" not in line]
    assert numbers("\n".join(in_rows)) == numbers("\n".join(re.findall(r".*[^}\n] \\\\$", latex, re.MULTILINE)))
    frame = found.frame(beside_paper=True)
    for value in frame["comp"].dropna():
        assert f"{abs(value):.1f}" in numbers(markdown)
    for name in found.cells:
        for paper in frame[f"{name}_paper"]:
            assert f" {paper} ".replace("-", "−") in markdown
    again = pd.read_csv(io.StringIO(found.render("csv", beside_paper=True)))
    np.testing.assert_allclose(again["comp"].to_numpy(float), frame["comp"].to_numpy(float), atol=5e-5)


def test_latex_escapes_what_it_would_read_as_a_command(tmp_path: Path):
    assert escape(r"a_b & 5% #{x} \cmd ~^<") == (
        r"a\_b \& 5\% \#\{x\} \textbackslash{}cmd \textasciitilde{}\textasciicircum{}\textless{}"
    )
    text = render([run_of(tmp_path / "run", column([1.0, 2.0, 4.0], explainer=r"evil_\input{x}&%"))], "latex")
    assert r"evil\_\textbackslash{}input\{x\}\&\% & " in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    for line in text.replace(PACKAGES, "").splitlines():
        assert not re.search(r"(?<!\\)[_#%]", line.removesuffix("%"))


def test_trainings_that_are_not_the_papers_are_told(tmp_path: Path):
    settings = {"epochs": 1, "limit": 12000, "lr": 2e-05, "batch_size": 16, "max_length": 128}
    run = told(run_of(tmp_path / "run", cell()), {BCOS: accuracy(80, training=settings)})
    (note,) = (note for note in faithbench.paper_table([run], "table8").notes if "Trained" in note)
    assert note == (
        "Trained with epochs=1 (the paper: 5), limit=12000 (the paper: all texts), max_length=128 (the paper: 512): "
        "bcos-minilm on hatexplain."
    )
    usual = settings | {"epochs": 5, "limit": None, "max_length": 512}

    def trained(dataset: str, model: str = BCOS, **more: object) -> list[str]:
        about = accuracy(80, training=usual | more.pop("training", {}), **more)  # type: ignore[arg-type]
        return differing(TrainedModel(model, dataset, "m", "a CPU", about))

    assert trained(HATEXPLAIN) == trained(DOCUMENTS) == trained("ag_news", training={"lr": 3e-5}) == []
    assert trained("ag_news") == ["lr=2e-05 (the paper: 3e-05)"]
    assert trained(HATEXPLAIN, training={"batch_size": 8}) == ["batch_size=8 (the paper: 16)"]
    assert trained("file('gone')", training={"lr": 1.0}) == []  # whose rate nobody knows
    start = {"start": "mlm", "training": usual | {"lr": 1e-4, "limit": 50, "epochs": 20}}
    model = "bcos-minilm(b=1.5, qkv=False, seed=42, start=mlm, start_epochs=20, epochs=1, embedding_bias=False)"
    assert trained("imdb", model, start=start, training={"epochs": 1}) == [
        "limit=50 (the paper: all texts) in the first phase"
    ]


READ = "bcos-minilm(start=mlm, start_epochs=1, epochs=4{}, embedding_bias=False)"


def test_what_masked_language_modelling_read_does_not_count_where_it_is_the_same(tmp_path: Path):
    """Of other texts (`mlm_data`) the rows are filled as of the task's own; of both they cannot be told apart."""
    own, other = READ.format(""), READ.format(", mlm_data='standard_ebooks'")

    def filled(*models: str) -> list[float]:
        run = told(
            run_of(tmp_path / str(len([*tmp_path.iterdir()])), cell()), {m: accuracy(90) for m in models}, "imdb"
        )
        return faithbench.paper_table([run], "table3").frame()["accuracy"].dropna().tolist()

    assert filled(own) == filled(other) == filled(other, CONV)[1:] == [90.0]
    assert filled(own, other) == [90.0]  # the published one is the one without


def test_a_table_of_one_data_set_is_filled_of_another_and_says_so(tmp_path: Path):
    run = told(run_of(tmp_path / "run", cell()), {BCOS: accuracy(81), CONV: accuracy(82)})
    found = faithbench.paper_table([run], "table3")
    assert found.frame()["accuracy"].dropna().tolist() == [82.0, 81.0]
    assert found.notes[0] == "Of hatexplain; the paper's numbers, which are of imdb, are left out."
    beside = found.frame(beside_paper=True)
    assert beside.filter(regex="_difference$|_holds_paper$").isna().all(axis=None)
    assert "94.06" not in found.render(beside_paper=True)
    of_both = told(run_of(tmp_path / "both", cell()), {BCOS: accuracy(81)})
    more = told(run_of(tmp_path / "more", cell(dataset="imdb")), {BCOS: accuracy(91)}, "imdb")
    assert faithbench.paper_table([of_both, more], "table3").frame()["accuracy"].dropna().tolist() == [91.0]
    assert not any("the paper's numbers, which" in note for note in faithbench.paper_table([run], "table8").notes)


@pytest.mark.parametrize("report", [{}, {"test": {}}, {"test": {"accuracy": None}}, {"best_step": True}])
def test_a_training_of_which_little_is_known_is_no_number_and_no_crash(tmp_path: Path, report: object):
    run = told(run_of(tmp_path / "run", cell()), {BCOS: report}, "imdb")
    assert faithbench.paper_table([run], "table3").frame()[["accuracy", "steps_thousand"]].isna().all(axis=None)


@pytest.mark.parametrize("report", [{"test": 5}, {"test": {"accuracy": "high"}}, ["no"], None])
def test_a_strange_manifest_is_refused(tmp_path: Path, report: object):
    run = told(run_of(tmp_path / "run", cell()), {BCOS: report}, "imdb")
    with pytest.raises(UserError, match=r"manifest\.json: models\..*training.* which is no "):
        faithbench.paper_table([run], "table3")


def test_the_backbone_is_the_only_one_or_the_one_asked_for(tmp_path: Path, both: Path):
    other = run_of(tmp_path / "other", cell(VALUES + 9, model=BCOS.replace("minilm", "bert")))
    with pytest.raises(UserError, match=r"hold the backbones bert, minilm, and table2 shows one: .*--backbone"):
        faithbench.paper_table([both, other], "table2")
    found = faithbench.paper_table([both, other], "table2", "bert")
    assert found.frame()["comp"].dropna().tolist() == [pytest.approx(VALUES.mean() + 9)]
    assert "another backbone" not in found.render()
    with pytest.raises(UserError, match="'brt' is not a known backbone of these runs; did you mean bert"):
        faithbench.paper_table([both, other], "table2", "brt")


def test_runs_without_the_tables_models_are_an_error_that_says_what_they_hold(tmp_path: Path):
    conv = run_of(tmp_path / "conv", cell(model=CONV))
    with pytest.raises(
        UserError, match=r"hold none of table8's models \(bcos-minilm\(b=1.0\), .*they hold conv-minilm"
    ):
        faithbench.paper_table([conv], "table8")
    alien = run_of(tmp_path / "alien", cell(model="owner/model"))
    with pytest.raises(UserError, match=r"hold none of table2's models, .*; they hold owner/model"):
        faithbench.paper_table([alien], "table2")
    with pytest.raises(UserError, match="'table9' is not a known table of the paper; did you mean"):
        faithbench.paper_table([conv], "table9")


def test_the_command_prints_and_refuses_in_a_sentence(both: Path, capsys: pytest.CaptureFixture[str]):
    ended = call(capsys, "table", both, "--like", "table2", "--beside-paper")
    assert (ended.status, ended.out) == (0, faithbench.paper_table([both], "table2").render(beside_paper=True))
    csv = call(capsys, "table", both, "--like", "table2", "--format", "csv")
    assert csv.out == faithbench.paper_table([both], "table2").render("csv")
    assert "Not in these runs: ag_news, imdb." in csv.err
    for options in (["--beside-paper"], ["--backbone", "minilm"], ["--like", "table2", "--by-class"]):
        refused = call(capsys, "table", both, *options)
        assert (refused.status, len(refused.complaints)) == (2, 1)
    refused = call(capsys, "table", both, "--like", "table2", "--format", "docx")
    assert refused.complaints == [f"faithbench: format 'docx' is not known; use {' or '.join(FORMATS)}."]
    assert call(capsys, "table", both, "--format", "latex").out == render([both], "latex")


def test_models_that_were_all_masked_alike_are_the_table_s(tmp_path: Path):
    masked = f"{BCOS[:-1]}, masking=half)"
    run = told(run_of(tmp_path / "run", cell(model=masked)), {masked: accuracy(80)})
    shown = faithbench.paper_table([run], "table2")
    assert np.nanmean(shown.frame()["comp"].astype(float)) == pytest.approx(VALUES.mean())
    assert "masking=half" in shown.render()
    plain = run_of(tmp_path / "plain", cell(VALUES + 7))
    frame = faithbench.paper_table([run, plain], "table2").frame()  # then the one that the paper has
    assert np.nanmean(frame["comp"].astype(float)) == pytest.approx(VALUES.mean() + 7)


def test_trainings_of_two_conversions_are_no_seeds_of_one(tmp_path: Path):
    older = "bcos-minilm(b=1.5, qkv=False, seed=7)"
    run = told(run_of(tmp_path / "run", cell()), {BCOS: accuracy(80), older: accuracy(60)})
    with pytest.raises(UserError, match=r"two records for one result: .*bcos-minilm"):
        faithbench.paper_table([run], "table2")


def test_a_parameter_that_a_recorded_model_lacks_is_what_it_was():
    assert value_of("model", "conv-tiny(seed=42)", "masking") == "none"
    assert value_of("model", "conv-minilm(seed=42)", "masking") == "none"
    assert value_of("model", "bcos-minilm(b=1.5, seed=42)", "embedding_bias") is True
    assert value_of("model", BCOS, "embedding_bias") is False
