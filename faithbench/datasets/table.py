"""Rows as a file or the hub has them, before anybody knows which column is what."""

import ast
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Fields = Mapping[str, Any]  # a row


@dataclass(frozen=True)
class Table:
    """The rows of one split.

    Args:
        source: what to call it in messages: the file's path, for instance.
        columns: all names, in order; one that occurs twice occurs here twice.
        rows: each its fields, or, of a row that cannot be read, why.
        names: of classes, by column, where the file itself numbers and names them.
        notes: what had to be assumed to read it, each a line for the user.
        column: the values of one column, where they can be had without reading the rows.
    """

    source: str
    columns: Sequence[str]
    rows: Sequence[Fields | str]
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    column: Callable[[str], Iterable[Any]] | None = None

    def values(self, column: str) -> Iterable[Any]:
        """What the rows have in a column; None for one that has nothing."""
        if self.column is not None:
            return self.column(column)
        return (None if isinstance(row, str) else row.get(column) for row in self.rows)


def listed(value: Any) -> list[Any] | None:
    """A list, perhaps written as JSON or, as pandas writes lists into CSV, as Python does; None if it is neither."""
    if isinstance(value, str):
        value = _loaded(value) if value.lstrip()[:1] == "[" else None
    return list(value) if isinstance(value, (list, tuple)) else None


def _loaded(text: str) -> Any:
    for load in (json.loads, ast.literal_eval):
        try:
            return load(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None
