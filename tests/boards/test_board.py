"""Leaderboards: every fault that can be planted in one is found and named; what is sound passes."""

import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import places
import pytest
from faithbench_explainers.occlusion import Occlusion
from faithbench_metrics.comprehensiveness import Comprehensiveness
from fixtures_run import DATA, TRAINING, Ended, call, trained_cache, use_cache
from records import COMP, ENTROPY, column, record, run_of

import faithbench
from faithbench.boards import publishing as board_module
from faithbench.boards.folder import read_board
from faithbench.boards.overview import MARK
from faithbench.boards.publishing import LOCKS
from faithbench.errors import UserError
from faithbench.files import STAGING, locked
from faithbench.plan import write_plan
from faithbench.plugins.spec import build
from faithbench.records import results
from faithbench.tables.table import render, table

LEADERBOARDS = places.BOARDS
METRICS = ("comprehensiveness", "sufficiency", "evidence", "entropy")
PLAN = faithbench.Plan((DATA,), ("conv-tiny",), ("random", "occlusion"), METRICS, limit=6, training=TRAINING)
RANDOM, OCCLUSION = (build("explainer", name).identity for name in PLAN.explainers)
FULL = build("dataset", DATA).identity
TOLD = {"training": {"epochs": 4, "lr": 2e-3}}  # of a tiny model, where nothing else is asked for
MODEL = build("model", "conv-tiny").identity
PLANNED = {  # what a plan for `planted`, `conv-tiny` asks for
    "model": MODEL,
    "dataset": build("dataset", "planted").identity,
    "explainer": OCCLUSION,
    "metric": build("metric", "comprehensiveness").identity,
}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `leaderboards/tiny`, published from a real run, and the overview."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        use_cache(patch, trained_cache())
        patch.chdir(folder)
        faithbench.run(PLAN, Path("run"), device="cpu")
        faithbench.publish(Path("run"), Path("leaderboards/tiny"))
        faithbench.build_boards()
    return folder


@pytest.fixture
def board(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the board, relative to the working folder, that may be damaged; neither data nor models are there."""
    shutil.copytree(home / "leaderboards", tmp_path / "leaderboards")
    use_cache(monkeypatch, tmp_path / "nothing")
    monkeypatch.chdir(tmp_path)
    return Path("leaderboards/tiny")


def change(board: Path, how: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Changes a board's records, and makes its tables and the overview again, so that they are not the fault."""
    (path,) = (board / "records").glob("*.parquet")
    how(pd.read_parquet(path)).to_parquet(path, index=False)
    faithbench.build_boards()


def change_text(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def change_manifest(board: Path, how: Callable[[dict], object]) -> None:
    manifest = json.loads((board / "manifest.json").read_text())
    how(manifest)
    (board / "manifest.json").write_text(json.dumps(manifest))


def problems(capsys: pytest.CaptureFixture[str], *folders: Path) -> list[str]:
    """What `board check` complains of: status 1 and every line names the board."""
    ended = call(capsys, "board", "check", *folders)
    assert (ended.status, ended.err) == (1, "")
    return ended.out.splitlines()


def assert_refused(ended: Ended, *words: str) -> None:
    assert ended.status == 2
    assert len(ended.err.splitlines()) == len(ended.complaints) == 1
    assert [word for word in words if word not in ended.err] == []


def test_a_sound_board_passes_with_one_line_each(board: Path, capsys):
    ended = call(capsys, "board", "check", board)
    assert (ended.status, ended.out, ended.err) == (0, f"{board}: as its records say: 48 records, 1 plan\n", "")
    ended = call(capsys, "board", "check")
    assert (ended.status, len(ended.out.splitlines()), ended.err) == (0, 2, "")


def test_the_manifest_says_what_the_data_offer(board: Path):
    (entry,) = read_board(board).manifest["datasets"].values()
    assert (entry["texts"], entry["split_texts"]) == (6, 40)
    assert entry["offers"] == sorted(entry["offers"])
    assert "evidence" in entry["offers"]
    assert "rationale" not in entry["offers"]


@pytest.mark.parametrize("name", ["table.md", "table.csv"])
def test_an_edited_number_is_shown(name: str, board: Path, capsys):
    number = "| random" if name == "table.md" else RANDOM
    line = next(line for line in (board / name).read_text().splitlines() if number in line)
    digit = next(i for i in range(len(line) - 1, 0, -1) if line[i].isdigit())
    edited = line[:digit] + str((int(line[digit]) + 1) % 10) + line[digit + 1 :]
    change_text(board / name, line, edited)
    found = problems(capsys, board)
    assert found[0].startswith(f"{board}: {name} is not what the records give; make it with `faithbench board build`")
    assert {f"-{edited}", f"+{line}"} <= set(found)
    assert {each[0] for each in found[1:]} <= set("-+@ ")


def test_a_check_removes_nothing_and_the_next_build_removes_what_was_left(board: Path, capsys):
    left = board.parent / f"{STAGING}ffffffff-1-0123abcd"
    left.mkdir()
    os.utime(left, (0, 0))
    for words in (["check"], ["check", board]):
        assert call(capsys, "board", *words).status == 0
        assert left.exists()
    faithbench.build_boards([board])
    assert not left.exists()


def test_a_long_difference_is_cut(board: Path, capsys):
    (board / "table.csv").write_text("".join(f"line {i}\n" for i in range(1000)))
    found = problems(capsys, board)
    assert len(found) < 50
    assert found[-1].startswith("… and 9")


def test_tables_that_are_missing_or_made_by_nothing_are_named(board: Path, capsys):
    (board / "table.md").rename(board / "table99.md")
    assert problems(capsys, board) == [
        f"{board}: table.md is missing; make it with `faithbench board build`",
        f"{board}: table99.md is made by nothing: no plan has a line like = ['table99']",
    ]


def test_the_overview_is_checked_with_all_boards(board: Path, capsys):
    change_text(Path("leaderboards/README.md"), "| 6 | 1 |", "| 600 | 1 |")
    assert call(capsys, "board", "check", board).status == 0
    found = problems(capsys)
    assert found[0].startswith(f"{board}: as its records say")
    assert found[1].startswith("leaderboards: README.md is not what the records give")
    assert any(line.startswith("-") and "| 600 |" in line for line in found)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("dataset", "planted(train=400, validation=100, test=41)"),
        ("model", "conv-tiny(seed=43)"),
        ("explainer", OCCLUSION.replace("window=1", "window=2")),
        ("metric", "comprehensiveness(protocol=paper, operator=mask)"),
    ],
)
def test_a_record_of_another_spec_is_found(kind: str, name: str, board: Path, capsys):
    def respell(frame: pd.DataFrame) -> pd.DataFrame:
        row = frame[(frame["explainer"] == OCCLUSION) & frame["metric"].str.startswith("comp")].index[0]
        frame.loc[row, kind] = name
        return frame

    change(board, respell)
    found = problems(capsys, board)
    assert f"{board}: {kind} {name} of 1 records is in no plan (plan.toml)" in found
    assert any("has 5 of the 6 texts of plan.toml" in line for line in found)


def write_plan_of(path: Path, **options: object) -> None:
    """The board's plan with other options, as a person's own."""
    path.write_text(write_plan(replace(PLAN, **options)), encoding="utf-8")


def test_a_cell_of_known_parts_that_no_plan_crosses_is_found(board: Path, capsys):
    write_plan_of(board / "plan-a.toml", explainers=("random",), metrics=METRICS[1:])
    write_plan_of(board / "plan-b.toml", explainers=("occlusion",))
    (board / "plan.toml").unlink()
    assert problems(capsys, board) == [
        f"{board}: random on conv-tiny on {DATA} by comprehensiveness is in no plan (plan-a.toml, plan-b.toml)"
    ]


def test_all_plans_of_a_board_count(board: Path, capsys):
    write_plan_of(board / "plan-random.toml", explainers=("random",))
    write_plan_of(board / "plan.toml", explainers=("occlusion",))
    assert call(capsys, "board", "check", board).status == 0
    change_text(board / "plan-random.toml", "limit = 6", "limit = 7")
    names = "comprehensiveness, sufficiency, evidence, entropy"
    assert problems(capsys, board) == [
        f"{board}: random on conv-tiny on {DATA} by {names} has 6 of the 7 texts of plan-random.toml"
    ]


def test_a_missing_cell_is_found(board: Path, capsys):
    change(board, lambda frame: frame[(frame["explainer"] != RANDOM) | (frame["metric"] != "evidence")])
    assert problems(capsys, board) == [
        f"{board}: random on conv-tiny on {DATA} by evidence has 0 of the 6 texts of plan.toml"
    ]


def test_a_metric_that_the_data_offer_all_for_is_missed_even_if_no_record_of_it_is_there(board: Path, capsys):
    change(board, lambda frame: frame[frame["metric"] != "evidence"])
    assert len(problems(capsys, board)) == 2


def test_an_older_manifest_is_filled_in_from_what_was_measured(board: Path, capsys):
    def forget(manifest: dict) -> None:
        for entry in manifest["datasets"].values():
            del entry["offers"], entry["split_texts"]

    change_manifest(board, forget)
    assert call(capsys, "board", "check", board).status == 0
    change(board, lambda frame: frame[(frame["explainer"] != RANDOM) | (frame["metric"] != "evidence")])
    assert len(problems(capsys, board)) == 1
    change(board, lambda frame: frame[frame["metric"] != "evidence"])
    assert problems(capsys, board) == [f"{board}: metric evidence of plan.toml is measured on none of its data sets"]


@pytest.mark.slow
@pytest.mark.parametrize("older", [False, True])
def test_only_what_fits_the_data_is_missed(older: bool, tmp_path: Path, capsys):
    """Documents are judged by the model's own backbone and only for metrics of segments; rationales are not planted."""
    documents = (
        f"seqpg(dataset='hatexplain(classes=2)', judge={MODEL!r}, segment=25, segments=2, documents=500, "
        "confidence=0.75, seed=0)"
    )
    planted = "planted(train=2000, validation=200, test=200, cues=2, distractors=16, seed=0)"
    fits = {
        planted: ["evidence", COMP],
        "hatexplain(classes=2)": ["rationale_auprc", COMP],
        documents: ["pointing_accuracy"],
    }
    records = [
        record(1.0, text, model=MODEL, dataset=d, metric=m)
        for d, metrics in fits.items()
        for m in metrics
        for text in (0, 1)
    ]
    board = run_of(
        tmp_path / "board",
        [replace(each, explainer=OCCLUSION, metric=build("metric", each.metric).identity) for each in records],
        training=TOLD,
    )
    board.joinpath("plan.toml").write_text(
        'datasets = ["planted", "hatexplain", "seqpg(dataset=hatexplain)"]\nmodels = ["conv-tiny"]\nlimit = 2\n'
        'explainers = ["occlusion"]\n'
        'metrics = ["evidence", "rationale_auprc", "comprehensiveness", "pointing_accuracy"]\n'
    )
    offers = {planted: ["evidence"], "hatexplain(classes=2)": ["rationale"], documents: ["segments"]}
    about = {"label": "", "fingerprint": "d"}
    told = {d: about | ({} if older else {"offers": each, "split_texts": 2}) for d, each in offers.items()}
    change_manifest(board, lambda manifest: manifest.update(datasets=told))
    faithbench.build_boards([board])
    ended = call(capsys, "board", "check", board)
    assert (ended.status, ended.err) == (0, ""), ended.out
    change_text(board / "plan.toml", "seqpg(dataset=hatexplain)", "seqpg(dataset=hatexplain, documents=400)")
    assert len(problems(capsys, board)) == 2  # of other documents there are records, and of these none


def test_fewer_and_more_texts_than_planned_are_found(board: Path, capsys):
    def shorten(frame: pd.DataFrame) -> pd.DataFrame:
        cell = (frame["explainer"] == RANDOM) & (frame["metric"] == "evidence")
        return frame[~cell | (frame["unit"] != frame[cell]["unit"].iloc[0])]

    change(board, shorten)
    assert problems(capsys, board) == [
        f"{board}: random on conv-tiny on {DATA} by evidence has 5 of the 6 texts of plan.toml"
    ]
    change_text(board / "plan.toml", "limit = 6", "limit = 5")
    found = problems(capsys, board)
    assert len(found) == 7
    assert all("has 6 texts, more than the 5 of plan.toml" in line for line in found)


def test_texts_that_a_model_could_not_read_are_not_missing(board: Path, capsys):
    change(board, lambda frame: frame[frame["unit"] != frame["unit"].min()])
    assert any("5 of the 6 texts" in line for line in problems(capsys, board))

    def skip(manifest: dict) -> None:
        for entry in manifest["models"].values():
            entry["skipped"] = {"count": 1, "of": 6, "rows": [{"id": "test-0", "reason": "its text is empty"}]}

    change_manifest(board, skip)
    assert not any("of the 6 texts" in line for line in problems(capsys, board))


def test_a_whole_block_that_was_not_run_is_one_line(board: Path, capsys):
    change_text(board / "plan.toml", '"conv-tiny"', '"conv-tiny", "bcos-tiny"')
    assert problems(capsys, board) == [
        f"{board}: there are no records of bcos-tiny on {DATA}, of which plan.toml asks for 8 results"
    ]


def test_a_limit_beyond_the_split_asks_for_the_split(board: Path, capsys):
    change_text(board / "plan.toml", "limit = 6", "limit = 1000")
    assert {line.rpartition(" has ")[2] for line in problems(capsys, board)} == {"6 of the 40 texts of plan.toml"}


def test_failed_cells_are_there(board: Path, capsys):
    def fail(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame["explainer"] == RANDOM, ["value", "error"]] = [np.nan, "RuntimeError: no oil"]
        return frame

    change(board, fail)
    assert call(capsys, "board", "check", board).status == 0


@pytest.mark.parametrize(("kind", "component"), [(OCCLUSION, Occlusion), ("comprehensiveness", Comprehensiveness)])
def test_records_of_an_earlier_version_are_stale(kind: str, component: type, board: Path, capsys, monkeypatch):
    monkeypatch.setattr(component, "version", 2, raising=False)
    monkeypatch.setattr(results, "_component", results._component.__wrapped__)  # what it remembers has other traits
    (line, *_) = problems(capsys, board)
    assert "table.md is not what the records give" in line, "a page must say that its numbers are of another version"
    assert call(capsys, "board", "build", board).status == 0
    assert "Measured by earlier versions" in (board / "table.md").read_text()
    checked = call(capsys, "board", "check", board)
    word, records = ("explainer", 24) if component is Occlusion else ("metric", 12)
    assert checked.status == 0
    assert f"{word} {kind}" in checked.out
    assert f"has version 2 now, and {records} records are of version 1, as the tables say" in checked.out


@pytest.mark.parametrize(
    ("name", "reason"),
    [("lamp(size=3)", "'lamp' is not a known explainer"), ("random(sede=0)", "'sede' is not a known parameter")],
)
def test_a_component_that_is_not_installed_is_named(name: str, reason: str, board: Path, capsys):
    change(board, lambda frame: frame.replace({"explainer": {RANDOM: name}}))
    start = f"{board}: explainer {name} is not installed as it was, so its records cannot be checked: {reason}"
    assert any(line.startswith(start) for line in problems(capsys, board))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["dataset", "model"])
def test_weights_and_data_that_the_manifest_does_not_name_are_found(what: str, board: Path, capsys):
    change(board, lambda frame: frame.assign(**{f"{what}_fingerprint": "forged"}))
    (line,) = problems(capsys, board)
    assert line.startswith(f"{board}: 48 records of {FULL if what == 'dataset' else MODEL + ' on ' + FULL}")
    assert "fingerprint forged; manifest.json says " in line
    change_manifest(board, lambda manifest: manifest.pop(f"{what}s"))
    faithbench.build_boards()
    assert any("manifest.json does not name it" in line for line in problems(capsys, board))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "changes", "told"),
    [
        ("models", {"dtype": "bfloat16"}, "dtype='bfloat16', not 'float32'"),
        ("datasets", {"split": "train"}, "split='train', not 'test'"),
        ("models", {"training": {"training": {"epochs": 3, "lr": 5e-3}}}, "epochs=3, not 4"),
        ("models", {"training": {"training": {"epochs": 4, "lr": 2e-3}}}, "lr=0.002, not 0.005"),
        ("models", {"training": {"training": {"epochs": 4, "lr": 5e-3, "limit": 9}}}, "limit=9, not None"),
    ],
)
def test_what_was_trained_or_run_otherwise_than_the_plan_says_is_found(
    kind: str, changes: dict, told: str, board: Path, capsys
):
    change_manifest(board, lambda manifest: next(iter(manifest[kind].values())).update(changes))
    faithbench.build_boards()
    assert problems(capsys, board) == [
        f"{board}: manifest.json says of conv-tiny on {DATA} other than plan.toml: {told}"
    ]


def test_a_training_that_a_plan_asks_for_is_that_of_the_manifest(board: Path, capsys):
    change_text(board / "plan.toml", "epochs = 4", "epochs = 4\nmax_length = 64")
    (line,) = problems(capsys, board)
    assert line.endswith("other than plan.toml: max_length=512, not 64")


def test_a_manifest_that_is_silent_on_a_training_is_found(board: Path, capsys):
    change_manifest(board, lambda manifest: next(iter(manifest["models"].values())).update(training={}))
    faithbench.build_boards()
    assert problems(capsys, board) == [f"{board}: manifest.json does not say how conv-tiny on {DATA} was trained"]


def test_one_model_with_two_weights_on_a_data_set_and_its_documents_is_found(tmp_path: Path, capsys):
    documents = build("dataset", "seqpg(dataset=hatexplain, judge=conv-tiny, segment=25)").identity
    both = {
        "hatexplain(classes=2)": build("metric", "comprehensiveness").identity,
        documents: build("metric", "pointing_accuracy").identity,
    }
    board = run_of(
        tmp_path / "board",
        [record(1.0, 0, model=MODEL, dataset=d, metric=m, explainer=OCCLUSION) for d, m in both.items()],
        training=TOLD,
    )
    board.joinpath("plan.toml").write_text(
        'datasets = ["hatexplain", "seqpg(dataset=hatexplain)"]\nmodels = ["conv-tiny"]\nlimit = 1\n'
        'explainers = ["occlusion"]\nmetrics = ["comprehensiveness", "pointing_accuracy"]\n'
    )
    faithbench.build_boards([board])
    assert call(capsys, "board", "check", board).status == 0
    name = f"{MODEL} on {documents}"
    change_manifest(board, lambda manifest: manifest["models"][name].update(fingerprint="n"))
    (path,) = (board / "records").glob("*.parquet")
    frame = pd.read_parquet(path)
    frame.loc[frame["dataset"] == documents, "model_fingerprint"] = "n"
    frame.to_parquet(path, index=False)
    faithbench.build_boards([board])
    assert problems(capsys, board) == [
        f"{board}: conv-tiny has other weights in one place than in another: m on hatexplain and n on "
        f"seqpg(judge={MODEL!r}, segment=25)"
    ]


def test_a_board_that_is_refused_keeps_no_other_from_being_checked(board: Path, capsys):
    shutil.copytree(board, board.parent / "other")
    (board.parent / "other" / "manifest.json").unlink()
    (board / "table.md").unlink()
    ended = call(capsys, "board", "check")
    assert_refused(ended, "leaderboards/other is not a board")
    assert ended.out == f"{board}: table.md is missing; make it with `faithbench board build`\n"


def test_large_files_and_boards_are_found(board: Path, capsys):
    (board / "notes.txt").write_bytes(b" " * 1_000_001)
    (line,) = problems(capsys, board)
    assert line == f"{board}: notes.txt has 1,000,001 bytes; a leaderboard's files have at most 1,000,000"
    for i in range(3):
        (board / f"notes-{i}.txt").write_bytes(b" " * 700_000)
    assert any("bytes in all; a leaderboard has at most 2,000,000" in line for line in problems(capsys, board))


def test_every_problem_of_every_board_is_said(board: Path, capsys):
    shutil.copytree(board, board.parent / "other")
    (board / "table.md").unlink()
    (board / "table.csv").unlink()
    change_text(board.parent / "other" / "plan.toml", "limit = 6", "limit = 7")
    found = problems(capsys)
    assert [line.partition(":")[0] for line in found if "leaderboards" in line[:12]] == [
        *["leaderboards/other"] * 2, "leaderboards/tiny", "leaderboards/tiny", "leaderboards",
    ]  # fmt: skip


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda board: (board / name).write_text(text)


def extend(name: str, text: str) -> Callable[[Path], object]:
    return lambda board: (board / name).write_text((board / name).read_text() + text)


def repeat(value: float) -> Callable[[Path], object]:
    """Adds a file with the first record once more, its value changed."""

    def again(board: Path) -> None:
        (path,) = (board / "records").glob("*.parquet")
        first = pd.read_parquet(path).iloc[:1]
        first.assign(value=first["value"] + value).to_parquet(board / "records" / "more.parquet", index=False)

    return again


def spoil(**columns: object) -> Callable[[Path], object]:
    def again(board: Path) -> None:
        (path,) = (board / "records").glob("*.parquet")
        pd.read_parquet(path).assign(**columns).to_parquet(path, index=False)

    return again


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (extend("plan.toml", "limits = 3\n"), ["plan.toml", "'limits'", "did you mean"]),
        (write("plan-b.toml", 'datasets = ["planted"]\nmodels = ["conv-tinny"]\n'), ["plan-b.toml", "'conv-tinny'"]),
        (
            write("plan.toml", f'datasets = ["{DATA}"]\nmodels = ["conv-tiny"]\nexplainers = ["lamp"]\n'),
            ["plan.toml", "'lamp'", "explainer"],
        ),
        (write("plan.toml", "datasets = ["), ["plan.toml", "TOML"]),
        (repeat(0.0), ["two records for one result", OCCLUSION, "on text"]),
        (repeat(1.0), ["two records for one result", OCCLUSION, "on text"]),
        (lambda board: shutil.rmtree(board / "records"), ["is not a board", "no records"]),
        (lambda board: next((board / "records").iterdir()).unlink(), ["holds no records"]),
        (lambda board: (board / "plan.toml").unlink(), ["is not a board", "no plan.toml"]),
        (lambda board: (board / "manifest.json").unlink(), ["is not a board", "no manifest.json"]),
        (write("manifest.json", "[]"), ["manifest.json: it is [], which is no table"]),
        (write("manifest.json", '{"models": {"a on b": {"label": "a"}}}'), ["manifest.json", "fingerprint", "a on b"]),
        (lambda board: (board / "records" / "x.parquet").write_bytes(b"PAR1"), ["x.parquet", "corrupt"]),
        (spoil(version="one"), ["version", "'one'", "1.1"]),
        (spoil(model=None), ["model in row", "is missing"]),
    ],
)
def test_what_is_no_board_is_refused_in_one_sentence(how: Callable[[Path], object], words: list[str], board, capsys):
    how(board)
    assert_refused(call(capsys, "board", "check", board), str(board), *words)


@pytest.mark.parametrize("command", ["check", "build"])
def test_without_any_board_there_is_nothing_to_do(command: str, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert_refused(call(capsys, "board", command), "no board below", str(tmp_path / "leaderboards"))


@pytest.mark.slow
@pytest.mark.skipif(not LEADERBOARDS.is_dir(), reason="the leaderboards are not beside the tests")
def test_the_boards_of_this_repository_are_as_their_records_say(tmp_path: Path, monkeypatch, capsys):
    use_cache(monkeypatch, tmp_path)
    monkeypatch.chdir(LEADERBOARDS.parent)
    ended = call(capsys, "board", "check")
    assert (ended.status, ended.err) == (0, ""), ended.out


def test_building_again_changes_nothing(board: Path, capsys):
    before = {path: path.read_bytes() for path in Path("leaderboards").rglob("*") if path.is_file()}
    ended = call(capsys, "board", "build")
    assert (ended.status, ended.out) == (0, "All tables are as their records say already.\n")
    assert {path: path.read_bytes() for path in Path("leaderboards").rglob("*") if path.is_file()} == before
    change_text(board / "table.md", "random", "Random")
    assert call(capsys, "board", "build").out == f"wrote {board / 'table.md'}\n"


def test_building_again_leaves_a_drawing_that_differs_in_what_is_not_seen(board: Path, capsys):
    drawing = board / "scores.svg"
    text = drawing.read_text()
    name = re.search(r"(?<=<clipPath id=\")\w+", text)[0]
    drawing.write_text(text.replace(name, "p0123456789"))
    assert call(capsys, "board", "build").out == "All tables are as their records say already.\n"
    drawing.write_text(text.replace("<dc:title>", "<dc:title>another "))
    assert call(capsys, "board", "build").out == f"wrote {drawing}\n"
    assert drawing.read_text() == text


def test_published_tables_that_a_plan_is_like_are_built_and_checked(tmp_path: Path, capsys):
    explainer, metric = build("explainer", "attention").identity, "comprehensiveness(protocol=paper, operator=mask)"
    place = {"dataset": "hatexplain(classes=2)", "model": "conv-minilm(seed=42)"}
    told = {"training": {"epochs": 5, "lr": 2e-5}}
    records = column(range(20, 40), explainer=explainer, metric=metric, **place)
    board = run_of(tmp_path / "board", records, training=told)
    board.joinpath("plan.toml").write_text(
        'datasets = ["hatexplain"]\nmodels = ["conv-minilm"]\nexplainers = ["attention"]\n'
        'metrics = ["comprehensiveness(protocol=paper)"]\nlike = ["table2", "figure5"]\n'
    )
    change_manifest(
        board, lambda manifest: manifest.update(datasets={place["dataset"]: {"label": "", "fingerprint": "d"}})
    )
    written = [path.name for path in faithbench.build_boards([board])]
    assert written == ["table.md", "table.csv", "table2.md", "table2.csv", "scores.svg"]
    assert "29.5" in (board / "table2.md").read_text()
    assert "27.64" in (board / "table2.md").read_text()  # the paper's
    assert call(capsys, "board", "check", board).status == 0
    change_text(board / "table2.csv", "29.5", "39.5")
    assert problems(capsys, board)[0].startswith(f"{board}: table2.csv is not what the records give")


def test_building_one_board_keeps_the_overview_true(board: Path, capsys):
    change_text(Path("leaderboards/README.md"), "| 6 | 1 |", "| 600 | 1 |")
    assert call(capsys, "board", "build", board).status == 0
    assert call(capsys, "board", "check").status == 0


def test_the_overview_has_a_row_for_each_board(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seeds = [record(value, 0, model=f"conv-tiny(seed={seed})") for seed, value in ((1, 5.0), (2, 7.0))]
    low = column(range(20), explainer="random(seed=0)")
    high = [*column([50] * 20), *column([50] * 12, explainer="words(explainer='occlusion')")]
    for name, records in {"a": [*low, *high], "b": seeds}.items():
        faithbench.publish(run_of(tmp_path / f"run-{name}", records), Path("leaderboards", name))
    (Path("leaderboards") / "b" / "README.md").write_text("# B\n")
    faithbench.build_boards()
    text = Path("leaderboards/README.md").read_text()
    a, b = (line for line in text.splitlines() if line.startswith("| ["))
    first = "occlusion is first or tied on 1 of 1 pairs of model and data set."  # words: on fewer texts
    assert a == f"| [a](a/table.md) | {first} | 1 | 1 | 3 | 20 | 1 | [scores](a/scores.svg) |"
    alone = "One explainer alone: there is nothing to compare."
    assert b == f"| [b](b/README.md) | {alone} | 1 | 1 | 1 | 1 | 2 | [scores](b/scores.svg) |"
    pages = [(Path("leaderboards") / name / "table.md").read_text() for name in "ab"]
    assert f"**Finding**\n\n{first}\n\nconv-tiny(masking=none) on planted, comprehensiveness: occlusion\n" in pages[0]
    assert pages[0].index("**Finding**") < pages[0].index("**Numbers**") < pages[0].index("**How it was made**")
    assert "data " in (Path("leaderboards") / "a" / "scores.svg").read_text()


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("# B\n\nMasks are\nnot neutral_here.\n\n## What it says\nno\n", "Masks are not neutral_here."),
        (f"# B\n\n{'long ' * 30}\n## What\n", None),
        ("# B\n## What\nNo.\n", None),
        ("# B\n\nOne.\n\nTwo.\n", "One."),
        ("# B\n\nHid\u202eden.\n", "Hid\\u202eden."),
        ("# B\n\n<!-- todo. -->\n", None),
        ("# B\n\n**Bold** it is.\n", None),
        ("# B\n\n![scores](scores.svg).\n", None),
        ("# B\n\nNo sentence\n", None),
        (b"# B\n\nNot \xff text.\n", None),
        (f"# B\n\n{'x' * 109}.\n", f"{'x' * 109}."),
        (f"# B\n\n{'x' * 110}.\n", None),
        ("No title.\n", None),
        ("", None),
    ],
)
def test_the_overview_has_the_sentence_below_the_title_of_a_page(page, told, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    faithbench.publish(run_of(tmp_path / "run", [record(1.0, 0)]), Path("leaderboards", "b"))
    (Path("leaderboards") / "b" / "README.md").write_bytes(page if isinstance(page, bytes) else page.encode())
    faithbench.build_boards()
    (row,) = (line for line in Path("leaderboards/README.md").read_text().splitlines() if line.startswith("| ["))
    assert row.split(" | ")[1] == (told or "One explainer alone: there is nothing to compare.")


def test_who_leads_is_who_is_shown_to(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(50, 10, 20)
    copy, worse = column(values, explainer="copy"), column(values - 20, explainer="random(seed=0)")
    level = column(values + np.random.default_rng(1).normal(0, 5, 20), explainer="level")
    boards = {
        "equal": [*column(values), *copy, *worse],
        "few": [*column(values[:5]), *column(values[:5] - 20, explainer="random(seed=0)")],
        "level": [*column(values), *level],
    }
    for name, records in boards.items():
        faithbench.publish(run_of(tmp_path / f"run-{name}", records), Path("leaderboards", name))
    faithbench.build_boards()
    told = [line.split(" | ")[1] for line in Path("leaderboards/README.md").read_text().splitlines() if "| [" in line]
    assert told == [
        "copy is first or tied on 1 of 1 pairs of model and data set, occlusion on 1.",
        "Too few texts to rank explainers.",
        "No difference between explainers is shown on the one pair of model and data set.",
    ]
    lines = [(Path("leaderboards") / name / "table.md").read_text() for name in boards]
    for page, leads in zip(
        lines, ("copy = occlusion", "too few texts", "no difference is shown between 2"), strict=True
    ):
        assert leads in page.partition("**Numbers**")[0]


@pytest.mark.parametrize("name", ["x" * 300, "|".join("ab" * 90), "<script>" * 20])
def test_no_cell_of_the_overview_is_long(name: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = [*column([50.0] * 20, explainer=name), *column(range(20)), *column(range(20), explainer=f"{name}2")]
    faithbench.publish(run_of(tmp_path / "run", records), Path("leaderboards", "long"))
    faithbench.build_boards()
    check_cells(Path("leaderboards/README.md"))


def test_no_cell_of_our_overview_is_long():
    check_cells(Path(__file__).parents[2] / "leaderboards" / "README.md")


def check_cells(page: Path) -> None:
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    cells = [cell.strip() for line in lines for cell in re.split(r"(?<!\\)\|", line)]
    assert len(cells) > 10
    assert max(map(len, cells)) <= 120


def test_a_page_that_a_person_wrote_is_left_alone(board: Path, capsys):
    page = Path("leaderboards/README.md")
    page.write_text("mine")
    assert call(capsys, "board", "build", board).status == 0
    assert_refused(call(capsys, "board", "build"), str(page), "person")
    assert page.read_text() == "mine"
    page.unlink()
    assert call(capsys, "board", "build").status == 0
    assert page.read_text().startswith(MARK)


def test_publishing_keeps_the_table_parts_and_costs(tmp_path: Path):
    values = np.random.default_rng(0).normal(10, 3, 50).astype(np.float32)
    run = run_of(tmp_path / "run", column(values))
    board_module.publish(run, tmp_path / "board")
    published = pd.read_parquet(next((tmp_path / "board" / "records").iterdir()))
    assert published.columns.tolist() == [name for name in board_module.COLUMNS if name != "against"]  # of none
    assert published["value"].dtype == published["seconds"].dtype == np.float32
    assert published["parts"].map(list).tolist() == [[value] for value in published["value"]]
    assert (published["rows"] == 3).all()
    assert published["seconds"].tolist() == [np.float32(0.1)] * 50
    shown = [line for line in render([run]).splitlines() if line.startswith("|")]
    assert set(shown) <= set((tmp_path / "board" / "table.md").read_text().splitlines())
    assert (tmp_path / "board" / "table.csv").read_text() == render([run], "csv")


def test_where_a_board_would_be_too_large_only_metrics_that_ask_keep_their_parts(tmp_path: Path, monkeypatch, capsys):
    generator = np.random.default_rng(0)
    large = [record(1.0, i, parts=tuple(generator.normal(size=20_000)), **PLANNED) for i in range(20)]
    board_module.publish(run_of(tmp_path / "run", large), tmp_path / "board")
    published = pd.read_parquet(next((tmp_path / "board" / "records").iterdir()))
    assert "parts" not in published
    assert published["rows"].notna().all()
    told = call(capsys, "board", "check", tmp_path / "board").out
    assert "note: all 20 records lack parts, so nothing that is made of these can be checked" in told
    monkeypatch.setattr(Comprehensiveness, "keep_parts", True, raising=False)
    monkeypatch.setattr(results, "_component", results._component.__wrapped__)  # what it remembers has other traits
    parts = (0.1, 0.2)
    few = [record(1.0, i, parts=parts, **PLANNED) for i in range(20)]
    records = [*few, *(replace(each, metric=ENTROPY) for each in large)]
    board_module.publish(run_of(tmp_path / "else", records), tmp_path / "other")
    kept = pd.read_parquet(next((tmp_path / "other" / "records").iterdir())).set_index("metric")["parts"]
    assert kept[ENTROPY].isna().all()
    assert [each.tolist() for each in kept[few[0].metric]] == [[np.float32(part) for part in parts]] * 20


def test_publishing_leaves_out_earlier_weights_and_earlier_versions(tmp_path: Path):
    earlier = [record(3.0, 0, model_fingerprint="earlier"), record(5.0, 0, version="1.0")]
    board_module.publish(run_of(tmp_path / "run", [*earlier, record(1.0, 0)]), tmp_path / "board")
    assert table([tmp_path / "board"])["mean"].tolist() == [1.0]
    assert len(read_board(tmp_path / "board").records) == 1


def test_publishing_again_replaces_records_and_keeps_plans_that_are_there(tmp_path: Path):
    board = tmp_path / "board"
    board_module.publish(run_of(tmp_path / "run", [record(1.0, 0, dataset="imdb")]), board)
    (board / "plan.toml").rename(board / "plan-mine.toml")
    board_module.publish(run_of(tmp_path / "again", [record(2.0, 0, **PLANNED)]), board)
    assert table([board])["mean"].tolist() == [2.0]
    assert [path.name for path in board.glob("plan*")] == ["plan-mine.toml"]


def test_of_a_run_that_holds_more_only_what_the_boards_plans_ask_for_is_published(tmp_path: Path, capsys):
    board = tmp_path / "board"
    board.mkdir()
    board.joinpath("plan-mine.toml").write_text(
        'datasets = ["planted"]\nmodels = ["conv-tiny"]\nexplainers = ["occlusion"]\nmetrics = ["comprehensiveness"]\n'
    )
    wanted = record(1.0, 0, **PLANNED)
    others = [replace(wanted, **{key: value}) for key, value in {"explainer": RANDOM, "metric": ENTROPY}.items()]
    board_module.publish(run_of(tmp_path / "run", [wanted, *others], training=TOLD), board)
    assert table([board])["n"].tolist() == [1]
    assert call(capsys, "board", "check", board).status == 0
    with pytest.raises(UserError, match="that its manifest names and that the board's plans ask for"):
        board_module.publish(run_of(tmp_path / "else", others), board)


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_records_of_what_the_manifest_says_nothing_of_are_not_published(kind: str, tmp_path: Path):
    run = run_of(tmp_path / "run", [record(1.0, 0), record(2.0, 0, model="bcos-tiny", dataset="shortcut")])
    change_manifest(
        run, lambda manifest: [manifest[kind].pop(name) for name in [*manifest[kind]] if "shortcut" in name]
    )
    board_module.publish(run, tmp_path / "board")
    assert table([tmp_path / "board"])["mean"].tolist() == [1.0]
    change_manifest(run, lambda manifest: manifest.pop(kind))
    with pytest.raises(UserError, match="holds no records of the weights and data"):
        board_module.publish(run, tmp_path / "else")
    assert not (tmp_path / "else").exists()


def test_a_run_with_more_texts_than_a_plan_asks_for_is_refused(tmp_path: Path):
    board = tmp_path / "board"
    board.mkdir()
    board.joinpath("plan.toml").write_text('datasets = ["planted"]\nmodels = ["conv-tiny"]\nlimit = 2\n')
    run = run_of(tmp_path / "run", column([1.0, 2.0, 3.0], **PLANNED))
    with pytest.raises(UserError, match=r"run holds 3 texts of conv-tiny on planted, and plan.toml asks for 2: run it"):
        board_module.publish(run, board)
    assert [path.name for path in board.iterdir()] == ["plan.toml"]


def test_publishing_leaves_all_else_in_the_folder_as_it_is(tmp_path: Path, monkeypatch):
    real = tmp_path / "elsewhere"
    real.mkdir()
    (real / "README.md").write_text("mine")
    (real / "nothing").symlink_to("gone")
    (tmp_path / "board").symlink_to(real)
    run = run_of(tmp_path / "run", [record(1.0, 0, **PLANNED)])
    board_module.publish(run, tmp_path / "board")
    for working in (real, real / "records"):
        monkeypatch.chdir(working)
        with pytest.raises(UserError, match=r"elsewhere is replaced as a whole, so not from within: go to .* first"):
            board_module.publish(run, real)
    assert (working / "..").resolve() == real
    monkeypatch.chdir(tmp_path)
    board_module.publish(run, tmp_path / "board")
    assert (tmp_path / "board").is_symlink()
    assert (real / "README.md").read_text() == "mine"
    assert table([real])["mean"].tolist() == [1.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCKS, "board", "elsewhere", "run"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("manifest.json", "[]", r"run/manifest.json: it is \[\], which is no table"),
        ("plan.toml", "datasets = [", "run/plan.toml is not valid TOML"),
    ],
)
def test_a_damaged_run_is_not_published(name: str, text: str, words: str, tmp_path: Path):
    run = run_of(tmp_path / "run", [record(1.0, 0)])
    (run / name).write_text(text)
    with pytest.raises(UserError, match=words):
        board_module.publish(run, tmp_path / "board")
    assert not (tmp_path / "board").exists()


def test_publishing_nothing_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match="holds no records"):
        faithbench.publish(run_of(tmp_path / "run", []), tmp_path / "board")


def test_publishing_too_much_is_refused_and_the_records_that_are_there_stay(tmp_path: Path, monkeypatch):
    board = tmp_path / "board"
    board_module.publish(run_of(tmp_path / "run", [record(1.0, 0)]), board)
    more = run_of(tmp_path / "more", column(np.random.default_rng(0).normal(size=500), **PLANNED))
    before = {path: path.read_bytes() for path in tmp_path.rglob("board/**/*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(board_module, "MAX_BYTES", 5_000)
        with pytest.raises(UserError, match=r"parquet would have .* bytes; a leaderboard's files stay under 1 MB"):
            board_module.publish(more, board)
    monkeypatch.setattr(board_module, "MAX_BOARD_BYTES", 5_000)
    with pytest.raises(UserError, match="a leaderboard stays under 2 MB"):
        board_module.publish(more, board)
    assert {path: path.read_bytes() for path in tmp_path.rglob("board/**/*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCKS, "board", "more", "run"]


def test_two_names_that_would_be_one_file_are_two(tmp_path: Path):
    models = [f"{'long' * 60}/{name}" for name in ("a", "b")]
    run = run_of(tmp_path / "run", [record(1.0, 0, model=model) for model in (*models, "x/y", "x_y")])
    board_module.publish(run, tmp_path / "board")
    assert table([tmp_path / "board"])["model"].nunique() == 4


def test_records_of_data_that_the_manifest_does_not_name_are_not_published(tmp_path: Path):
    run = run_of(tmp_path / "run", [record(5.0, 0, dataset_fingerprint="old"), record(1.0, 0), record(2.0, 1)])
    manifest = json.loads((run / "manifest.json").read_text())
    assert [entry["fingerprint"] for entry in manifest["datasets"].values()] == ["d"]
    board_module.publish(run, tmp_path / "board")
    published = pd.read_parquet(next((tmp_path / "board" / "records").iterdir()))
    assert published["value"].tolist() == [1.0, 2.0]


def test_what_a_person_keeps_in_a_board_stays_as_it_is_when_the_board_is_replaced(home: Path, board: Path):
    (board / "README.md").write_text("A page.\n")
    (board / "pages").mkdir()
    (board / "pages" / "link.md").symlink_to("../README.md")
    (board / ".hidden").touch()
    os.chmod(board / "README.md", 0o600)
    before, table_before = (board / "README.md").stat(), (board / "table.md").open(encoding="utf-8")
    old = table_before.read()
    change_text(board / "table.md", "random", "Random")
    for written in (lambda: faithbench.build_boards([board]), lambda: faithbench.publish(home / "run", board)):
        written()
        assert (board / "pages" / "link.md").is_symlink()
        assert (board / "pages" / "link.md").read_text() == "A page.\n"
        assert (board / ".hidden").exists()
        after = (board / "README.md").stat()
        assert (after.st_mode, after.st_mtime_ns, after.st_ino) == (before.st_mode, before.st_mtime_ns, before.st_ino)
        assert (board / "table.md").read_text(encoding="utf-8") == old
    assert sorted(path.name for path in board.parent.iterdir()) == [LOCKS, "README.md", "tiny"]


def test_who_changes_a_board_reads_it_when_it_is_his_turn(home: Path, board: Path):
    faithbench.build_boards()
    with locked(board.parent / LOCKS / "boards"):
        others = [
            threading.Thread(target=faithbench.build_boards, args=([board],)),
            threading.Thread(target=faithbench.publish, args=(home / "run", board)),
        ]
        for other in others:
            other.start()
        others[0].join(0.3)
        assert all(other.is_alive() for other in others)
        change_text(board / "table.md", "random", "Random")
    for other in others:
        other.join()
    assert "Random" not in (board / "table.md").read_text()


def test_the_overview_is_made_again_from_within_a_board_too(board: Path, monkeypatch):
    page = Path("leaderboards/README.md").resolve()
    change_text(page, "| 6 | 1 |", "| 600 | 1 |")
    monkeypatch.chdir(board)
    assert faithbench.build_boards(["."]) == [page]
    assert "| 600 |" not in page.read_text()


def test_a_board_that_does_not_change_is_not_replaced(board: Path):
    before = board.stat().st_ino
    faithbench.build_boards([board])
    assert board.stat().st_ino == before


def test_no_board_is_replaced_if_the_tables_of_one_cannot_be_made(board: Path):
    shutil.copytree(board, board.with_name("zero"))
    (board / "table.md").write_text("old")
    (board.with_name("zero") / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="zero"):
        faithbench.build_boards()
    assert (board / "table.md").read_text() == "old"
    assert sorted(path.name for path in board.parent.iterdir()) == [LOCKS, "README.md", "tiny", "zero"]
