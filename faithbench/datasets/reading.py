"""Files as tables: which ending is read how, compressed or not."""

import bz2
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from faithbench.datasets.decoding import decoded
from faithbench.datasets.delimited import read_delimited
from faithbench.datasets.objects import read_json, read_json_lines
from faithbench.datasets.table import Table
from faithbench.errors import UserError
from faithbench.parquet import read_parquet, rows_of
from faithbench.schemas import LARGE, limit_of, read_bytes, read_limited

UNPACK: Mapping[str, Callable[[io.BytesIO], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
KINDS = (".csv", ".jsonl", ".parquet", ".tsv", ".json", ".ndjson", ".txt")
ENDINGS = (*KINDS, *(kind + packed for kind in KINDS if kind != ".parquet" for packed in UNPACK))
SPREADSHEETS = (".xlsx", ".xls", ".ods")


def ending_of(path: Path) -> str:
    """What kind of file it is, compressed or not: `.csv` of `reviews.CSV.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] and suffixes[-1] in UNPACK
    return "".join(suffixes[-2:-1] if packed else suffixes[-1:])


def read_table(path: Path, delimiter: str = "", encoding: str = "", known: Collection[str] = ()) -> Table:
    """The table in a file.

    Args:
        path: of the file.
        delimiter: of CSV and TSV; empty to tell it by the header.
        encoding: of all but Parquet; empty for UTF-8 or what a byte order mark says.
        known: names of columns, in lower case, by which a CSV file's header is known.

    Raises:
        UserError: it cannot be read.
    """
    kind = ending_of(path)
    if kind in SPREADSHEETS:
        raise UserError(f"{path} is a spreadsheet, which is not read; save it as CSV in UTF-8 (.csv).")
    if kind not in KINDS:
        named = repr(path.suffix) if path.suffix else "no ending"
        raise UserError(f"{path}: {named} is not a known kind of file; use {', '.join(KINDS)}.")
    if kind == ".parquet":
        return read_parquet_table(path)
    text, notes = decoded(str(path), _bytes(path), encoding)
    table = _table(str(path), kind, text, delimiter, known)
    return replace(table, notes=(*notes, *table.notes))


def _table(source: str, kind: str, text: str, delimiter: str, known: Collection[str]) -> Table:
    if not text.strip():
        raise UserError(f"{source} has no rows: it is empty.")
    if kind in (".csv", ".tsv"):
        return read_delimited(source, text, delimiter, "," if kind == ".csv" else "\t", known)
    if kind == ".txt":
        lines = [{"text": line.removesuffix("\r")} for line in text.split("\n") if line.strip()]
        return Table(source, ["text"], lines, notes=(f"{source} is read as one text a line, without labels",))
    return read_json(source, text) if kind == ".json" else read_json_lines(source, text)


def _bytes(path: Path) -> bytes:
    content, unpack = read_bytes(path, LARGE), UNPACK.get(path.suffix.lower())
    try:
        return content if unpack is None else read_limited(path, unpack(io.BytesIO(content)), limit_of(LARGE))
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def read_parquet_table(path: Path) -> Table:
    """The table in a Parquet file, with the names of classes that the library `datasets` writes into it.

    Raises:
        UserError: it cannot be read.
    """
    table = read_parquet(path)
    return Table(str(path), table.column_names, rows_of(path, table), names=_class_names(table.schema.metadata or {}))


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Names of classes by column, as `datasets` keeps them in a file's metadata."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        named = {name: (about, about.get("feature") or {}) for name, about in features.items()}
        names = {name: own.get("names") or inner.get("names") for name, (own, inner) in named.items()}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    return {name: tuple(map(str, found)) for name, found in names.items() if found and isinstance(found, list)}
