"""Figures of runs: their numbers are those of the table, what cannot be drawn is said, names are drawn as text."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures_run import call
from hostile_words import WORDS
from records import ENTROPY, SUFF, column, record, run_of
from reports import keep_texts, records_of, text_of, values_of

import faithbench
from faithbench.errors import UserError
from faithbench.plugins.spec import build
from faithbench.records.store import Store
from faithbench.shown import visible
from faithbench.tables.drawing import looks, short, spread
from faithbench.types import Record

FULL_COMP = build("metric", "comprehensiveness").identity
FULL_SUFF = build("metric", "sufficiency").identity
BEST = build("metric", "normalised(comprehensiveness)").identity
EXPLAINERS = ("bcos(contrastive=False)", "occlusion", "random(seed=0)")
SHARES = tuple(i / 10 for i in range(1, 10))
N = 12


def measured(explainer: str, level: float, metric: str = FULL_COMP, **changes: object) -> list[Record]:
    """Drops at nine ratios that rise from 0, and their mean in percent."""
    drops = np.random.default_rng(int(level * 10)).uniform(0, level / 50, (N, 9)).cumsum(axis=1) / 9
    found = column(100 * drops.mean(axis=1), explainer=explainer, metric=metric, **changes)
    return [replace(r, parts=tuple(map(float, own))) for r, own in zip(found, drops, strict=True)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three explainers by two metrics that are curves, one that is none, and the best order found."""
    records: list[Record] = []
    for level, explainer in enumerate(reversed(EXPLAINERS), 1):
        records += measured(explainer, 20.0 * level) + measured(explainer, 60 - 15.0 * level, FULL_SUFF)
        records += column(np.arange(N), explainer=explainer, metric=ENTROPY)
        best = column(np.full(N, 50.0), explainer=explainer, metric=BEST)
        records += [replace(r, parts=(40.0, 20.0, 60.0 + i), weight=40.0) for i, r in enumerate(best)]
    return run_of(tmp_path / "run", records)


def texts_of(path: Path) -> list[str]:
    return [text.text or "" for text in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def test_scores_are_the_numbers_of_the_table(run: Path):
    found, table = faithbench.figure([run]), faithbench.table([run])
    shown = ["explainer", "metric", "mean", "low", "high", "n", "rank_group"]
    pd.testing.assert_frame_equal(found.data[shown], table[shown])
    best = found.data.groupby("metric")["best"].first()
    assert best[FULL_COMP] == pytest.approx(60 + (N - 1) / 2)
    assert best.drop(FULL_COMP).isna().all()
    for said in ("n = 12 texts", "95 %", "Filled", "random", "search found"):
        assert said in found.caption


def test_curves_average_to_the_scores(run: Path):
    found = faithbench.figure([run], "curves").data
    table = faithbench.table([run]).set_index(["metric", "explainer"])["mean"]
    assert set(found["metric"]) == {FULL_COMP, FULL_SUFF}
    assert sorted(found["share"].unique()) == list(SHARES)
    for key, line in found.groupby(["metric", "explainer"]):
        assert 100 * line["mean"].mean() == pytest.approx(table[key])
        assert (line["low"] <= line["mean"]).all()
        assert (line["mean"] <= line["high"]).all()
        assert set(line["n"]) == {N}


def test_names_choose_what_is_drawn(run: Path):
    found = faithbench.figure([run], metrics=["comp"], explainers=["bcos", "random"])
    assert "Filled: the best of all that were measured, and" in found.caption
    assert "Filled: the best, and" in faithbench.figure([run]).caption
    assert set(found.data["metric"]) == {FULL_COMP}
    assert set(found.data["explainer"]) == {"bcos(contrastive=False)", "random(seed=0)"}
    with pytest.raises(UserError, match="'sig' is not a known explainer of the runs"):
        faithbench.figure([run], explainers=["sig"])
    with pytest.raises(UserError, match="'racu' is not a known metric of the runs"):
        faithbench.figure([run], metrics=["racu"])


def test_agreement_is_that_of_the_meta_evaluation(run: Path, tmp_path: Path):
    found = faithbench.figure([run], "agreement")
    pd.testing.assert_frame_equal(found.data, faithbench.meta_evaluation([run]).pairs)
    assert "n = 12 texts" in found.caption
    texts = texts_of(found.plot(tmp_path / "map.svg"))
    assert any(text.startswith("comprehensiveness  ") for text in texts)
    assert "rank agreement, Kendall's τ_b" in texts


@pytest.mark.parametrize(
    ("of", "records", "message"),
    [
        (
            "curves",
            column(range(5), metric=ENTROPY),
            "there is no curve to draw: comprehensiveness and sufficiency are",
        ),
        ("curves", column(range(5), metric=FULL_COMP), "records of comprehensiveness hold no parts"),
        ("cost", column(range(5)), "do not say what explanations cost in rows"),
        ("agreement", column(range(5)), "no two metrics with a better and worse ranked the same 3 explainers"),
        ("text", column(range(5)), "hold no attributions"),
        ("scores", [record(float("nan"), 0)], "there is nothing to draw"),
        ("pie", column(range(5)), "'pie' is not a known figure of runs"),
    ],
)
def test_what_runs_lack_is_said_in_a_sentence(of: str, records: Sequence[Record], message: str, tmp_path: Path):
    run = run_of(tmp_path / "run", records)
    with pytest.raises(UserError, match=message) as error:
        faithbench.figure([run], of, text="0" if of == "text" else None)
    assert len(str(error.value)) < 400
    assert str(error.value).count(". ") == 0


def test_one_explainer_by_one_metric_is_drawn(tmp_path: Path):
    run = run_of(tmp_path / "run", column([1.0, 2.0, 4.0], metric=SUFF))
    assert "occlusion" in texts_of(faithbench.figure([run]).plot(tmp_path / "one.svg"))


def test_one_explainer_on_several_models_is_drawn_model_by_model(tmp_path: Path):
    models = [f"m{i}" for i in range(15)]
    records = [r for i, model in enumerate(models) for r in column([i, i + 2.0], model=model, metric=FULL_SUFF)]
    found = faithbench.figure([run_of(tmp_path / "run", records)])
    assert (len(found.data), found.notes, "Filled" in found.caption) == (15, (), False)
    told = texts_of(found.plot(tmp_path / "models.svg"))
    assert [text for text in told if text in models] == models  # the best first: of sufficiency the least
    assert "occlusion on planted" in told
    better = [r for model in models for r in column([0.0] * 20, model=model, metric=FULL_SUFF, explainer="saliency")]
    worse = [r for model in models for r in column(range(1, 21), model=model, metric=FULL_SUFF)]
    chosen = faithbench.figure([run_of(tmp_path / "chosen", [*better, *worse])], explainers=["occlusion"])
    assert "hollow: others" in chosen.caption  # than the one that is not drawn
    again = column([1.0, 2.0], model=models[0], model_fingerprint="later", metric=FULL_SUFF)
    twice = faithbench.figure([run_of(tmp_path / "twice", [*records[:4], *again])])
    told = texts_of(twice.plot(tmp_path / "twice.svg"))  # of two trainings with one name each has its panel
    assert [text for text in told if "weights later" in text] == ["m0 (weights later) on planted"]
    assert told.count("occlusion") == 3


@pytest.mark.parametrize("of", ["scores", "curves"])
def test_drawings_are_the_same_each_time_and_have_a_caption(of: str, run: Path, tmp_path: Path):
    found = faithbench.figure([run], of)
    one, other = (found.plot(tmp_path / name).read_bytes() for name in ("a.svg", "b.svg"))
    assert one == other
    assert b"<dc:description>data " in one
    assert b"<dc:date>" not in one
    text = " ".join(texts_of(tmp_path / "a.svg"))
    assert all(word in text for word in found.caption.split())
    for ending in (".png", ".pdf"):
        assert found.plot(tmp_path / f"a{ending}").stat().st_size > 1000


@pytest.mark.parametrize("name", [name for name in WORDS if name != "half"])
def test_hostile_names_are_drawn_as_they_are_shown(name: str, tmp_path: Path):
    records = [*measured(WORDS[name], 10.0), *measured("occlusion", 20.0)]
    run = run_of(tmp_path / "run", records)
    for of in ("scores", "curves"):
        texts = texts_of(faithbench.figure([run], of).plot(tmp_path / f"{of}.svg"))
        assert short(WORDS[name]) in texts
        assert all(visible(text, keep="\n") == text for text in texts)


def test_many_panels_are_cut_with_a_word(tmp_path: Path):
    records = [r for i in range(15) for r in column(range(4), metric=ENTROPY, dataset=f"d{i}")]
    found = faithbench.figure([run_of(tmp_path / "run", records)])
    assert found.notes == ("12 of 15 panels are drawn; choose others with --metric, --model or --dataset.",)
    assert found.data["dataset"].nunique() == 12


def test_costs_are_of_the_attributions(run: Path):
    spent = {"bcos(contrastive=False)": 1, "occlusion": 20, "random(seed=0)": 0}
    store = Store(run)
    store.add([_attribution(name, rows, text) for name, rows in spent.items() for text in range(4)], [])
    store.flush()
    found = faithbench.figure([run], "cost").data
    assert dict(zip(found["explainer"], found["cost"], strict=True)) == spent
    assert set(found["metric"]) == {FULL_COMP}
    seconds = faithbench.figure([run], "cost", by="seconds").data
    assert set(seconds["cost"]) == {0.5}
    with pytest.raises(UserError, match="cost by 'euros' is not known; use rows or seconds"):
        faithbench.figure([run], "cost", by="euros")


def _attribution(explainer: str, rows: int, text: int) -> dict[str, object]:
    place = {name: getattr(record(0.0, 0), name) for name in ("dataset", "dataset_fingerprint", "model")}
    rest = {"model_fingerprint": "m", "version": "1", "text_id": str(text), "target": 1}
    told = {"scores": [1.0], "seconds": 0.5, "rows": rows, "error": None}
    return {**place, "explainer": explainer, **rest, **told}


def test_the_command_draws_and_refuses(run: Path, tmp_path: Path, capsys):
    out = tmp_path / "scores.svg"
    ended = call(capsys, "figure", run, "--metric", "comp", "--out", out)
    assert (ended.status, ended.err) == (0, f"wrote {out}\n")
    ended = call(capsys, "figure", run, "--of", "text", "--out", out)
    assert (ended.status, len(ended.complaints)) == (2, 1)
    assert "which text?" in ended.err
    ended = call(capsys, "figure", run, "--like", "figure5", "--metric", "comp", "--out", out)
    assert (ended.status, len(ended.complaints)) == (2, 1)


@pytest.mark.parametrize(("wanted", "number", "name"), [("2", 2, "25"), ("25", 2, "25"), ("0", 1, "0")])
def test_a_text_has_the_number_that_reports_give_it(tmp_path: Path, wanted: str, number: int, name: str):
    ids = ("0", "25", "113")
    run = run_of(tmp_path / "run", records_of(values_of(3, **{"occlusion": 1.0}), ids=ids))
    keep_texts(run, [text_of(each, "a superb film") for each in ids], ["occlusion"], lambda *_: np.zeros(5), "ab")
    found = faithbench.figure([run], "text", text=wanted)
    assert found.caption.startswith(f"Text {number} (id {name}): ")
    assert set(found.data["unit"]) == {name}
    assert found.caption.endswith(": what speaks for b (+), and what against it (−)")
    assert set(found.data["explained"]) == {"b"}


def test_a_text_of_which_several_labels_are_explained_has_lines_that_say_which(tmp_path: Path):
    run = run_of(tmp_path / "run", records_of(values_of(1, **{"occlusion": 1.0}), ids=("0",)))
    names, targets = ("calm", "a|b"), [(1, None), (0, None), (0, 1)]
    keep_texts(run, [text_of("0", "a superb film")], ["occlusion"], lambda *_: np.zeros(5), names, targets=targets)
    found = faithbench.figure([run], "text", text="0")
    assert "what speaks for what is explained (+)" in found.caption
    told = " ".join(texts_of(found.plot(tmp_path / "text.svg")))
    for title in ("occlusion, for a|b ", "occlusion, for calm a", "occlusion, for calm rather than a|b "):
        assert title in told
    assert sorted(set(found.data["explained"])) == ["a|b", "calm", "calm rather than a|b"]


def test_a_published_table_is_a_figure(tmp_path: Path):
    usual = {"dataset": "hatexplain(classes=2)", "explainer": EXPLAINERS[0]}
    model = "bcos-minilm(b=1.5, qkv=False, seed=42, embedding_bias=False)"
    metric = build("metric", "comprehensiveness(protocol=paper)").identity
    run = run_of(tmp_path / "run", column(range(40, 52), model=model, metric=metric, **usual))
    found = faithbench.figure([run], like="table2")
    row = found.data[found.data["value"].notna()].iloc[0]
    assert (row["group"], row["row"], row["column"], row["n"]) == ("hatexplain", "bcos, B-cos", "comp", 12)
    frame = faithbench.paper_table([run], "table2").frame(beside_paper=True)
    ours = frame[frame["comp"].notna()].iloc[0]
    for name in ("", "_low", "_high", "_difference"):
        assert row[{"": "value"}.get(name, name[1:])] == ours[f"comp{name}"]
    assert row["paper"] == float(ours["comp_paper"])
    assert "hatexplain comp" in texts_of(found.plot(tmp_path / "table2.svg"))


def test_names_stand_apart_and_in_order():
    places = [0.0, 0.1, 0.2, 5.0, 5.0, -3.0]
    found = spread(places, 1.0)
    order = sorted(range(6), key=lambda i: (places[i], i))
    assert np.diff([found[i] for i in order]).min() >= 1.0 - 1e-9
    assert found[5] == -3.0
    assert np.mean(found[:3]) == pytest.approx(0.1)


def test_lines_differ_without_colour():
    seen = [(look["linestyle"], look["marker"]) for look, _ in zip(looks(), range(8), strict=False)]
    assert len(set(seen)) == 8
