"""Rows of a file: JSON lines, a JSON document or Parquet. Nothing that is read can run code."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from faithbench.datasets.sources import read_parquet
from faithbench.errors import UserError
from faithbench.schemas import LARGE, read_text

Fields = Mapping[str, Any]  # a row of a file


def read_rows(path: Path) -> Sequence[tuple[str, Fields]]:
    """The rows of a file, each with where it stands.

    Raises:
        UserError: the file is not there, empty or malformed, or a row is not an object.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file." if path.exists() else f"{path} does not exist.")
    if path.suffix == ".parquet":
        rows = [(f"{path}, row {i}", row) for i, row in enumerate(read_parquet(path), 1)]
    else:
        rows = _json(path)
    if not rows:
        raise UserError(f"{path} is empty.")
    for where, row in rows:
        if not isinstance(row, dict):
            raise UserError(f"{where} is not an object.")
    return rows


def _json(path: Path) -> list[tuple[str, Any]]:
    """One document, that is an object or a list of them, or else an object a line."""
    text = read_text(path, LARGE)
    lines = [(f"{path}, line {i}", line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    by_line = len(lines) < 2 or _is_json(lines[0][1]) or (path.suffix != ".json" and not _is_json(text))
    parsed = [(where, _parsed(where, line)) for where, line in (lines if by_line else [(str(path), text)])]
    if len(parsed) == 1 and isinstance(parsed[0][1], list):
        return [(f"{path}, item {i}", item) for i, item in enumerate(parsed[0][1], 1)]
    return parsed


def _parsed(where: str, text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if "\n" in text.strip() else f"column {error.colno}"
        raise UserError(f"{where} is not valid JSON: {error.msg} at {place}.") from error
    except (ValueError, RecursionError) as error:  # a number of too many digits, brackets too deep
        raise UserError(f"{where} is not valid JSON: {error}.") from error


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
