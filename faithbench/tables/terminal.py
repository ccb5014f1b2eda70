"""Tables for people for a terminal, drawn by rich; a grid that is wider than it is goes on below."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from faithbench.shown import fitting, visible
from faithbench.tables.parts import Cell, Column, Grid, Heading, Note, Part, Signature, Title
from faithbench.tables.wording import lines

HEAD = 20  # characters of a heading before it is folded, where its cells need fewer
GAP = 2  # characters between columns


def terminal(parts: Iterable[Part], width: int | None = None) -> str:
    """Text with the codes of a terminal, in its characters, and by default as wide as the one there is."""
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=width, highlight=False, legacy_windows=False)
    for part in parts:
        for shown in _renderables(part, console.width):
            console.print(shown)
            console.print()
    return out.getvalue().rstrip("\n") + "\n"


def _renderables(part: Part, width: int) -> Iterator[RenderableType]:
    match part:
        case Title(name, rest):
            yield Text.assemble((_words(name), "bold"), _words(rest))
        case Heading(text):
            yield Text(_words(text), style="italic")
        case Note(text, mark):
            yield Text(_words(f"{mark} {text}" if mark else text))
        case Signature(text):
            yield Text(_words(text), style="dim", overflow="fold")
        case Grid():
            yield from (_table(part, columns) for columns in _strips(part, width))


def _strips(grid: Grid, width: int) -> Iterator[list[int]]:
    """Which columns go side by side, those that name a row always first."""
    needed = [
        max(min(len(heading.plain), HEAD), *(_cell(row[i], grid.minus).cell_len for row in grid.rows)) + GAP
        for i, heading in enumerate(map(_heading, grid.columns))
    ]
    keys = list(range(grid.keys))
    left = max(width - sum(needed[: grid.keys]), width // 2)  # names that take more than half are folded
    strip: list[int] = []
    for i in range(grid.keys, len(grid.columns)):
        if strip and sum(needed[j] for j in strip) + needed[i] > left:
            yield keys + strip
            strip = []
        strip.append(i)
    yield keys + strip


def _table(grid: Grid, columns: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP, 0, 0), show_edge=False)
    for i in columns:
        column = grid.columns[i]
        table.add_column(_heading(column), justify="right" if column.right else "left", overflow="fold")
    for row in grid.rows:
        table.add_row(*(_cell(row[i], grid.minus) for i in columns))
    return table


def _heading(column: Column) -> Text:
    return Text(_words(f"{column.above} {column.name}".strip()), overflow="fold")


def _cell(cell: Cell, minus: str) -> Text:
    """Spans with their styles: rich reads no markup in them."""
    found = [
        Text.assemble(*((_words(span.text), "bold" if span.bold else "") for span in line))
        for line in lines(cell, minus)
    ]
    return Text("\n", overflow="fold").join(found)


def _words(text: str) -> str:
    """In the characters that the terminal has, so that columns stay aligned where it has few."""
    return fitting(visible(text), getattr(sys.stdout, "encoding", None))
