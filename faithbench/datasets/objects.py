"""JSON: a list of objects, an object of columns, or a line for each object.

`datasets` reads these through pyarrow, which wants one type in a column and stops at the first line that is torn.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from faithbench.datasets.table import Fields, Table
from faithbench.errors import UserError, short

WRAPPERS = ("data", "rows", "examples", "instances")  # keys of an object that is a list of objects otherwise


def read_json_lines(source: str, content: str) -> Table:
    """The table in a text of JSON lines; a line that is torn is a row that cannot be read.

    Raises:
        UserError: the first line is no object.
    """
    if content.lstrip()[:1] == "[":
        return read_json(source, content)
    return _table(source, [_line(line) for line in content.split("\n") if line.strip()])


def read_json(source: str, content: str) -> Table:
    """The table in a JSON text; one of JSON lines, whatever its file's ending, is read as such.

    Raises:
        UserError: it is neither.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        lines = [line for line in content.split("\n") if line.strip()]
        if len(lines) > 1 and isinstance(_line(lines[0]), dict):
            return _table(source, [_line(line) for line in lines])
        raise UserError(f"{source} cannot be read: it is not JSON ({error}).") from error
    return _table(source, _objects(source, value))


def _line(line: str) -> Fields | str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON ({error})"
    return value if isinstance(value, dict) else "it is not an object with columns"


def _objects(source: str, value: Any) -> Sequence[Fields | str]:
    """The rows in a JSON value: a list, one under a usual key, a single row, or columns as pandas writes them."""
    if isinstance(value, list):
        return [row if isinstance(row, dict) else "it is not an object with columns" for row in value]
    if not isinstance(value, dict):
        raise UserError(f"{source} cannot be read: it holds {short(value)}, not a list of objects with columns.")
    wrapped = next((value[key] for key in WRAPPERS if isinstance(value.get(key), list)), None)
    if wrapped is not None and all(isinstance(row, dict) for row in wrapped):
        return _objects(source, wrapped)
    if value and all(isinstance(column, (list, dict)) for column in value.values()):
        return _from_columns(source, value)
    return [value]


def _from_columns(source: str, columns: Mapping[str, Any]) -> list[Fields | str]:
    cells = {name: list(c.values()) if isinstance(c, dict) else c for name, c in columns.items()}
    if len({len(column) for column in cells.values()}) > 1:
        raise UserError(f"{source} cannot be read: its columns {short(list(cells))} are not of the same length.")
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def _table(source: str, rows: Sequence[Fields | str]) -> Table:
    if rows and isinstance(rows[0], str):
        raise UserError(f"{source} cannot be read: row 1: {rows[0]}.")
    columns = dict.fromkeys(str(name) for row in rows if not isinstance(row, str) for name in row)
    return Table(source, list(columns), rows)
