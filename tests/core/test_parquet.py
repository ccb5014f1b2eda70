"""Parquet files from outside: what they hold is read as it is, and never more than a limit."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithbench.errors import UserError
from faithbench.parquet import CorruptFileError, read_parquet, rows_of
from faithbench.schemas import MAX_BYTES_VARIABLE, MissingFileError


def written(path: Path, columns: dict[str, object]) -> Path:
    """The file of a table."""
    pq.write_table(pa.table(columns), path, compression="zstd")
    return path


def repeated(text: str, rows: int) -> pa.Array:
    """One text in so many rows, which takes no room."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))


def test_what_is_in_a_file_is_read_as_it_is(tmp_path: Path):
    columns = {
        "text": ["a", "b", None],
        "lists": [["x", None], None, []],
        "table": [{"k": "x"}, None, {"k": None}],
        "map": pa.array([[("a", "b")], None, []], pa.map_(pa.string(), pa.string())),
        "dictionary": pa.array(["q", "q", None]).dictionary_encode(),
        "large": pa.array(["a", "b", None], pa.large_string()),
        "number": [1.5, None, 3.0],
        "nothing": pa.nulls(3),
    }
    table = read_parquet(written(tmp_path / "a.parquet", columns))
    assert rows_of(tmp_path, table) == pa.table(columns).to_pylist()
    assert table.schema.field("text").type == pa.string()
    assert read_parquet(tmp_path / "a.parquet", ["number", "other"]).column_names == ["number"]


def test_a_file_without_rows_has_its_columns(tmp_path: Path):
    assert read_parquet(written(tmp_path / "a.parquet", {"a": pa.array([], pa.string())})).column_names == ["a"]


@pytest.mark.parametrize(
    "columns",
    [
        {"a": repeated("x" * 100_000, 1000)},
        {"a": pa.ListArray.from_arrays(pa.array([0, 1000], pa.int32()), repeated("x" * 100_000, 1000))},
        {"a": pa.StructArray.from_arrays([repeated("x" * 100_000, 1000)], ["b"])},
        {"a": pa.array([1] * 1_000_000)},
        {f"c{i}": pa.array([None] * 1000, pa.int64()) for i in range(200)},
    ],
    ids=["text", "list", "table", "rows", "columns"],
)
def test_a_small_file_that_would_fill_the_memory_is_refused(tmp_path: Path, columns: dict[str, object], monkeypatch):
    monkeypatch.setenv(MAX_BYTES_VARIABLE, str(10**6))
    path = written(tmp_path / "a.parquet", columns)
    assert path.stat().st_size < 10**5
    with pytest.raises(UserError, match=f"more than 1,000,000.*{MAX_BYTES_VARIABLE} raises the limit"):
        read_parquet(path)


@pytest.mark.parametrize("spoil", [lambda c: c[:-20], lambda c: b"", lambda c: b"PAR1" + c[40:], lambda c: c[:100]])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, spoil):
    path = written(tmp_path / "a.parquet", {"a": ["x", "y"], "b": [1, 2]})
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CorruptFileError, match=r"a\.parquet cannot be read as parquet: .*\.$"):
        read_parquet(path)


def test_texts_that_are_not_utf_8_are_refused(tmp_path: Path):
    buffers = [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    path = written(tmp_path / "a.parquet", {"a": pa.Array.from_buffers(pa.string(), 1, buffers)})
    with pytest.raises(CorruptFileError, match="UTF8"):
        read_parquet(path)


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path):
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="two columns 'a'"):
        read_parquet(tmp_path / "a.parquet")


def test_values_that_python_cannot_hold_are_refused(tmp_path: Path):
    path = written(tmp_path / "a.parquet", {"a": pa.array([9 * 10**14]).cast(pa.timestamp("s"), safe=False)})
    with pytest.raises(CorruptFileError):
        rows_of(path, read_parquet(path))


def test_a_file_that_is_not_there_is_told_apart(tmp_path: Path):
    with pytest.raises(MissingFileError):
        read_parquet(tmp_path / "a.parquet")


def test_what_the_footer_declares_is_enough_to_refuse_a_file(tmp_path: Path, monkeypatch):
    monkeypatch.setenv(MAX_BYTES_VARIABLE, str(10**6))
    path = written(tmp_path / "a.parquet", {"a": pa.array([1] * 1_000_000)})
    with pytest.raises(UserError, match=r"it has 8,000,000 bytes, more than 1,000,000"):
        read_parquet(path)
