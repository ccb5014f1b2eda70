"""The parts of a run, read and checked: texts stay numbers into a list of different ones, for they repeat.

Parts are checked as one table, and each by itself only if something is wrong, so that the part can be named.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from faithbench.errors import UserError
from faithbench.parquet import CorruptFileError, read_parquet, written_out
from faithbench.records.columns import ADDED, IDENTITY, IN_FILES, LARGEST, MEASURED, SCHEMAS
from faithbench.records.entries import check_entries, is_sound, typed

CODED = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Parts:
    """The entries of parts, one part after the other, and how many each has."""

    table: pa.Table
    lengths: Sequence[int]

    @property
    def of_entries(self) -> Int[np.ndarray, "entries"]:
        """The number of each entry's part."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


def read_parts(paths: Sequence[Path], kind: str, usual: int = LARGEST, columns: Collection[str] | None = None) -> Parts:
    """The entries of parts, checked, with texts as dictionaries; columns that no part has are left out.

    Args:
        paths: of the parts.
        kind: `attributions` or `records`.
        usual: the most bytes of a part, packed or not, where `$FAITHBENCH_MAX_BYTES` says nothing.
        columns: that are read, besides an entry's identity and error; None for all. Others are not looked at.

    Raises:
        MissingFileError: one is not there.
        UserError: one is corrupt, no part of such entries, or holds what no run writes.
    """
    wanted = _wanted(kind, columns)
    tables = [_read(path, kind, usual, wanted) for path in paths]
    if not tables:
        return Parts(_coded(SCHEMAS[kind].empty_table().select(sorted(wanted, key=SCHEMAS[kind].names.index))), ())
    ordered = [name for name in SCHEMAS[kind].names if any(name in table.column_names for table in tables)]
    lengths = [len(part) for part in tables]
    columns = _columns(pa.concat_tables(tables, promote_options="permissive").select(ordered))
    del tables
    table = _distinct(columns)
    if not is_sound(kind, table, _needed(kind)):
        for path in paths:
            check_entries(path, kind, _distinct(_columns(_read(path, kind, usual, wanted))), _needed(kind))
    return Parts(table, lengths)


def together(tables: Sequence[pa.Table]) -> Parts:
    """The entries of several stores, each taken for one part."""
    table = pa.concat_tables(tables, promote_options="permissive")
    ordered = [name for name in SCHEMAS["records"].names if name in table.column_names]
    return Parts(_distinct(_columns(table.select(ordered))), [len(each) for each in tables])


def as_frame(kind: str, table: pa.Table, columns: Collection[str] | None = None) -> pd.DataFrame:
    """Entries as a frame of plain texts; columns that are wanted and that no part has are None."""
    return _filled(kind, written_out(table).replace_schema_metadata(None).to_pandas(), columns)


def as_categories(kind: str, table: pa.Table, columns: Collection[str] | None = None) -> pd.DataFrame:
    """Likewise with texts as categories in alphabetical order, which take a byte to four an entry."""
    texts = {
        name: _category(table.column(name)) for name in table.column_names if table.schema.field(name).type == CODED
    }
    numbers = [name for name in table.column_names if name not in texts]
    frame = table.select(numbers).replace_schema_metadata(None).to_pandas(split_blocks=True)
    whole = {name: texts[name] if name in texts else frame[name] for name in table.column_names}
    return _filled(kind, pd.DataFrame(whole, copy=False), columns)


def indices(column: pa.ChunkedArray) -> Int[np.ndarray, "entries"]:
    """The numbers of a column of texts into its dictionary, which all chunks share; -1 for none."""
    if not column.num_chunks:
        return np.zeros(0, dtype=np.int32)
    codes = pa.chunked_array([chunk.indices for chunk in column.chunks])
    return np.asarray(pc.fill_null(codes, -1).to_numpy(), dtype=np.int32)


def dictionary(column: pa.ChunkedArray) -> list[str]:
    """The different texts of a column."""
    found: list[str] = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    return found


def _category(column: pa.ChunkedArray) -> pd.Categorical:
    codes, texts = indices(column), np.array(dictionary(column), dtype=object)
    used = np.unique(codes[codes >= 0])
    order = used[np.argsort(texts[used], kind="stable")]
    places = np.full(len(texts) + 1, -1, dtype=np.int32)  # the last for -1
    places[order] = np.arange(len(order))
    return pd.Categorical.from_codes(places[codes], categories=pd.Index(texts[order], dtype=object))


def _filled(kind: str, frame: pd.DataFrame, columns: Collection[str] | None) -> pd.DataFrame:
    wanted = _wanted(kind, columns)
    for name in SCHEMAS[kind].names:
        if name in wanted and name not in frame:  # published records leave out what tables do not need
            frame[name] = None
    return frame


def _wanted(kind: str, columns: Collection[str] | None) -> set[str]:
    names = SCHEMAS[kind].names
    return {*names} if columns is None else {*IDENTITY[kind], "error", *(name for name in names if name in columns)}


def _needed(kind: str) -> list[str]:
    """Columns of an entry's identity that every part has."""
    return [name for name in IDENTITY[kind] if name not in ADDED]


def _read(path: Path, kind: str, usual: int, wanted: Collection[str]) -> pa.Table:
    """The columns of a part that are wanted, of the types that entries have."""
    try:
        table = read_parquet(path, partial(_chosen, path, kind, wanted), usual, coded=True)
    except CorruptFileError as error:
        raise UserError(
            f"{path} is corrupt ({error.reason}); delete it and run again: only what it held is measured again."
        ) from error
    here = {there: name for name, there in IN_FILES.get(kind, {}).items()}
    table = table.rename_columns([here.get(name, name) for name in table.column_names])
    return _coded(typed(path, table, SCHEMAS[kind]))


def _chosen(path: Path, kind: str, wanted: Collection[str], there: Sequence[str]) -> set[str]:
    """The columns of a file that are read.

    Raises:
        UserError: it lacks one that every part has, or has one under two names.
    """
    names = IN_FILES.get(kind, {})
    for name, other in names.items():
        if name in there and other in there:
            raise UserError(f"{path} is not a part of {kind}: it has the columns {name!r} and {other!r}.")
    for name in (*_needed(kind), MEASURED[kind]):
        if name not in there and names.get(name) not in there:
            raise UserError(f"{path} is not a part of {kind}: it has no column {names.get(name, name)!r}.")
    return {*wanted, *(other for name, other in names.items() if name in wanted)}


def _coded(table: pa.Table) -> pa.Table:
    """The table with all texts as dictionaries of one type."""
    for i, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if field.type != CODED and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            table = table.set_column(i, field.name, _encoded(table.column(i)))
    return table


def _encoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    return plain.cast(pa.string()).dictionary_encode().cast(CODED)


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _distinct(columns: dict[str, pa.ChunkedArray]) -> pa.Table:
    """The columns as a table, with one dictionary a column, in which no text stands twice.

    A copy is made of each column, for which its place is taken, so that what nobody else holds is freed.
    """
    for name, column in columns.items():
        if column.type == CODED and column.num_chunks:
            columns[name] = _one_dictionary(column)
    return pa.table(columns)


def _one_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    column = column.unify_dictionaries()
    texts = column.chunk(0).dictionary
    if texts.null_count or pc.count_distinct(texts).as_py() < len(texts):
        column = _encoded(column).unify_dictionaries()
    return column
