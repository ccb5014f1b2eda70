"""The writers of tables for people, by format: each shows the same parts. Another one is a file and a line here."""

from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from faithbench.errors import UserError
from faithbench.tables.html import html
from faithbench.tables.latex import latex
from faithbench.tables.markdown import markdown
from faithbench.tables.parts import Part
from faithbench.tables.spreadsheet import csv
from faithbench.tables.terminal import terminal

WRITERS: Mapping[str, Callable[[Iterable[Part]], str]] = {
    "markdown": markdown,
    "latex": latex,
    "terminal": terminal,
    "html": html,
}
FORMATS = (*WRITERS, "csv")  # which is not for people: tidy numbers, of the frame itself


def rendered(format: str, frame: Callable[[], pd.DataFrame], parts: Callable[[], Iterable[Part]]) -> str:
    """A table for people in one of the formats, or its frame as `csv`; what is not asked for is not made.

    Raises:
        UserError: another format.
    """
    check_format(format)
    return csv(frame()) if format == "csv" else WRITERS[format](parts())


def check_format(format: str) -> None:
    """Tables can be written so.

    Raises:
        UserError: another format.
    """
    if format not in FORMATS:
        raise UserError(f"format {format!r} is not known; use {' or '.join(FORMATS)}.")
