"""Parts of what a run keeps beside its entries, for people to look at: written whole, never changed, checked when read.

Which kinds there are, `faithbench.records.columns.KEPT` says.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from faithbench.errors import UserError
from faithbench.parquet import CorruptFileError, read_parquet, written_out
from faithbench.records.columns import KEPT, KEPT_IDENTITY, LARGEST
from faithbench.records.entries import typed
from faithbench.records.store import Store

AT_ONCE = 1024  # rows that are turned into columns at once


def add_kept(store: Store, kind: str, rows: Iterable[Mapping[str, object]]) -> None:
    """Writes rows as one part, a thousand or so at a time.

    Raises:
        UserError: the folder cannot be written.
    """
    store.write_part(kind, _batches(KEPT[kind], rows))


def kept_parts(
    store: Store,
    kind: str,
    needed: Sequence[str],
    check: Callable[[Path, str, pa.Table], None],
    columns: Iterable[str] | None = None,
) -> Iterator[pa.Table]:
    """The parts of a kind.

    Args:
        store: of the run.
        kind: which.
        needed: columns that every part has, besides those of the identity.
        check: refuses what no run writes; it is given the path, the kind, and the columns that are read.
        columns: that are read; None for all.

    Raises:
        UserError: a part is corrupt, lacks a column, or holds what no run writes.
    """
    schema = KEPT[kind]
    wanted = set(schema.names if columns is None else columns)
    for path in sorted((store.folder / kind).glob("*.parquet")):
        try:
            table = read_parquet(path, partial(_chosen, path, kind, needed, wanted), LARGEST)
        except CorruptFileError as error:
            raise UserError(
                f"{path} is corrupt ({error.reason}); delete it and run again: only what it held is redone."
            ) from error
        table = typed(path, table, schema)
        lacking = pa.nulls(len(table))
        columns_ = {
            field.name: table.column(field.name) if field.name in table.column_names else lacking
            for field in schema
            if field.name in wanted
        }
        table = pa.table({name: column.cast(schema.field(name).type) for name, column in columns_.items()})
        check(path, kind, table)
        yield table if columns is not None else table.cast(schema)


def rows_of(table: pa.Table, own: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The rows of which the columns say this, a thousand or so at a time."""
    mine = written_out(table.filter(where(table, own)))
    for begin in range(0, len(mine), AT_ONCE):
        yield from mine.slice(begin, AT_ONCE).to_pylist()


def where(table: pa.Table, own: Mapping[str, str]) -> pa.ChunkedArray:
    """Which rows these are."""
    mine = pa.chunked_array([pa.repeat(True, len(table))])
    for name, value in own.items():
        mine = pc.and_(mine, pc.equal(table.column(name), value))
    return mine


def _batches(schema: pa.Schema, rows: Iterable[Mapping[str, object]]) -> Iterator[pa.Table]:
    waiting: list[Mapping[str, object]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == AT_ONCE:
            yield pa.Table.from_pylist(waiting, schema=schema)
            waiting = []
    if waiting:
        yield pa.Table.from_pylist(waiting, schema=schema)


def _chosen(path: Path, kind: str, needed: Sequence[str], wanted: set[str], there: Sequence[str]) -> set[str]:
    for name in (*KEPT_IDENTITY[kind], *needed):
        if name not in there:
            raise UserError(f"{path} is not a part of {kind}: it has no column {name!r}.")
    return wanted
