"""The store: what is put in comes out once, whatever is killed, repeated, joined, damaged or written by others."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from faithbench.errors import UserError
from faithbench.records.store import IDENTITY, SCHEMAS, Store
from faithbench.types import Record, Target

# Forks children that write large parts, or a large manifest, without end, and kills each at some moment.
WRITERS = """
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from faithbench.records.store import Store

scores = np.random.default_rng(0).random((20, 20_000))
rows = [json.loads(sys.argv[2]) | {"text_id": str(i), "scores": row} for i, row in enumerate(scores)]
text = json.dumps({"scores": scores.ravel().tolist()})
home = Path(sys.argv[1])
store = Store(home).open()
store.write_text("manifest.json", text)
store.add(rows, [])
store.flush()


def hidden():  # by os.walk, which is not disturbed by folders that go meanwhile
    return {name for _, folders, files in os.walk(home) for name in folders + files if name.startswith(".")}


for kill in range(10):
    before = hidden()
    child = os.fork()
    while child == 0:
        if kill % 2:
            store.write_text("manifest.json", text)
        else:
            store.add(rows, [])
            store.flush()
    while not hidden() - before:  # it writes now
        time.sleep(0.001)
    time.sleep(0.0005 * kill)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def record(unit: str = "t0", value: float = 1.0, **changes) -> Record:
    """A record; what is not said is the same for all."""
    cell = {"dataset": "d(seed=0)", "model": "m", "explainer": "e(n=1)", "metric": "s", "version": "1.1"}
    marks = {"dataset_fingerprint": "df", "model_fingerprint": "mf", "unit": unit, "target": 1}
    result = {"value": value, "weight": 1.0, "parts": (0.25, 0.5), "seconds": 0.125, "rows": 10}
    return Record(**{**cell, **marks, **result, **changes})


def failed(unit: str = "t0", error: str = "ValueError: no") -> Record:
    """A record of a failure."""
    return record(unit, math.nan, parts=(), error=error)


def attribution(text_id: str = "t0", scores=(0.5, -1.5), **changes) -> dict:
    """An attribution as the runner hands it to the store."""
    known = {name: getattr(record(), name) for name in IDENTITY["attributions"] if hasattr(record(), name)}
    rest = {
        "text_id": text_id,
        "target": 1,
        "scores": scores,
        "notes": '{"gap": 0.1}',
        "seconds": 0.5,
        "rows": 2,
        "error": None,
    }
    return {**known, **rest, **changes}


def written(folder: Path, *parts: list[Record]) -> Store:
    """A store that holds each list of records as a part of its own."""
    store = Store(folder).open()
    for rows in parts:
        store.add([], rows)
        store.flush()
    return store


def contents(folder: Path, kind: str = "records") -> pd.DataFrame:
    """All entries in a fixed order, lists as tuples."""
    frame = Store(folder).read(kind)
    for name in {"scores", "parts"} & set(frame):
        frame[name] = [None if cell is None else tuple(cell) for cell in frame[name]]
    return frame.sort_values(IDENTITY[kind], ignore_index=True)


def parts(folder: Path, kind: str = "records") -> list[Path]:
    """The files of the parts."""
    return sorted((folder / kind).glob("*.parquet"))


def test_a_record_comes_out_as_it_went_in(tmp_path):
    written(tmp_path, [record()])
    (row,) = Store(tmp_path).read("records").to_dict("records")
    assert list(row) == SCHEMAS["records"].names
    assert pd.isna(row.pop("error"))
    assert tuple(row.pop("parts")) == (0.25, 0.5)
    assert pd.isna(row.pop("against"))
    assert row == {name: getattr(record(), name) for name in row}


def test_an_attribution_comes_out_as_it_went_in(tmp_path):
    store = Store(tmp_path).open()
    store.add([attribution(scores=[0.1, 1e-300, -2.0])], [])
    store.flush()
    (row,) = store.read("attributions").to_dict("records")
    assert list(row) == SCHEMAS["attributions"].names
    assert row["scores"].tolist() == [0.1, 1e-300, -2.0]
    assert (row["notes"], row["target"], row["rows"]) == ('{"gap": 0.1}', 1, 2)


@pytest.mark.parametrize("compacted", [False, True])
def test_nan_and_none_survive(tmp_path, compacted):
    store = written(
        tmp_path, [record("nan", math.nan, parts=(math.nan, 1.0)), record("none", parts=())], [failed("no")]
    )
    store.add([attribution("nan", scores=[1e-300, 1.0], notes=None), attribution("no", scores=None, error="x")], [])
    store.flush()
    store.add([attribution("other")], [])
    store.flush()
    if compacted:
        store.compact()
    rows = {row.unit: row for row in contents(tmp_path).itertuples()}
    assert math.isnan(rows["nan"].value)
    assert pd.isna(rows["nan"].error)
    np.testing.assert_array_equal(rows["nan"].parts, (math.nan, 1.0))
    assert rows["none"].parts == ()
    assert rows["no"].error == "ValueError: no"
    scores = {row.text_id: row for row in contents(tmp_path, "attributions").itertuples()}
    np.testing.assert_array_equal(scores["nan"].scores, (1e-300, 1.0))
    assert pd.isna(scores["nan"].notes)
    assert scores["no"].scores is None
    assert scores["no"].error == "x"


def test_an_empty_store_reads_as_no_rows_with_all_columns(tmp_path):
    for kind, schema in SCHEMAS.items():
        frame = Store(tmp_path).open().read(kind)
        assert len(frame) == 0
        assert list(frame) == schema.names


def test_nothing_is_on_disk_before_it_is_flushed_and_an_empty_flush_writes_nothing(tmp_path):
    store = Store(tmp_path).open()
    store.add([attribution()], [record()])
    assert parts(tmp_path) == []
    store.flush()
    store.flush()
    assert len(parts(tmp_path)) == len(parts(tmp_path, "attributions")) == 1


def test_entries_are_written_by_themselves_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr("faithbench.records.store.FLUSH_SECONDS", 0.0)
    store = Store(tmp_path).open()
    store.add([], [record()])
    assert len(contents(tmp_path)) == 1


OTHERS = {"target": Target(0), "against": Target(1, 0), "version": "1.2"}  # of the target, which is two columns


@pytest.mark.parametrize("name", IDENTITY["records"])
def test_every_field_of_the_identity_tells_records_apart(tmp_path, name):
    change = {"target" if name == "against" else name: OTHERS.get(name, "other")}
    written(tmp_path, [record()], [replace(record(), **change)])
    assert len(contents(tmp_path)) == 2


def test_parts_of_before_there_was_a_unit_are_read_and_are_the_same_records(tmp_path):
    store = written(tmp_path, [record("t0"), record("t1", 2.0)])
    (path,) = (tmp_path / "records").glob("*.parquet")
    older = pq.read_table(path).drop_columns(["against"])
    older = older.rename_columns(["text_id" if name == "unit" else name for name in older.column_names])
    pq.write_table(older, tmp_path / "records" / "0.parquet")
    assert len(contents(tmp_path)) == 2
    path.unlink()
    rows = contents(tmp_path)
    assert rows["unit"].tolist() == ["t0", "t1"]
    assert rows["against"].isna().all()
    store.add([], [record("t1", 3.0)])
    store.flush()
    store.compact()
    assert contents(tmp_path)["value"].tolist() == [1.0, 3.0]


@pytest.mark.parametrize("change", [{"value": 2.0}, {"seconds": 9.0}, {"rows": 1}, {"parts": ()}])
def test_of_one_identity_the_later_counts(tmp_path, change):
    written(tmp_path, [record(), record("t1")], [replace(record(), **change)])
    rows = contents(tmp_path)
    assert rows["unit"].tolist() == ["t0", "t1"]
    (name, value), *_ = change.items()
    assert rows[name][0] == value


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize(
    ("entries", "value", "error"),
    [
        ([failed(), record(value=2.0)], 2.0, None),
        ([record(value=2.0), failed()], 2.0, None),
        ([record(value=1.0), failed(), record(value=3.0), failed()], 3.0, None),
        ([failed(error="first"), failed(error="second")], math.nan, "second"),
    ],
)
def test_success_beats_failure_and_later_beats_earlier(tmp_path, entries, value, error, compacted):
    store = written(tmp_path, *([entry] for entry in entries))
    if compacted:
        store.compact()
    (row,) = contents(tmp_path).itertuples()
    np.testing.assert_equal(row.value, value)
    assert row.error == error if error else pd.isna(row.error)


def test_compaction_joins_the_parts_and_keeps_everything(tmp_path):
    store = written(
        tmp_path, *([record(f"t{i}", float(i)), failed(f"f{i}"), record("same", float(i))] for i in range(5))
    )
    for i in range(3):
        store.add([attribution(f"t{i}", [float(i)]), attribution(f"f{i}", None, error="no")], [])
        store.flush()
    before = {kind: contents(tmp_path, kind) for kind in SCHEMAS}
    store.compact()
    for kind in SCHEMAS:
        pd.testing.assert_frame_equal(contents(tmp_path, kind), before[kind])
        assert len(parts(tmp_path, kind)) == 1
    assert len(before["records"]) == 11
    assert before["records"].set_index("unit")["value"]["same"] == 4


def test_one_part_is_left_as_it_is(tmp_path):
    store = written(tmp_path, [record()])
    before = [(path.name, path.read_bytes()) for path in parts(tmp_path)]
    store.compact()
    assert [(path.name, path.read_bytes()) for path in parts(tmp_path)] == before


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_kill_within_compaction_changes_nothing(tmp_path, left):
    store = written(tmp_path / "run", [record("a", 1.0), failed("b")], [record("a", 2.0)], [record("b", 3.0)])
    before = contents(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "old")
    store.compact()
    for path in parts(tmp_path / "old")[left:]:  # the kill came before these were removed
        shutil.copy(path, tmp_path / "run" / "records")
    pd.testing.assert_frame_equal(contents(tmp_path / "run"), before)
    Store(tmp_path / "run").compact()
    pd.testing.assert_frame_equal(contents(tmp_path / "run"), before)
    assert len(parts(tmp_path / "run")) == 1


@pytest.mark.parametrize("damage", ["cut short", "empty", "other bytes"])
def test_a_corrupt_part_is_a_user_error_that_names_the_file(tmp_path, damage):
    written(tmp_path, [record()], [record("t1")])
    path = parts(tmp_path)[1]
    content = path.read_bytes()
    path.write_bytes({"cut short": content[:-20], "empty": b"", "other bytes": b"x" * len(content)}[damage])
    with pytest.raises(UserError) as error:
        Store(tmp_path).read("records")
    assert str(path) in str(error.value)
    assert "delete it" in str(error.value)


def test_a_part_of_another_kind_is_a_user_error_that_names_the_file(tmp_path):
    pd.DataFrame({"text": ["a"]}).to_parquet(Store(tmp_path).open().folder / "records" / "mine.parquet")
    with pytest.raises(UserError, match=r"mine\.parquet is not a part of records.*'dataset'"):
        Store(tmp_path).read("records")


def test_temporary_files_of_a_killed_writer_are_ignored(tmp_path):
    store = written(tmp_path, [record()])
    content = parts(tmp_path)[0].read_bytes()
    (tmp_path / "records" / ".1-2-abc").write_bytes(content[:50])
    (tmp_path / ".manifest.json.123").write_text('{"half')
    assert len(contents(tmp_path)) == 1
    assert store.manifest() == {}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_kill_in_the_midst_of_writing_leaves_nothing_half_written(tmp_path):
    args = [sys.executable, "-c", WRITERS, str(tmp_path), json.dumps(attribution())]
    subprocess.run(args, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert list(tmp_path.rglob(".*"))  # some were killed while they wrote
    assert Store(tmp_path).read("attributions")["scores"].map(len).tolist() == 20 * [20_000]
    assert len(Store(tmp_path).manifest()["scores"]) == 400_000


def test_two_stores_write_to_one_folder(tmp_path):
    one, two = Store(tmp_path).open(), Store(tmp_path).open()
    for i in range(4):
        one.add([], [record(f"one-{i}")])
        two.add([], [record(f"two-{i}"), record("both", float(i))])
        one.flush()
        two.flush()
        assert len(contents(tmp_path)) == 2 * (i + 1) + 1
    one.compact()
    two.add([], [record("late")])
    two.flush()
    two.compact()
    assert len(contents(tmp_path)) == 10
    assert contents(tmp_path).set_index("unit")["value"]["both"] == 3


@pytest.mark.slow
def test_stores_that_compact_while_others_read_and_write_do_not_disturb_each_other(tmp_path):
    def work(name: str) -> None:
        try:
            store = Store(tmp_path).open()
            for i in range(25):
                store.add([], [record(f"{name}-{i}")])
                store.flush()
                store.compact()
        except UserError as error:
            errors.append(str(error))

    errors: list[str] = []
    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(contents(tmp_path)) == 75


def test_small_files_are_replaced_whole(tmp_path):
    store = Store(tmp_path).open()
    assert store.manifest() == {}
    for number in range(3):
        store.write_text("manifest.json", f'{{"number": {number}}}')
        assert store.manifest() == {"number": number}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attributions", "manifest.json", "records"]


@pytest.mark.slow
def test_workers_that_change_the_manifest_take_turns(tmp_path):
    script = (
        "import sys; from pathlib import Path; from faithbench.records.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for i in range(60):\n"
        "    store.change_manifest(lambda known: known.setdefault('versions', {}).update({sys.argv[2] + str(i): '1'}))"
    )
    Store(tmp_path).open()
    workers = [subprocess.Popen([sys.executable, "-c", script, tmp_path, name]) for name in "abc"]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert len(Store(tmp_path).manifest()["versions"]) == 180


def test_a_manifest_that_cannot_be_locked_is_a_user_error(tmp_path):
    (tmp_path / ".manifest.lock").mkdir()
    with pytest.raises(UserError, match=re.escape(f"folder {tmp_path} cannot be written: ")):
        Store(tmp_path).open().change_manifest(dict.clear)


def test_a_damaged_manifest_is_a_user_error_that_names_the_file(tmp_path):
    (tmp_path / "manifest.json").write_text('{"half')
    with pytest.raises(UserError, match=r"manifest\.json cannot be read"):
        Store(tmp_path).manifest()


def test_a_folder_that_cannot_be_written_is_a_user_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/run cannot be written"):
        Store(tmp_path / "file" / "run").open()


@pytest.mark.parametrize("name", ["records", "attributions", "manifest.json", "plan.toml"])
def test_a_run_is_not_written_through_a_link_of_a_strangers_folder(name, tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run.mkdir()
    (run / name).symlink_to(elsewhere)
    with pytest.raises(UserError, match=f"{name} is a link"):
        Store(run).open()
    assert not elsewhere.exists()


def test_a_folder_in_which_somebody_else_works_is_not_discarded(tmp_path):
    store = Store(tmp_path / "run").open()
    (store.folder / "records" / "1-2-3.parquet.of.another").touch()
    store.discard_if_empty()
    assert store.folder.exists()
    (store.folder / "records" / "1-2-3.parquet.of.another").unlink()
    store.write_text("plan.toml", "")
    store.discard_if_empty()
    assert not store.folder.exists()


@pytest.mark.parametrize("name", ["README.txt", "commands.jsonl", "manifest.json", "plan.toml"])
def test_a_link_in_a_strangers_folder_is_not_written_through(name: str, tmp_path: Path):
    mine = tmp_path / "mine.txt"
    mine.write_text("{}")
    store = Store(tmp_path / "run").open()
    (store.folder / name).symlink_to(mine)
    writes = (
        lambda: store.write_text(name, "theirs"),
        lambda: store.change_text(name, lambda text: f"{text}theirs"),
        lambda: store.change_manifest(lambda manifest: manifest.update(versions={"a": "b"})),
    )
    for write in writes if name == "manifest.json" else writes[:2]:
        with pytest.raises(UserError, match="is a link, and a run writes through none"):
            write()
    assert mine.read_text() == "{}"
