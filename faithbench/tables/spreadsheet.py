"""Tables as CSV for spreadsheets and programs: no text is read as a formula there (OWASP, *CSV Injection*)."""

import re

import pandas as pd

from faithbench.shown import visible

NUMBER = re.compile(r"[+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s?%?\Z")
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
NEW_CELL = re.compile(r"(;\s*[\"']?)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")  # where lists are separated by semicolons


def csv(frame: pd.DataFrame, number: str = "%.4f") -> str:
    """The frame, its numbers in this format, without its index."""
    texts = frame.select_dtypes(exclude=["number", "bool", "boolean"])
    safe = frame.assign(**{str(name): column.map(_cell) for name, column in texts.items()})
    return safe.rename(columns=_cell).to_csv(index=False, float_format=number, lineterminator="\n")


def _cell(value: object) -> object:
    """A text with `'` in front of what a spreadsheet would compute; numbers, written as texts too, stay."""
    if not isinstance(value, str) or NUMBER.match(value):
        return value
    text = NEW_CELL.sub(r"\1'", visible(value))
    return f"'{text}" if FORMULA.match(text) else text
