"""Parquet files from outside: what the footer declares is looked at first, and no more is unpacked than a limit.

A small file can declare any number of rows, or one long text a million times. Texts are read as numbers into a list of
different ones, so that what they come to is known before it is made.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from faithbench.errors import UserError
from faithbench.schemas import LARGE, MissingFileError, check_file, limit_of, reason, too_large

WIDTH = 8  # bytes of a value, at least
BATCH = 2**16  # rows that are read at once
COLUMNS = 10_000  # of a file, at most
SMALL_BATCH = 2**20  # bytes, up to which it is enough to know that a batch has no more
TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
UNREADABLE = (OSError, ValueError, KeyError, TypeError, NotImplementedError, MemoryError, OverflowError)


class CorruptFileError(UserError):
    """A file is no Parquet, damaged or encrypted; `reason` is the end of a sentence."""

    def __init__(self, path: Path, cause: BaseException) -> None:
        self.reason = reason(cause)
        super().__init__(f"{path} cannot be read as parquet: {self.reason}.")


Choice = Callable[[Sequence[str]], Collection[str]]  # of columns, by the names that there are


def read_parquet(
    path: Path, columns: Collection[str] | Choice | None = None, usual: int = LARGE, coded: bool = False
) -> pa.Table:
    """The table in a Parquet file.

    Args:
        path: of the file.
        columns: that are read, of those that there are, or a function that says so and may refuse; None for all.
        usual: the most bytes, packed or not, where `$FAITHBENCH_MAX_BYTES` says nothing.
        coded: texts stay numbers into a list of different ones (dictionaries), as they are read.

    Raises:
        MissingFileError: it is not there.
        CorruptFileError: it is no Parquet, damaged or encrypted.
        UserError: it is no regular file, names a column twice, or holds more than the limit.
    """
    check_file(path, usual)
    try:
        footer = pq.read_metadata(path)
        _check_footer(path, footer, limit_of(usual))
        table = _table(path, footer, columns, limit_of(usual))
        return table if coded else written_out(table)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} cannot be read: it does not exist.") from error
    except UNREADABLE as error:  # pyarrow's errors are all of these
        raise CorruptFileError(path, error) from error


def rows_of(path: Path, table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table that was read from a file.

    Raises:
        CorruptFileError: a value is none that Python has, such as a date in the year 100,000.
    """
    try:
        rows: list[dict[str, Any]] = table.to_pylist()
    except UNREADABLE as error:
        raise CorruptFileError(path, error) from error
    return rows


def _check_footer(path: Path, footer: pq.FileMetaData, limit: int) -> None:
    """What is declared: columns, rows with their width, and bytes before they were packed."""
    if footer.num_columns > COLUMNS:
        raise UserError(f"{path} cannot be read: it has {footer.num_columns:,} columns, more than {COLUMNS:,}.")
    widths = [max(WIDTH, footer.schema.column(i).length or 0) for i in range(footer.num_columns)]
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    values = sum(width * group.column(i).num_values for group in groups for i, width in enumerate(widths))
    declared = max(footer.num_rows * WIDTH, values, sum(group.total_byte_size for group in groups))
    if declared > limit:
        raise too_large(path, declared, limit)


def _table(path: Path, footer: pq.FileMetaData, columns: Collection[str] | Choice | None, limit: int) -> pa.Table:
    leaves = [footer.schema.column(i) for i in range(footer.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    with pq.ParquetFile(path, metadata=footer, read_dictionary=texts) as file:
        schema = file.schema_arrow
        names = schema.names
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UserError(f"{path} cannot be read: it has two columns {twice!r}.")
        wanted = columns(names) if callable(columns) else columns
        chosen = None if wanted is None else [name for name in names if name in wanted]
        size, batches = 0, []
        for batch in file.iter_batches(BATCH, columns=chosen, use_threads=len(names) * footer.num_rows > BATCH):
            batch.validate(full=True)  # offsets, UTF-8
            size += _size(batch)
            if size > limit:
                raise too_large(path, None, limit)
            batches.append(batch)
        fields = [schema.field(name) for name in (names if chosen is None else chosen)]
        return pa.Table.from_batches(batches, pa.schema(fields, schema.metadata))


def written_out(table: pa.Table) -> pa.Table:
    """The table with its texts in full."""
    for i, kind in enumerate(table.schema.types):
        if pa.types.is_dictionary(kind):
            table = table.set_column(i, table.column_names[i], table.column(i).cast(kind.value_type))
    return table


def _size(batch: pa.RecordBatch) -> int:
    """The bytes of a batch once its texts are written out; of a small one, what it has no more than."""
    most = (batch.num_rows + 1) * sum(WIDTH + _longest(array) for array in batch.columns)
    return most if most <= SMALL_BATCH else sum(map(_unpacked, batch.columns))


def _longest(array: pa.Array) -> int:
    """The most bytes that a value of an array can have; texts within lists are counted: one may be there often."""
    if pa.types.is_dictionary(array.type):
        return int(array.dictionary.nbytes)
    return _unpacked(array) if pa.types.is_nested(array.type) else int(array.nbytes)


def _unpacked(array: pa.Array) -> int:
    """The bytes of an array once its texts are written out."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        texts = array.dictionary
        lengths = pc.binary_length(texts) if any(test(texts.type) for test in TEXTS) else pa.array([WIDTH] * len(texts))
        return WIDTH * len(array) + (pc.sum(lengths.take(array.indices).cast(pa.int64())).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(map(_unpacked, array.flatten()))
    if pa.types.is_map(kind):
        return _unpacked(array.keys) + _unpacked(array.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return WIDTH * len(array) + _unpacked(array.flatten())
    return int(array.nbytes)
