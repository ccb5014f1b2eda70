"""What a table for people is made of, as data: titles, notes, grids of numbers with intervals and marks.

No text here holds markup, and none is escaped: that is done by each writer.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Title:
    """What a table is about: its name, which stands out, and what is said behind it (with a space in front)."""

    name: str
    rest: str = ""


@dataclass(frozen=True)
class Heading:
    """What the grid below it shows."""

    text: str


@dataclass(frozen=True)
class Note:
    """A paragraph below a grid. `mark` is the sign in the grid that it explains."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Signature:
    """The line of which equal ones mean comparable numbers: see `faithbench.tables.signature`."""

    text: str


@dataclass(frozen=True)
class Number:
    """A number with what belongs to it.

    Args:
        value: shown in full if it is whole (`int`), with `places` otherwise; NaN is shown as nothing.
        places: decimals of value, interval and deviation.
        low: lower end of its interval; NaN if there is none.
        high: upper end.
        bounds: write the ends of the interval out, even if it is even.
        deviation: standard deviation over trainings; NaN if there is none.
        signed: show that it is above 0.
        label: a word in front.
        bold: one of the best.
        mark: a sign that a note explains.
        remarks: what is said of it in parentheses.
        behind: what is said of it in the end, behind a semicolon.
    """

    value: float
    places: int = 2
    low: float = math.nan
    high: float = math.nan
    bounds: bool = False
    deviation: float = math.nan
    signed: bool = False
    label: str = ""
    bold: bool = False
    mark: str = ""
    remarks: "tuple[str | Number, ...]" = ()
    behind: str = ""


@dataclass(frozen=True)
class Words:
    """A text, perhaps a link to a page, which is a path; `label`, `mark` and `remarks` as those of a number."""

    text: str
    link: str = ""
    label: str = ""
    mark: str = ""
    remarks: tuple[str | Number, ...] = ()


@dataclass(frozen=True)
class Several:
    """Several things in one place of a grid, side by side with a sign `between` them."""

    items: tuple[Number | Words, ...]
    between: str = "; "


@dataclass(frozen=True)
class Lines:
    """Several things in one place of a grid, a line each."""

    items: tuple[Number | Words, ...]


Cell = Number | Words | Several | Lines


@dataclass(frozen=True)
class Column:
    """The heading of a column, `above` it that of its group; numbers of one precision stand to the right."""

    name: str
    above: str = ""
    right: bool = False


@dataclass(frozen=True)
class Grid:
    """Cells in rows and columns.

    Args:
        columns: their headings.
        rows: a cell for each column.
        keys: how many of the first columns name a row.
        minus: sign of negative numbers.
        long: cells hold long texts, so that columns cannot be aligned in plain text.
        caption: what it shows, where captions are usual and nothing above it says so.

    Raises:
        ValueError: a row has not a cell for each column.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    keys: int = 1
    minus: str = "-"
    long: bool = False
    caption: str = "Numbers"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row has {len(row)} cells, and there are {len(self.columns)} columns")

    @property
    def has_groups(self) -> bool:
        """Whether a column has a heading above its own."""
        return any(column.above for column in self.columns)


Part = Title | Heading | Note | Grid | Signature
EMPTY = Words("")
