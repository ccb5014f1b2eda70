"""The table of decoders: its numbers from records by hand, which paradigms are ranked, and how it is written."""

import io
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures_run import call
from records import record, run_of

import faithbench
from faithbench.boards.folder import read_board
from faithbench.boards.made import tables_of
from faithbench.errors import UserError
from faithbench.paper.decoders import NOT_OBTAINABLE, DecoderTable
from faithbench.plan import Plan, write_plan
from faithbench.records.results import label
from faithbench.statistics.paired_tests import flip_test, holm
from faithbench.tables.table import notes as all_notes
from faithbench.tables.writers import FORMATS
from faithbench.types import Record

MODEL = "conv-gpt2(seed=42)"
MRR, RIGHT = "evidence_mrr", "evidence_mrr(right=True)"
ADJUSTED = "evidence_mrr(adjusted=True)"
PARADIGMS = ("anaphor", "determiner", "npi")
NAN = math.nan


def data(paradigm: str) -> str:
    return f"blimp(paradigm={paradigm}, texts=standard_ebooks)"


def alone(paradigm: str) -> str:
    """What a paradigm is called where there is no other."""
    return label("dataset", data(paradigm))


def items(
    ranks: Sequence[float], chances: Sequence[float], paradigm: str, explainer: str, metric: str = MRR, **changes
) -> list[Record]:
    """A record for each item; a rank of NaN is an item without a value."""
    found = []
    for text, (rank, chance) in enumerate(zip(ranks, chances, strict=True)):
        parts = () if math.isnan(rank) else (rank, chance)
        value, weight = 100 * rank, 1.0
        if metric == ADJUSTED:
            value, weight = 100 * (rank - chance) / (1 - chance), 1 - chance
        fields = {"explainer": explainer, "metric": metric, "version": "1.2", "target": 0, "model": MODEL, **changes}
        found.append(record(value, text, dataset=data(paradigm), parts=parts, weight=weight, **fields))
    return found


def drawn(seed: int, n: int, best: float) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed)
    return 1 / (1 + draws.binomial(3, 1 - best, n)), draws.choice([0.4, 0.5, 0.75], n)


CASES = {  # items, quality of two explainers
    "anaphor": (40, 0.9, 0.5),
    "determiner": (25, 0.8, 0.5),
    "npi": (30, 0.6, 0.5),
}


def values() -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    found = {}
    for number, (paradigm, (n, *qualities)) in enumerate(CASES.items()):
        chances = drawn(number, n, 0.5)[1]
        both = [drawn(10 * number + which, n, quality)[0] for which, quality in enumerate(qualities)]
        found[paradigm] = {name: (ranks, chances) for name, ranks in zip(("bcos", "random"), both, strict=True)}
    return found


def performances(path: Path, **accuracies: float) -> Path:
    """Writes into a run's manifest how often the model is right on each paradigm."""
    manifest = json.loads((path / "manifest.json").read_text())
    for place, entry in manifest["models"].items():
        accuracy = next(each for name, each in accuracies.items() if name in place)
        entry["performance"] = {"texts": 200, "labelled": 200, "accuracy": accuracy, "chance": 50.0}
        entry["performance"]["probability gap"] = 1.25
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    every = [
        each
        for paradigm, explainers in values().items()
        for name, (ranks, chances) in explainers.items()
        for each in (
            *items(ranks, chances, paradigm, name),
            *items(np.where(np.arange(len(ranks)) % 2, ranks, NAN), chances, paradigm, name, RIGHT),
        )
    ]
    folder = run_of(tmp_path_factory.mktemp("decoders") / "run", every)
    return performances(folder, anaphor=90.0, determiner=70.0, npi=52.0)


@pytest.fixture(scope="module")
def table(run) -> DecoderTable:
    return faithbench.paper_table([run], "decoders")


def row(frame: pd.DataFrame, paradigm: str, explainer: str = "bcos", paradigms: int = 1) -> pd.Series:
    chosen = (frame["paradigm"] == paradigm) & (frame["explainer"] == explainer) & (frame["paradigms"] == paradigms)
    (found,) = [each for _, each in frame[chosen].iterrows()]
    return found


def test_each_paradigm_has_its_mean_its_chance_and_what_is_above_it(table):
    frame = table.frame()
    for paradigm, explainers in values().items():
        for name, (ranks, chances) in explainers.items():
            found = row(frame, paradigm, name)
            assert found["mrr"] == pytest.approx(100 * ranks.mean())
            assert found["chance"] == pytest.approx(100 * chances.mean())
            assert found["adjusted"] == pytest.approx(100 * (ranks - chances).sum() / (1 - chances).sum())
            assert found["n"] == len(ranks)
            assert found["mrr_low"] < found["mrr"] < found["mrr_high"]
            assert found["right_n"] == len(ranks) // 2
            assert found["right_mrr"] == pytest.approx(100 * ranks[1::2].mean())
            assert found["right_chance"] == pytest.approx(100 * chances[1::2].mean())
            assert found["probability_gap"] == 1.25


def test_in_a_macro_mean_each_paradigm_counts_alike_and_items_are_drawn_within_each(table):
    frame = table.frame()
    for members in (PARADIGMS[:2], PARADIGMS):
        for name in ("bcos", "random"):
            every = [values()[paradigm][name] for paradigm in members]
            mrr, chance = (np.mean([each[i].mean() for each in every]) for i in (0, 1))
            error = math.sqrt(sum(ranks.var(ddof=1) / len(ranks) for ranks, _ in every)) / len(every)
            found = row(frame, "macro mean", name, len(members))
            assert found["mrr"] == pytest.approx(100 * mrr)
            assert found["chance"] == pytest.approx(100 * chance)
            assert found["adjusted"] == pytest.approx(100 * (mrr - chance) / (1 - chance))
            assert (found["mrr_high"] - found["mrr_low"]) / 2 == pytest.approx(100 * 1.99 * error, rel=0.08)
            assert found["n"] == sum(len(ranks) for ranks, _ in every)


def test_paired_tests_over_items_are_corrected_and_weigh_paradigms_alike(table):
    (macro,) = [each for each in table.blocks[0].macro if each.is_ranked]
    both = [values()[paradigm] for paradigm in PARADIGMS[:2]]
    columns = np.concatenate([np.stack([each[name][0] for name in ("bcos", "random")], axis=1) for each in both])
    sizes = [len(each["bcos"][0]) for each in both]
    weights = np.repeat([sum(sizes) / (2 * n) for n in sizes], sizes)[:, None].repeat(2, axis=1)
    p = holm(flip_test(100 * columns, weights, np.array([[0, 1]])))[0]
    assert macro.ranks.p[0, 1, macro.panel.metrics.index(MRR)] == pytest.approx(p)
    assert row(table.frame(), "macro mean", "bcos", 2)["rank_group"] == 1
    assert row(table.frame(), "macro mean", "random", 2)["rank_group"] == (2 if p < 0.05 else 1)


def test_the_table_says_that_a_bias_for_places_or_words_may_find_as_much(table):
    text = table.render()
    assert "scores by place or word alone reach up to 100" in " ".join(text.split())


def test_a_paradigm_on_which_the_model_is_not_shown_to_be_above_chance_is_not_ranked(table):
    frame, text = table.frame(), table.render()
    assert set(frame[frame["ranked"]]["paradigm"]) == {"anaphor", "determiner", "macro mean"}
    assert frame[~frame["ranked"]]["rank_group"].isna().all()
    assert frame[frame["ranked"]]["rank_group"].notna().all()
    (note,) = [each for each in table.notes if "not shown to be above chance (50 %) on" in each]
    assert note.endswith("on npi (52.0 %, 44.8 to 59.1): explainers are not ranked there.")
    lines = [line for line in text.splitlines() if line.startswith("| npi")]
    assert all("npi†" in line and "**" not in line for line in lines)
    assert len(lines) == 5
    assert any(line.startswith("| anaphor") and "**" in line for line in text.splitlines())


@pytest.mark.parametrize("format", FORMATS)
def test_every_writer_says_what_is_not_obtainable_and_leaves_it_empty(table, format):
    text = table.render(format, beside_paper=True)
    if format == "csv":
        frame = pd.read_csv(io.StringIO(text))
        assert frame["mrr_paper"].isna().all()
        assert len(frame) == len(table.frame())
        assert "mrr_paper" not in table.frame()
    else:
        assert "not obtainable" in " ".join(text.split())
        assert "macro mean of 2" in text
    assert NOT_OBTAINABLE in table.notes


def test_items_without_a_value_change_no_mean(run, tmp_path):
    more = [
        each
        for paradigm, explainers in values().items()
        for name, (ranks, chances) in explainers.items()
        for each in items([*ranks, NAN, NAN, NAN], [*chances, 0.5, 0.5, 0.5], paradigm, name)
    ]
    other = performances(run_of(tmp_path / "run", more), anaphor=90.0, determiner=70.0, npi=52.0)
    first, second = (faithbench.paper_table([each], "decoders").frame() for each in (run, other))
    for name in ("mrr", "chance", "adjusted", "n"):
        assert second[name].tolist() == pytest.approx(first[name].tolist())


def test_seeds_are_one_model_whose_items_have_the_mean_of_its_trainings(tmp_path):
    both = [drawn(seed, 20, 0.7) for seed in (1, 2)]
    chances = both[0][1]
    every = [
        each
        for seed, (ranks, _) in enumerate(both)
        for name, own in (("bcos", ranks), ("random", ranks[::-1]))
        for each in items(own, chances, "anaphor", name, model=f"conv-gpt2(seed={seed})", model_fingerprint=f"m{seed}")
    ]
    run = performances(run_of(tmp_path / "run", every), anaphor=80.0)
    frame = faithbench.paper_table([run], "decoders").frame()
    ranks = np.mean([each for each, _ in both], axis=0)
    assert set(frame["model"]) == {"conv-gpt2"}
    assert row(frame, alone("anaphor"))["mrr"] == pytest.approx(100 * ranks.mean())
    assert row(frame, alone("anaphor"))["adjusted"] == pytest.approx(
        100 * (ranks - chances).sum() / (1 - chances).sum()
    )
    assert row(frame, alone("anaphor"))["n"] == 20


def test_what_was_measured_above_chance_alone_tells_ranks_too_and_older_records_only_these(tmp_path):
    ranks, chances = drawn(1, 20, 0.7)
    above = performances(run_of(tmp_path / "a", items(ranks, chances, "anaphor", "bcos", ADJUSTED)), anaphor=90.0)
    found = row(faithbench.paper_table([above], "decoders").frame(), alone("anaphor"))
    assert found[["mrr", "chance", "adjusted"]].tolist() == pytest.approx(
        [100 * ranks.mean(), 100 * chances.mean(), 100 * (ranks - chances).sum() / (1 - chances).sum()]
    )
    bare = [record(100 * r, i, dataset=data("npi"), metric=MRR, parts=(), model=MODEL) for i, r in enumerate(ranks)]
    old = faithbench.paper_table([run_of(tmp_path / "b", bare)], "decoders")
    found = row(old.frame(), alone("npi"), "occlusion")
    assert found["mrr"] == pytest.approx(100 * ranks.mean())
    assert math.isnan(found["chance"])
    assert math.isnan(found["adjusted"])
    assert any(f"is right on {alone('npi')} is not known" in note for note in old.notes)
    assert any("earlier versions" in note for note in old.notes)


def test_a_failed_or_missing_explainer_has_no_macro_mean_of_other_paradigms(run, tmp_path):
    ranks, chances = drawn(7, 25, 0.7)
    some = items(ranks, chances, "anaphor", "lime")
    more = [each for name, found in values().items() for each in items(*found["bcos"], name, "bcos")]
    frame = faithbench.paper_table([run_of(tmp_path / "run", some + more)], "decoders").frame()
    assert set(frame[frame["paradigm"] == "macro mean"]["explainer"]) == {"bcos"}
    assert set(frame[frame["paradigm"] == "anaphor"]["explainer"]) == {"bcos", "lime"}


def test_conventional_and_bcos_models_stand_side_by_side(run, tmp_path):
    ranks, chances = drawn(1, 20, 0.7)
    both = [each for name in ("conv-gpt2", "bcos-gpt2") for each in items(ranks, chances, "npi", "lime", model=name)]
    entry = {"training": {"validation": {"perplexity": 87.25}}}
    other = performances(run_of(tmp_path / "run", both, **entry), npi=61.0)
    lines = faithbench.paper_table([other], "decoders").render().splitlines()
    (heads,) = [line for line in lines if "bcos-gpt2" in line and "conv-gpt2" in line]
    assert [each.strip() for each in heads.split("|")] == ["", "paradigm", "bcos-gpt2", "conv-gpt2", ""]
    accuracy, perplexity = (next(line for line in lines if line.startswith(f"| {each}")) for each in ("blimp", "perp"))
    assert accuracy.count("61.0 ± 7.0 (+1.25)") == 2
    assert perplexity.count("87.25") == 2


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"validation": {"perplexity": 87.25}}, "perplexity 87.25 of validation texts."),
        (
            {"validation": {"perplexity": 87.25}, "start": {"validation": {"perplexity": 91.5}}},
            "perplexity 87.25 of validation texts, 91.50 of the conventional model that it was converted from.",
        ),
        ({"validation": {"accuracy": 80.0}, "start": "conv-tiny"}, ""),
    ],
)
def test_the_perplexity_of_one_model_is_said_beside_that_of_what_it_was_converted_from(training, said, tmp_path):
    ranks, chances = drawn(1, 20, 0.7)
    other = run_of(tmp_path / "run", items(ranks, chances, "npi", "lime"), training=training)
    table = faithbench.paper_table([other], "decoders")
    assert [each for each in table.notes if "perplexity" in each] == [f"{label('model', MODEL)}: {said}"] * bool(said)
    assert said in " ".join(table.render().split())
    known = table.frame().iloc[0][["perplexity", "perplexity_before"]].tolist()
    both = (training["validation"].get("perplexity", NAN), 91.5 if "91.5" in said else NAN)
    assert known == pytest.approx(both, nan_ok=True)


def test_each_ranked_paradigm_has_the_paired_test_of_the_best_against_each_other(tmp_path):
    draws, names = np.random.default_rng(3), ("bcos", "lime", "random")
    ranks = np.stack([1 / (1 + draws.binomial(3, p, 60)) for p in (0.1, 0.3, 0.7)], axis=1)
    every = [each for i, name in enumerate(names) for each in items(ranks[:, i], [0.4] * 60, "anaphor", name)]
    every += [each for name in names for each in items(ranks[:, 0], [0.4] * 60, "npi", name)]
    run = performances(run_of(tmp_path / "run", every), anaphor=90.0, npi=52.0)
    table = faithbench.paper_table([run], "decoders")
    p = holm(flip_test(100 * ranks, np.ones_like(ranks), np.array([[0, 1], [0, 2], [1, 2]])))
    for place, name in enumerate(names[1:]):
        found = row(table.frame(), "anaphor", name)
        assert found["below_best"] == pytest.approx(100 * (ranks[:, 0] - ranks[:, place + 1]).mean())
        assert found["p"] == pytest.approx(p[place])
    unsaid = table.frame()[(table.frame()["paradigm"] == "npi") | (table.frame()["explainer"] == "bcos")]
    assert unsaid[["below_best", "p"]].isna().all(axis=None)
    lines = table.render().split("in parentheses p")[1].splitlines()
    (line,) = [each for each in lines if each.startswith("| anaphor")]
    gap = 100 * (ranks[:, 0] - ranks[:, 2]).mean()
    assert [each.strip() for each in line.split("|")][2] == "best"
    assert f"+{gap:.1f} ({'< 0.001' if p[1] < 0.001 else f'{p[1]:.3f}'})" in line
    assert not any(each.startswith("| npi") for each in lines)


def test_questions_of_several_kinds_in_one_data_set_are_paradigms_where_the_manifest_tells_them_apart(tmp_path):
    ranks, chances = drawn(1, 40, 0.7)
    every = items(ranks, chances, "", "bcos") + items(ranks[::-1], chances, "", "random")
    every = [replace(each, unit=f"{'ab'[int(each.unit) % 2]}/{each.unit}") for each in every]
    every += [replace(each, model="bcos-gpt2") for each in every]
    right = {"accuracy": 90.0, "chance": 50.0, "labelled": 100}
    kinds = {"kinds": {"a": right, "b": {**right, "accuracy": 51.0}}}
    found, plain = (run_of(tmp_path / name, every, **more) for name, more in (("run", kinds), ("plain", {})))
    frame = faithbench.paper_table([found], "decoders").frame()
    frame = frame[frame["model"] == "bcos-gpt2"]
    assert set(frame["paradigm"]) == {"a", "b", "macro mean"}
    for kind, begin in (("a", 0), ("b", 1)):
        assert row(frame, kind)["mrr"] == pytest.approx(100 * ranks[begin::2].mean())
        assert row(frame, kind)["ranked"] == (kind == "a")
    assert set(faithbench.paper_table([plain], "decoders").frame()["paradigm"]) == {label("dataset", data(""))}


def test_items_that_were_left_out_are_said(run, tmp_path):
    ranks, chances = drawn(1, 20, 0.7)
    skipped = {"count": 3, "of": 23, "rows": [{"id": "7", "reason": "one continuation begins with the other"}]}
    other = run_of(tmp_path / "run", items(ranks, chances, "npi", "bcos"), skipped=skipped)
    notes = faithbench.paper_table([other], "decoders").notes
    assert any("3 of 23 rows were left out: row '7': one continuation begins with the other" in each for each in notes)


def test_what_the_data_set_left_out_or_noted_is_said_beside_what_the_model_could_not_read(tmp_path):
    ranks, chances = drawn(1, 20, 0.7)
    skipped = {"count": 3, "of": 23, "rows": [{"id": "7", "reason": "one continuation begins with the other"}]}
    other = run_of(tmp_path / "run", items(ranks, chances, "npi", "bcos"), skipped=skipped)
    changed = json.loads((other / "manifest.json").read_text())
    (entry,) = changed["datasets"].values()
    entry["skipped"] = {"count": 2, "of": 25, "rows": [{"id": "9", "reason": "it has no prefix"}]}
    entry["notes"] = ["blimp: 4 of 25 rows repeat another and are left out"]
    (other / "manifest.json").write_text(json.dumps(changed))
    for notes in (faithbench.paper_table([other], "decoders").notes, list(all_notes([other]))):
        said = [each for each in notes if "of 23 rows" in each or "of 25 rows" in each]
        assert [each.partition(": ")[2] for each in said] == [
            "2 of 25 rows were left out: row '9': it has no prefix; and 1 more.",
            "4 of 25 rows repeat another and are left out.",
            "3 of 23 rows were left out: row '7': one continuation begins with the other; and 2 more.",
        ]
        assert all(alone("npi") in each for each in said)
    entry["notes"] = [3]
    (other / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises(UserError, match="notes"):
        faithbench.paper_table([other], "decoders")


def test_runs_without_known_evidence_or_the_backbone_are_refused(run, tmp_path):
    other = run_of(tmp_path / "run", [record(1.0, 1)])
    with pytest.raises(UserError, match="the runs hold no evidence_mrr, which the table of decoders shows"):
        faithbench.paper_table([other], "decoders")
    with pytest.raises(UserError, match="'gpt3' is not a known backbone of these runs; did you mean gpt2"):
        faithbench.paper_table([run], "decoders", "gpt3")
    assert len(faithbench.paper_table([run], "decoders", "gpt2").blocks) == 1
    with pytest.raises(UserError, match="'decoder' is not a known table of the paper; did you mean decoders"):
        faithbench.paper_table([run], "decoder")


def test_the_command_prints_it(run, table, capsys):
    ended = call(capsys, "table", str(run), "--like", "decoders")
    assert (ended.status, ended.out) == (0, table.render())
    ended = call(capsys, "table", str(run), "--like", "decoders", "--format", "csv")
    assert ended.out == table.render("csv")
    assert NOT_OBTAINABLE in " ".join(ended.err.split())


def test_a_board_whose_plan_is_like_it_holds_it(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "board")
    plan = Plan(tuple(map(data, PARADIGMS)), ("conv-gpt2",), ("bcos", "random"), (MRR, RIGHT), like=("decoders",))
    (folder / "plan.toml").write_text(write_plan(plan))
    made = tables_of(read_board(folder))
    assert {name for name in made if "decoders" in name} == {"decoders.md", "decoders.csv"}
    assert made["decoders.md"] == faithbench.paper_table([folder], "decoders").render(beside_paper=True)
