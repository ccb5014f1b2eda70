"""Many parts are read as one table: only what is asked for, and what is wrong is named; what counts is the same."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from records import record, run_of

from faithbench.errors import UserError
from faithbench.records import parts, results
from faithbench.records.columns import IDENTITY, TARGETS
from faithbench.records.settled import numbered, repeats, settled
from faithbench.records.store import Store
from faithbench.types import Target

CELL = {"dataset": "d", "dataset_fingerprint": "f", "model": "m", "model_fingerprint": "w", "explainer": "e"}


def attribution(text_id: str) -> dict[str, object]:
    told = {"version": "1", "text_id": text_id, "target": 1, "against": None, "scores": [0.5, 1.0], "notes": None}
    return CELL | told | {"standard_errors": None, "seconds": 0.1, "rows": 3, "error": None}


def many(folder: Path, count: int = 12) -> Store:
    """A store with a part for each text."""
    store = Store(folder).open()
    for i in range(count):
        store.add([attribution(f"t{i}")], [record(float(i), i)])
        store.flush()
    return store


def test_each_part_is_read_once_and_no_column_that_is_not_asked_for(tmp_path, monkeypatch):
    store, read = many(tmp_path), []

    def reads(path, choice, *rest, **options):
        table = parts_read(path, choice, *rest, **options)
        read.append((path.name, set(table.column_names)))
        return table

    parts_read = parts.read_parquet
    monkeypatch.setattr(parts, "read_parquet", reads)
    table = store.entries("attributions", columns=("notes",))
    assert len(table) == len(read) == len({name for name, _ in read}) == 12
    assert all(columns == {*IDENTITY["attributions"], "notes", "error"} for _, columns in read)


@pytest.mark.parametrize("slim", [False, True])
def test_a_corrupt_part_among_many_is_named(tmp_path, slim):
    store = many(tmp_path)
    path = sorted((tmp_path / "records").iterdir())[7]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=f"^{re.escape(str(path))} is corrupt"):
        store.entries("records", columns=results.NEEDED if slim else None)


def test_a_part_among_many_with_what_no_run_writes_is_named_with_its_row(tmp_path):
    store = many(tmp_path)
    store.add([], [record(1.0, 100), record(float("inf"), 101)])
    store.flush()
    store.add([], [record(1.0, 102)])
    store.flush()
    path = sorted((tmp_path / "records").iterdir())[-2]
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: value in row 2 is infinite\.$"):
        store.read("records")


def slowly(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """What counts, entry by entry: of a cell no failure before its last success, of an identity the last success."""
    cell = [name for name in IDENTITY["records"] if name not in TARGETS]
    rows = [(i, row) for i, frame in enumerate(frames) for row in frame.to_dict("records")]
    last = {tuple(row[name] for name in cell): i for i, row in rows if not isinstance(row["error"], str)}
    kept: dict[tuple, tuple[int, dict]] = {}
    for place, (i, row) in enumerate(rows):
        failed = isinstance(row["error"], str)
        if failed and i < last.get(tuple(row[name] for name in cell), -1):
            continue
        key = tuple("" if pd.isna(row[name]) else row[name] for name in IDENTITY["records"])
        if key not in kept or not failed or isinstance(kept[key][1]["error"], str):
            kept[key] = place, row
    return pd.DataFrame([row for _, row in sorted(kept.values(), key=lambda each: each[0])])


def test_what_counts_is_what_it_is_entry_by_entry(tmp_path):
    generator, store, frames = np.random.default_rng(0), Store(tmp_path).open(), []
    for _ in range(8):
        rows = []
        for value in generator.normal(size=15):
            error = "no" if generator.random() < 0.4 else None
            target = Target(int(generator.integers(2)), None if generator.random() < 0.7 else 1)
            rows.append(record(value, int(generator.integers(4)), target=target, error=error))
        store.add([], rows)
        store.flush()
    paths = sorted((tmp_path / "records").iterdir())
    frames = [parts.as_frame("records", parts.read_parts([path], "records").table) for path in paths]
    table = parts.as_frame("records", settled("records", parts.read_parts(paths, "records")))
    wanted, names = slowly(frames), [*IDENTITY["records"], "value"]
    assert len(wanted) < 8 * 15
    assert table[names].astype(object).where(table[names].notna(), None).values.tolist() == (
        wanted[names].astype(object).where(wanted[names].notna(), None).values.tolist()
    )


def test_numbers_tell_entries_apart_however_many_different_values_there_are():
    generator = np.random.default_rng(0)
    columns = [generator.integers(0, 50, 1000) for _ in range(4)]
    columns = [*columns, *columns]  # 50^8 would do, 2^31 each would not fit into 64 bits
    numbers = numbered((codes, 2**31) for codes in columns)
    slow = list(zip(*(codes.tolist() for codes in columns), strict=True))
    assert len(set(numbers.tolist())) == len(set(slow))
    assert repeats(np.array([3, 1, 3]))
    assert not repeats(np.array([3, 1, 2]))


def test_texts_in_two_spellings_of_a_dictionary_are_the_same(tmp_path):
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int32()), pa.array(["a", "b", "a"]))
    table = parts._distinct({"unit": pa.chunked_array([twice])})
    codes = parts.indices(table.column("unit"))
    assert codes[0] == codes[2] != codes[1]


def test_slim_records_are_the_same_in_little_memory(tmp_path):
    run_of(tmp_path, [record(float(i), i, explainer=e) for i in range(500) for e in ("b", "a")])
    plain, slim = results.read([tmp_path]), results.read([tmp_path], slim=True)
    for name in ("explainer", "unit", "metric", "value", "target"):
        assert slim[name].tolist() == plain[name].tolist()
    assert list(slim["explainer"].cat.categories) == ["a", "b"]
    assert slim.drop(columns="error").memory_usage(index=False, deep=False).sum() / len(slim) < 100
    for one, other in zip(results.panels(plain), results.panels(slim), strict=True):
        assert (one.key, one.texts, one.explainers) == (other.key, other.texts, other.explainers)
        np.testing.assert_array_equal(one.values, other.values)
