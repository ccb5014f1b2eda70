"""Tables and leaderboards as pure functions of records."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import faithbench
from faithbench import board as board_module
from faithbench.errors import UserError
from faithbench.store import Store
from faithbench.tables import failures, render, table
from faithbench.types import Record

LEADERBOARDS = Path(__file__).parent.parent / "leaderboards"


def record(value: float, text: int, **changes: object) -> Record:
    fields = {
        "dataset": "planted",
        "dataset_fingerprint": "d",
        "model": "conv-tiny(seed=42)",
        "model_fingerprint": "m",
        "explainer": "occlusion",
        "metric": "comprehensiveness(protocol=strict)",
        "version": "1.1",
        "text_id": str(text),
        "target": 1,
        "value": value,
        "parts": (value,),
        "seconds": 0.1,
        "rows": 3,
    }
    return Record(**{**fields, **changes})


def run_of(folder: Path, records: list[Record]) -> Path:
    store = Store(folder).open()
    store.add([], records)
    store.flush()
    models = {
        f"{r.model} on {r.dataset}": {"label": "conv-tiny", "fingerprint": "m", "truncated_texts": 0} for r in records
    }
    store.write_text("manifest.json", json.dumps({"models": models}))
    store.write_text("plan.toml", "")
    return folder


def test_means_and_intervals_are_those_of_the_values(tmp_path: Path):
    values = np.random.default_rng(0).normal(10, 3, 50)
    row = table([run_of(tmp_path / "run", [record(v, i) for i, v in enumerate(values)])]).iloc[0]
    assert row["mean"] == pytest.approx(values.mean(), rel=1e-12)
    assert row["half_width"] == pytest.approx(1.959964 * values.std(ddof=1) / math.sqrt(50), rel=1e-9)
    assert (row["n"], row["undefined"], row["failed"]) == (50, 0, 0)


def test_undefined_and_failed_texts_are_counted_and_not_averaged(tmp_path: Path):
    records = [record(4.0, 0), record(6.0, 1), record(math.nan, 2), record(math.nan, 3, error="ValueError: no")]
    folder = run_of(tmp_path / "run", records)
    row = table([folder]).iloc[0]
    assert (row["mean"], row["n"], row["undefined"], row["failed"]) == (5.0, 2, 1, 1)
    assert "5.00 ± 1.96 (1 failed, 1 undefined)" in render([folder])
    assert failures([folder]).iloc[0].to_dict()["error"] == "ValueError: no"


def test_cells_that_were_not_run_are_empty_and_never_zero(tmp_path: Path):
    records = [record(1.0, 0), record(2.0, 0, explainer="random(seed=0)", metric="evidence")]
    lines = [line for line in render([run_of(tmp_path / "run", records)]).splitlines() if line.startswith("| o")]
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == ["occlusion", "1.00", ""]


def test_a_model_trained_anew_is_a_line_of_its_own(tmp_path: Path):
    folder = run_of(tmp_path / "run", [record(1.0, 0), record(3.0, 0, model_fingerprint="other")])
    assert sorted(table([folder])["mean"]) == [1.0, 3.0]
    assert render([folder]).count("**conv-tiny") == 2


def test_two_records_of_one_identity_in_two_runs_are_an_error_unless_equal(tmp_path: Path):
    one = run_of(tmp_path / "one", [record(1.0, 0)])
    same, other = run_of(tmp_path / "same", [record(1.0, 0)]), run_of(tmp_path / "other", [record(2.0, 0)])
    assert len(table([one, same])) == 1
    with pytest.raises(UserError, match="two different records"):
        table([one, other])


def test_by_class_keeps_the_predicted_classes_apart(tmp_path: Path):
    folder = run_of(tmp_path / "run", [record(1.0, 0), record(3.0, 1), record(8.0, 2, target=0)])
    frame = table([folder], by_class=True)
    assert list(zip(frame["target"], frame["mean"], frame["n"], strict=True)) == [(0, 8.0, 1), (1, 2.0, 2)]
    assert "texts that it takes for class 0\n" in render([folder], by_class=True)


def test_csv_is_tidy(tmp_path: Path):
    text = render([run_of(tmp_path / "run", [record(1.25, 0), record(1.75, 1)])], "csv")
    assert (
        text.splitlines()[0]
        == "dataset,dataset_fingerprint,model,model_fingerprint,explainer,metric,mean,half_width,n,undefined,failed"
    )
    assert text.splitlines()[1].endswith(",1.5000,0.4900,2,0,0")


def test_publishing_keeps_the_table_and_leaves_out_what_it_does_not_need(tmp_path: Path):
    values = np.random.default_rng(0).normal(10, 3, 50).astype(np.float32)
    run = run_of(tmp_path / "run", [record(float(v), i) for i, v in enumerate(values)])
    board_module.publish(run, tmp_path / "board")
    published = pd.read_parquet(next((tmp_path / "board" / "records").iterdir()))
    assert "parts" not in published
    assert published["value"].dtype == np.float32
    assert (tmp_path / "board" / "table.md").read_text() == render([run])
    assert (tmp_path / "board" / "table.csv").read_text() == render([run], "csv")


def test_publishing_leaves_out_weights_that_were_trained_anew_since(tmp_path: Path):
    run = run_of(tmp_path / "run", [record(1.0, 0), record(3.0, 0, model_fingerprint="earlier")])
    board_module.publish(run, tmp_path / "board")
    assert table([tmp_path / "board"])["mean"].tolist() == [1.0]


def test_publishing_nothing_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match="holds no records"):
        faithbench.publish(run_of(tmp_path / "run", []), tmp_path / "board")


@pytest.mark.skipif(not LEADERBOARDS.is_dir(), reason="the leaderboards are not beside the tests")
def test_committed_tables_are_those_of_their_records():
    boards = [path.parent for path in LEADERBOARDS.glob("*/plan.toml")]
    assert boards
    for folder in boards:
        for name, kind in board_module.TABLES.items():
            assert (folder / name).read_text(encoding="utf-8") == render([folder], kind), folder / name
        sizes = [path.stat().st_size for path in (folder / "records").iterdir()]
        assert max(sizes) < 1_000_000
        assert sum(sizes) < 2_000_000
