"""Data files from outside that are no files, or hold more than they seem to."""

import bz2
import gzip
import lzma
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithbench.datasets.file import File
from faithbench.errors import UserError
from faithbench.importing.files import read_rows
from faithbench.schemas import MAX_BYTES_VARIABLE

HEADER = b"text,label\n"


def refusal(path: Path) -> str:
    """The sentence for a data file."""
    with pytest.raises(UserError) as error:
        File(str(path)).load("test")
    message = str(error.value)
    assert str(path) in message
    assert len(message) < len(str(path)) + 300
    return message


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_packed_file_is_unpacked_to_the_limit_only(tmp_path: Path, ending: str, pack, monkeypatch):
    path = tmp_path / f"a.csv.{ending}"
    path.write_bytes(pack(HEADER + b"a" * 10**7 + b",1\nb,0\n"))
    assert path.stat().st_size < 20_000
    monkeypatch.setenv(MAX_BYTES_VARIABLE, str(10**6))
    assert f"more than 1,000,000 bytes; {MAX_BYTES_VARIABLE} raises the limit" in refusal(path)
    monkeypatch.setenv(MAX_BYTES_VARIABLE, str(2 * 10**7))
    assert len(list(File(str(path)).load("test"))) == 2


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_pipe_is_not_opened(tmp_path: Path, ending: str):
    path = tmp_path / f"a.{ending}"
    os.mkfifo(path)
    assert "no regular file but a pipe" in refusal(path)
    with pytest.raises(UserError, match="no regular file but a pipe"):
        _ = File(str(path)).content
    with pytest.raises(UserError, match="is not a file"):
        read_rows(path)


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + b"a,1\n" * 1000)
    monkeypatch.setenv(MAX_BYTES_VARIABLE, "1000")
    assert "has 4,011 bytes, more than 1,000" in refusal(path)
    with pytest.raises(UserError, match="more than 1,000"):
        read_rows(path)


def test_a_parquet_file_that_declares_too_much_is_not_read(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.parquet"
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["x" * 100_000]))
    pq.write_table(pa.table({"text": texts, "label": [0] * 1000}), path)
    monkeypatch.setenv(MAX_BYTES_VARIABLE, str(10**7))
    assert "more than 10,000,000 bytes" in refusal(path)
    with pytest.raises(UserError, match="more than 10,000,000 bytes"):
        read_rows(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"text": "a", "label": ' + b"1" * 4000 + b"}\n", "row 1 has label 1111"),
        ("a.jsonl", b'{"text": "a", "label": ' + b"[" * 500 + b"]" * 500 + b"}\n", "row 1 has label [[[["),
        ("a.csv", HEADER + b"a," + b"9" * 6000 + b"\n", "row 1 has label '9999"),
        ("a.json", b'"' + b"x" * 10_000 + b'"', "it holds 'xxx"),
        ("a.jsonl", b'{"text": "a", "label": 0, "evidence": [[0, 1e999]]}\n', "evidence has spans that are not"),
        ("a.jsonl", b'{"text": "a", "label": 0, "evidence": [[0, ' + b"9" * 30 + b"]]}\n", "a span that is too far"),
    ],
)
def test_large_values_are_named_in_short(tmp_path: Path, name: str, content: bytes, words: str):
    (tmp_path / name).write_bytes(content)
    assert words in refusal(tmp_path / name)


def test_strange_metadata_of_parquet_names_no_classes(tmp_path: Path):
    for number, about in enumerate((b'{"info": {"features": {"label": {"names": 5}}}}', b"[" * 100_000)):
        path = tmp_path / f"{number}.parquet"
        table = pa.table({"text": ["a", "b"], "label": [0, 1]}).replace_schema_metadata({b"huggingface": about})
        pq.write_table(table, path)
        assert [row.label for row in File(str(path)).load("test")] == [0, 1]
