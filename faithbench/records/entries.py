"""What a part of attributions or records may hold: the types of its columns, and the values that can be.

Types need not be those that are written: older and published parts have floats of 32 bits, and lack columns.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from faithbench.errors import UserError, short
from faithbench.schemas import is_json

VERSIONS = {"attributions": ("1", r"^[0-9]{1,9}(\.[0-9]{1,9})?$"), "records": ("1.1", r"^[0-9]{1,9}\.[0-9]{1,9}$")}
LEAST = {"target": -1, "against": 0, "weight": 0, "rows": 0, "seconds": 0}
WORDS = {"string": "texts", "int64": "whole numbers", "double": "numbers", "bool": "truths"}
Notes = dict[str, float]


@dataclass(frozen=True)
class Wrong:
    """What is wrong with a part: in which column, in which row (None for all of them), and the end of a sentence."""

    column: str
    row: int | None
    what: str


def typed(path: Path, table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with whole numbers of 64 bits; floats keep their size, and texts that are dictionaries stay so.

    Raises:
        UserError: a column is of another type than the schema's, or holds what that cannot.
    """
    for i, name in enumerate(table.column_names):
        column, wanted = table.column(i), schema.field(name).type
        if column.type == wanted:
            continue
        if not _fits(column.type, wanted):
            kinds = f"lists of {WORDS[str(wanted.value_type)]}" if pa.types.is_list(wanted) else WORDS[str(wanted)]
            held = "lists of others" if pa.types.is_nested(column.type) else str(_texts_of(column.type))[:40]
            raise UserError(f"{path}: column {name!r} holds {held}, not {kinds}.")
        if not _is_kept(column.type, wanted):
            if pa.types.is_floating(column.type):  # as pandas writes whole numbers of which some are missing
                column = pc.if_else(pc.is_nan(column), None, column)
            try:
                table = table.set_column(i, name, column.cast(wanted))
            except pa.ArrowInvalid as error:
                raise UserError(f"{path}: column {name!r} holds a number that is not whole or too large.") from error
    return table


def is_sound(kind: str, table: pa.Table, identity: Collection[str]) -> bool:
    """Whether `check_entries` has nothing to refuse."""
    return next(_wrongs(kind, table, identity), None) is None


def check_entries(path: Path, kind: str, table: pa.Table, identity: Collection[str]) -> None:
    """Refuses values that no run writes.

    Args:
        path: of the part.
        kind: `attributions` or `records`.
        table: with the columns that there are, `typed`; the dictionaries of a column's chunks are one.
        identity: columns in which nothing may be missing.

    Raises:
        UserError: names the first column and row that are wrong.
    """
    for wrong in _wrongs(kind, table, identity):
        row = "" if wrong.row is None else f" in row {wrong.row + 1}"
        raise UserError(f"{path}: {wrong.column}{row} {wrong.what}.")


def _fits(kind: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_null(kind):
        return True
    if pa.types.is_list(wanted):
        return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _fits(kind.value_type, wanted.value_type)
    if pa.types.is_string(wanted):
        return pa.types.is_string(_texts_of(kind)) or pa.types.is_large_string(_texts_of(kind))
    if pa.types.is_boolean(wanted):
        return pa.types.is_boolean(kind)
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _texts_of(kind: pa.DataType) -> pa.DataType:
    """What a dictionary is of; another type as it is."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_kept(kind: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_list(wanted):
        return not pa.types.is_null(kind) and _is_kept(kind.value_type, wanted.value_type)
    is_float = pa.types.is_float32(kind) and pa.types.is_floating(wanted)
    return is_float or kind == wanted or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)


def _wrongs(kind: str, table: pa.Table, identity: Collection[str]) -> Iterator[Wrong]:
    columns = {name: table.column(name) for name in table.column_names}
    for name in identity:
        if name in columns and columns[name].null_count:
            yield Wrong(name, _first(pc.is_null(columns[name])), "is missing")
    example, form = VERSIONS[kind]
    versions = _different(columns["version"])
    for version, is_one in zip(versions, pc.match_substring_regex(versions, form), strict=True):
        if not is_one.as_py():
            yield Wrong("version", None, f"is {short(version.as_py())}, not of the form {example}")
    for name, least in LEAST.items():
        if name in columns and (row := _first(pc.less(columns[name], least))) is not None:
            yield Wrong(name, row, f"is {short(columns[name][row].as_py())}, less than {least}")
    for name in ("value", "weight"):
        if name in columns and (row := _first(pc.is_inf(columns[name]))) is not None:
            yield Wrong(name, row, "is infinite")
    for note in _different(columns["notes"]).drop_null().to_pylist() if "notes" in columns else ():
        if not is_json(note, Notes):
            yield Wrong("notes", None, f"is {short(note)}, not a JSON object of numbers")
    if "scores" in columns:
        yield from _wrong_scores(columns)


def _wrong_scores(columns: Mapping[str, pa.ChunkedArray]) -> Iterator[Wrong]:
    scores = columns["scores"]
    failed = pc.is_valid(columns["error"]) if "error" in columns else pa.scalar(False)
    if (row := _first(pc.and_(pc.is_null(scores), pc.invert(failed)))) is not None:
        yield Wrong("scores", row, "is missing, and error does not say why")
    numbers = pc.list_flatten(scores)
    if numbers.null_count or not pc.all(pc.is_finite(numbers), min_count=0).as_py():
        yield Wrong("scores", None, "holds a number that is missing or not finite")
    if "standard_errors" in columns:
        apart = pc.not_equal(pc.list_value_length(scores), pc.list_value_length(columns["standard_errors"]))
        if (row := _first(apart)) is not None:
            yield Wrong("standard_errors", row, "is not as long as scores")


def _different(texts: pa.ChunkedArray) -> pa.Array:
    """The different texts of a column, dictionaries or not."""
    return pc.unique(texts).cast(pa.string())


def _first(mask: Any) -> int | None:
    """Where the first true value stands; null is not true."""
    row: int = pc.index(mask, True).as_py()
    return row if row >= 0 else None
