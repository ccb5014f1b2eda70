"""Of several entries of one identity the one that counts: the last that did not fail, failing that the last."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int

from faithbench.records.columns import IDENTITY, TARGETS
from faithbench.records.parts import CODED, Parts, dictionary, indices

Codes = tuple[Int[np.ndarray, "entries"], int]  # a number for each entry, and how many there are
MOST = 2**62  # different entries that can be numbered


def settled(kind: str, parts: Parts) -> pa.Table:
    """One entry for each identity, in the order in which they stand."""
    return _last(kind, joined(kind, parts))


def joined(kind: str, parts: Parts) -> pa.Table:
    """The entries of several parts, in order, without failures that later parts have made good.

    What failed may have been asked for another target than what worked later: a cell is measured again with all the
    targets that it has then, and is written whole.
    """
    table, failed = parts.table, has_failed(parts.table)
    if not failed.any() or len(parts.lengths) < 2:
        return table
    numbers = parts.of_entries
    names = [name for name in IDENTITY[kind] if name not in TARGETS]
    cells = pd.factorize(numbered(_columns(table, names)))[0]
    last = np.full(cells.max() + 1, -1)
    np.maximum.at(last, cells[~failed], numbers[~failed])
    return table.filter(pa.array(~failed | (numbers >= last[cells])))


def _last(kind: str, table: pa.Table) -> pa.Table:
    numbers = numbered(_columns(table, IDENTITY[kind]))
    if len(table) < 2 or not repeats(numbers):
        return table
    numbers, distinct = pd.factorize(numbers)
    failed = has_failed(table)
    order = np.concatenate([np.flatnonzero(failed), np.flatnonzero(~failed)])
    last = np.zeros(len(distinct), dtype=np.int64)
    last[numbers[order]] = order  # the last that is written stays
    return table.take(pa.array(np.sort(last)))


def has_failed(table: pa.Table) -> Bool[np.ndarray, "entries"]:
    """Which entries are failures."""
    if "error" not in table.column_names:
        return np.zeros(len(table), dtype=bool)
    return np.asarray(pc.is_valid(table.column("error")).to_numpy(), dtype=bool)


def numbered(columns: Iterable[Codes]) -> Int[np.ndarray, "entries"]:
    """A number for each entry, the same for those that are the same in these columns; of each, numbers from 0.

    They are in the order of the first column's numbers, then the second's, and so on.
    """
    numbers, count = np.zeros(1, dtype=np.int64), 1
    for codes, size in columns:
        if count * size > MOST:
            numbers, distinct = pd.factorize(numbers, sort=True)
            count = len(distinct)
        numbers, count = numbers * size + codes, count * size
    return numbers


def repeats(numbers: Int[np.ndarray, "entries"]) -> bool:
    """Whether a number stands twice; a copy is sorted, which is less memory than a table of them."""
    ordered = np.sort(numbers)
    return bool((ordered[1:] == ordered[:-1]).any())


def _columns(table: pa.Table, names: Iterable[str]) -> Iterator[Codes]:
    return (_codes(table.column(name)) for name in names if name in table.column_names)


def _codes(column: pa.ChunkedArray) -> Codes:
    """A number for each value from 0, and how many there are."""
    if column.type == CODED:
        return indices(column) + 1, len(dictionary(column)) + 1
    if column.null_count == len(column):
        return np.zeros(len(column), dtype=np.int64), 1
    values = pc.fill_null(column, np.iinfo(np.int64).min).to_numpy()
    codes, distinct = pd.factorize(values)
    return codes, len(distinct)
