"""What runs leave is published, and the check of the board passes; or it is said in a sentence why it is not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from fixtures_run import DATA, TRAINING, call, trained_cache, use_cache

import faithbench
from faithbench.boards.folder import read_board
from faithbench.errors import UserError
from faithbench.plan import read_plan
from faithbench.records.store import Store

PLAN = faithbench.Plan((DATA,), ("conv-tiny",), ("random", "occlusion"), ("entropy", "evidence"), limit=4)
PLAN = replace(PLAN, training=TRAINING)


def go(folder: Path, **changes: object) -> Path:
    return faithbench.run(replace(PLAN, **changes), folder, device="cpu").folder


def plain(folder: Path) -> None:
    go(folder)


def smaller_then(folder: Path) -> None:
    go(folder)
    go(folder, limit=2, explainers=("random",))


def more_explainers_and_metrics(folder: Path) -> None:
    go(folder)
    go(folder, explainers=("saliency",))
    go(folder, metrics=("gini",))


def more_texts_of_some(folder: Path) -> None:
    go(folder)
    go(folder, limit=7, explainers=("random",))


def two_models(folder: Path) -> None:
    go(folder)
    go(folder, models=("bcos-tiny",), explainers=("random",))


def until(folder: Path) -> None:
    go(folder, until=1e6, limit=None, metrics=("evidence",))


def until_then_all(folder: Path) -> None:
    go(folder, until=1e6, limit=None, metrics=("evidence",))
    go(folder, limit=10, metrics=("evidence",))


def imported(folder: Path) -> None:
    other = go(folder.parent / "other", explainers=("random",))
    rows = Store(other).read("attributions").iloc[:3]
    lines = [json.dumps({"id": row.text_id, "scores": row.scores.tolist()}) for row in rows.itertuples()]
    file = folder.parent / "scores.jsonl"
    file.write_text("\n".join(lines) + "\n")
    found = faithbench.import_attributions(file, "conv-tiny", DATA, name="mine", out=folder, device="cpu")
    failed = go(folder, explainers=(found.explainer,), metrics=("entropy",), limit=None)
    assert Store(failed).read("records")["error"].notna().sum() == 37  # texts of which nothing was imported


def whatever_fits(folder: Path) -> None:
    go(folder, explainers=("random",), metrics=(), limit=2)


LOOP = [
    plain,
    smaller_then,
    more_explainers_and_metrics,
    more_texts_of_some,
    two_models,
    until,
    until_then_all,
    imported,
    whatever_fits,
]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cache(monkeypatch, trained_cache())


@pytest.mark.parametrize("made", LOOP, ids=lambda made: made.__name__)
def test_what_a_run_leaves_is_published_and_its_board_passes(made: Callable[[Path], None], tmp_path: Path, capsys):
    made(tmp_path / "run")
    records = len(pd.read_parquet(tmp_path / "run" / "records"))
    faithbench.publish(tmp_path / "run", tmp_path / "board")
    ended = call(capsys, "board", "check", tmp_path / "board")
    assert (ended.status, ended.err) == (0, "")
    assert len(read_board(tmp_path / "board").records) == records
    assert {path.name for path in (tmp_path / "board").iterdir()} & {"texts", "predictions", "commands.jsonl"} == set()


def test_a_run_that_has_grown_is_published_anew(tmp_path: Path, capsys):
    run = go(tmp_path / "run")
    faithbench.publish(run, tmp_path / "board")
    go(run, limit=7, explainers=("random",))
    faithbench.publish(run, tmp_path / "board")
    assert {path.name for path in (tmp_path / "board").glob("plan*")} == {"plan.toml", "plan-2.toml"}
    go(run, limit=7)
    faithbench.publish(run, tmp_path / "board")
    assert [path.name for path in (tmp_path / "board").glob("plan*")] == ["plan.toml"]
    assert call(capsys, "board", "check", tmp_path / "board").status == 0


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"dtype": "float64"}, "with dtype float32 and with dtype float64"),
        ({"split": "validation"}, "with split test and with split validation"),
    ],
)
def test_two_ways_of_one_model_are_refused(other: dict[str, object], words: str, tmp_path: Path, capsys):
    run = go(tmp_path / "run")
    go(run, **other)
    ended = call(capsys, "board", "publish", run, tmp_path / "board")
    assert ended.status == 2
    (sentence,) = ended.complaints
    assert words in sentence
    assert "run each into a folder of its own" in sentence
    assert not (tmp_path / "board").exists()


def test_a_run_that_is_not_finished_is_refused_with_the_cure(tmp_path: Path):
    run = go(tmp_path / "run")
    (part,) = (run / "records").iterdir()
    frame = pd.read_parquet(part)
    frame[frame["text_id"] != frame["text_id"].iloc[0]].to_parquet(part)
    with pytest.raises(UserError, match=r"has 3 of the 4 texts of plan.toml; run the same command again") as refused:
        faithbench.publish(run, tmp_path / "board")
    assert len(str(refused.value).replace(str(tmp_path), "")) < 400
    go(run)
    assert faithbench.publish(run, tmp_path / "board")


def test_results_that_no_plan_of_the_folder_asks_for_are_not_left_out_in_silence(tmp_path: Path):
    run = go(tmp_path / "run")
    path = run / "plan.toml"
    without = path.read_text().replace('    "random",\n', "")
    assert without != path.read_text()
    path.write_text(without)  # as a later, smaller run has left it before
    with pytest.raises(UserError, match="is in no plan"):
        faithbench.publish(run, tmp_path / "board")
    go(run)
    assert set(read_plan(path).explainers) == {"random", "occlusion"}
    assert faithbench.publish(run, tmp_path / "board")
