"""Figures and the agreement of metrics on a board: made again, compared, and named where they cannot be made."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures_run import call
from records import COMP, SUFF, record, run_of

import faithbench
from faithbench.boards.folder import read_board
from faithbench.boards.pictures import is_drawn_alike, pictures
from faithbench.comparing.meta import meta_evaluation
from faithbench.plugins.spec import build

EXPLAINERS = ("a", "b", "c", "d")
METRICS = {COMP: 1.0, SUFF: -1.0}


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board with the agreement of two metrics over four explainers."""
    generator = np.random.default_rng(0)
    records = [
        record(sign * (10 * i + generator.normal()), text, explainer=explainer, metric=metric)
        for metric, sign in METRICS.items()
        for i, explainer in enumerate(EXPLAINERS)
        for text in range(12)
    ]
    monkeypatch.chdir(tmp_path)
    run = run_of(Path("run"), records)
    faithbench.publish(run, Path("board"))
    evaluation = meta_evaluation([run])
    Path("board/agreement.md").write_text(evaluation.render(), encoding="utf-8")
    evaluation.plot("board/agreement.svg")
    return Path("board")


def told(board: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in call(capsys, "board", "check", board).out.splitlines() if "agreement" in line]


def test_agreement_is_made_again_from_the_records(board: Path, capsys):
    found = pictures(read_board(board))
    assert (sorted(found.made), found.lost) == (["agreement.md", "agreement.svg", "scores.svg"], {})
    assert told(board, capsys) == []


@pytest.mark.parametrize("name", ["agreement.md", "agreement.svg"])
def test_a_number_that_was_changed_is_found_and_put_right(name: str, board: Path, capsys):
    text = (board / name).read_text()
    assert "1.00" in text
    (board / name).write_text(text.replace("1.00", "0.99", 1))
    assert told(board, capsys)[0].startswith(f"board: {name} is not what the records give")
    faithbench.build_boards([board])
    assert (board / name).read_text() == text


def test_a_drawing_of_another_matplotlib_is_compared_by_its_data(board: Path, capsys):
    path = board / "agreement.svg"
    text = path.read_text()
    other = text.replace("<dc:title>Matplotlib v", "<dc:title>Matplotlib v0.", 1).replace("</svg>", " </svg>")
    assert is_drawn_alike(other, text)
    path.write_text(other)
    assert told(board, capsys) == []
    begin = other.index("<dc:description>data ") + len("<dc:description>data ")
    path.write_text(other[:begin] + "0" * 16 + other[begin + 16 :])
    assert told(board, capsys)[0].startswith("board: agreement.svg is not what the records give")


def test_of_old_records_it_is_said_what_cannot_be_made_again(board: Path, capsys):
    (path,) = (board / "records").glob("*.parquet")
    pd.read_parquet(path).drop(columns=["parts", "rows", "seconds"]).to_parquet(path, index=False)
    notes = [line for line in call(capsys, "board", "check", board).out.splitlines() if ": note: " in line]
    assert notes == [
        "board: note: all 96 records lack parts, rows, seconds, so nothing that is made of these can be checked",
        "board: note: agreement.md cannot be made again here: records have no rows",
    ]
    before = (board / "agreement.md").read_text()
    faithbench.build_boards([board])
    assert (board / "agreement.md").read_text() == before


def test_a_figure_that_a_plan_is_like_is_made(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {
        "model": build("model", "conv-tiny").identity,
        "dataset": build("dataset", "hatexplain").identity,
        "explainer": build("explainer", "bcos").identity,
    }
    metric = build("metric", "alignment").identity
    records = [record(50.0, i, metric=metric, parts=(40.0 + i, 60.0), **names) for i in range(3)]
    run = run_of(Path("run"), records)
    words = {"datasets": ["hatexplain"], "models": ["conv-tiny"], "explainers": ["bcos"], "metrics": ["alignment"]}
    lines = [f"{key} = {value}".replace("'", '"') for key, value in {**words, "like": ["figure13"]}.items()]
    (run / "plan.toml").write_text("\n".join(lines) + "\n")
    faithbench.publish(run, Path("board"))
    drawing = Path("board/figure13.svg").read_text()
    faithbench.paper_figure([run], "figure13").plot("again.svg")
    assert Path("again.svg").read_text() == drawing
    shutil.copy("run/plan.toml", "board/plan.toml")
    Path("board/figure13.svg").unlink()
    assert "figure13.svg is missing" in call(capsys, "board", "check", "board").out


def test_names_of_clipping_paths_do_not_count():
    drawn = '<path d="M 1 2" clip-path="url(#p01ab)"/><clipPath id="p01ab">'
    assert is_drawn_alike(drawn, drawn.replace("p01ab", "p99ff"))
    assert not is_drawn_alike(drawn, drawn.replace("M 1 2", "M 1 3"))


@pytest.mark.parametrize(
    ("metrics", "drawn"),
    [
        (["comprehensiveness", "comprehensiveness(operator=delete)", "sufficiency(operator=delete)"], 2),
        (["comprehensiveness", "normalised(comprehensiveness(operator=delete))"], 1),
        (["comprehensiveness(operator=delete)"], 1),
    ],
)
def test_scores_by_masks_stand_beside_those_by_deletion(metrics, drawn, tmp_path):
    names = [build("metric", name).identity for name in metrics]
    generator = np.random.default_rng(0)
    records = [
        record(10 * i + generator.normal(), text, explainer=explainer, metric=metric)
        for metric in names
        for i, explainer in enumerate(EXPLAINERS)
        for text in range(12)
    ]
    faithbench.publish(run_of(tmp_path / "run", records), tmp_path / "board")
    drawing = pictures(read_board(tmp_path / "board")).made["scores.svg"]
    assert drawing.count("higher is better") == drawn
    assert ("(operator=delete)" in drawing) == ("comprehensiveness(operator=delete)" in metrics)


def test_of_one_explainer_all_models_are_drawn(tmp_path):
    metric = build("metric", "comprehensiveness").identity
    records = [
        record(float(i + text), text, model=f"m{i}", model_fingerprint=f"w{i}", metric=metric)
        for i in range(3)
        for text in range(12)
    ]
    faithbench.publish(run_of(tmp_path / "run", records), tmp_path / "board")
    drawing = pictures(read_board(tmp_path / "board")).made["scores.svg"]
    assert [drawing.count(f">m{i}<") for i in range(3)] == [1, 1, 1]
