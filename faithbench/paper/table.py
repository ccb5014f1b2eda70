"""A table of the paper with the numbers of runs in its cells, and the published ones beside them if wanted."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from faithbench.paper.layouts import Layout
from faithbench.paper.published import PAPER, number
from faithbench.paper.sources import Cell, Seconds
from faithbench.tables import parts
from faithbench.tables.parts import (
    EMPTY,
    Column,
    Grid,
    Heading,
    Note,
    Number,
    Part,
    Several,
    Signature,
    Title,
    Words,
)
from faithbench.tables.wording import MINUS, places_of
from faithbench.tables.writers import rendered

LESS = "ours − paper"
BESIDE = ("group", "row", "column", "value", "low", "high", "n", "paper", "difference")


@dataclass(frozen=True)
class PaperTable:
    """What runs say in the rows and columns of a published table.

    `cells` has the published table's value columns, each with a cell for every row; `notes` are sentences on how ours
    differ from the published ones, or why cells are empty; of equal signatures the numbers can be compared.
    """

    layout: Layout
    backbone: str
    published: pd.DataFrame
    cells: Mapping[str, tuple[Cell, ...]]
    notes: tuple[str, ...]
    signature: str = ""

    def frame(self, beside_paper: bool = False) -> pd.DataFrame:
        """The published columns with our values, then `_low`, `_high` and `_n` of those that have an interval.

        With `beside_paper` also `_paper`, the published number; `_difference`, ours less that; and
        `_interval_holds_paper`. What was not run is missing.
        """
        found = self._named()
        for name, cells in self.cells.items():
            written = any(cell.written for cell in cells)
            values = [cell.written if written else cell.value for cell in cells]
            found[name] = pd.Series(values, dtype=object if written else float)
        for name, cells in self.cells.items():
            if self.layout.columns[name].has_interval:
                found[f"{name}_low"] = [cell.low for cell in cells]
                found[f"{name}_high"] = [cell.high for cell in cells]
                found[f"{name}_n"] = pd.Series([cell.n or pd.NA for cell in cells], dtype="Int64")
        for name in self.cells if beside_paper else ():
            found[f"{name}_paper"] = self.published[name]
            found[f"{name}_difference"] = [difference(*pair) for pair in self._pairs(name)]
            inside = [holds_paper(*pair) for pair in self._pairs(name)]
            found[f"{name}_interval_holds_paper"] = pd.Series(inside, dtype="boolean")
        return found

    def render(self, format: str = "markdown", beside_paper: bool = False) -> str:
        """As `markdown`, `latex` or for a `terminal` in the paper's shape with a legend, or `frame` as `csv`.

        Raises:
            UserError: another format.
        """
        return rendered(format, lambda: self.frame(beside_paper), lambda: self.document(beside_paper))

    def document(self, beside_paper: bool = False) -> list[Part]:
        """The table for people, in the paper's shape."""
        title = Title(f"Table {self.layout.number} of {PAPER}, with {self.backbone}")
        notes = map(Note, (*self._legend(beside_paper), *self.notes))
        grids = self._long() if beside_paper else [self._grid()]
        return [title, *grids, *notes, Signature(self.signature)]

    def beside(self) -> pd.DataFrame:
        """Ours against what was published: a row for each number that either has.

        Columns: `group` (of columns in the paper's shape, such as a data set), `row`, `column`; `value`, `low`, `high`,
        `n` of ours; `paper`, and ours less that as `difference`.
        """
        found = []
        for name in self.cells:
            for place, (cell, printed) in zip(self._places(), self._pairs(name), strict=True):
                if math.isfinite(cell.value) or printed:
                    ours = (cell.value, cell.low, cell.high, cell.n)
                    found.append((*place, name, *ours, number(printed), difference(cell, printed)))
        return pd.DataFrame(found, columns=list(BESIDE))

    def _places(self) -> Iterator[tuple[str, str]]:
        """For each published row the group of columns and the row that it has in the paper's shape."""
        keys, across = self._shape
        for row in self._named().to_dict("records"):
            yield (str(row[across]) if across else ""), ", ".join(str(row[key]) for key in keys)

    @property
    def _shape(self) -> tuple[tuple[str, ...], str | None]:
        return self.layout.grid or (tuple(self.layout.keys), None)

    def _long(self) -> Iterator[Part]:
        """A grid for each column of numbers, with a line for each that we or the paper have."""
        keys, across = self._shape
        named = self._named()
        order = (
            named.sort_values(across, key=lambda names: names.map(_first(names)), kind="stable") if across else named
        )
        heads = [*([across] if across else []), *keys]
        columns = (
            *map(Column, heads),
            *(Column(name, right=True) for name in ("ours", "n", "paper")),
            Column(LESS),
        )
        for name in self.cells:
            cells, published = self.cells[name], self.published[name]
            places = _places(cells, isinstance(self.layout.columns[name], Seconds))
            rows = [
                (
                    *(Words(str(named[head][place])) for head in heads),
                    *_side_by_side(cells[place], published[place], places),
                )
                for place in order.index
                if math.isfinite(cells[place].value) or published[place]
            ]
            if rows:
                yield Heading(name)
                yield Grid(columns, tuple(rows), len(heads), MINUS)

    def _named(self) -> pd.DataFrame:
        """The published rows, under our backbone."""
        return self.published.assign(backbone=self.backbone) if "backbone" in self.published else self.published.copy()

    def _pairs(self, name: str) -> Iterator[tuple[Cell, str]]:
        """Our cells of a column, with the published numbers as they are printed."""
        return zip(self.cells[name], self.published[name], strict=True)

    def _grid(self) -> Grid:
        """Our numbers for people; in the paper's shape if that is not the file's."""
        named = self._named()[self.layout.keys]
        rows, across = self._shape
        columns: dict[Column, list[parts.Cell]] = {}
        for value, group in named.groupby(across, sort=False) if across else [("", named)]:
            columns |= {Column(key): [Words(text) for text in group[key]] for key in rows}
            for name in self.cells:
                columns[Column(name, str(value))] = self._column(name, group.index)
        return Grid(tuple(columns), tuple(zip(*columns.values(), strict=True)), len(rows), MINUS)

    def _column(self, name: str, rows: Iterable[int]) -> list[parts.Cell]:
        """The cells of a column in these rows."""
        cells = [self.cells[name][row] for row in rows]
        places = _places(cells, isinstance(self.layout.columns[name], Seconds))
        return [_ours(cell, places) if math.isfinite(cell.value) else EMPTY for cell in cells]

    def _legend(self, beside_paper: bool) -> list[str]:
        """What the cells say, and whose numbers the paper's are."""
        layout = self.layout
        lines = [" ".join(layout.meanings)]
        if any(source.has_interval for source in layout.columns.values()):
            lines.append(
                f"{'ours:' if beside_paper else 'Cells hold'} means over texts with 95 % bootstrap intervals, ± half "
                "the width, or (low, high) where one is lopsided"
                f"{'; n: of so many texts' if beside_paper else ', and in parentheses the number of texts'}. What is "
                "empty was not run."
            )
        whose = f"{PAPER}, Table {layout.number}, {layout.backbone}"
        if beside_paper:
            lines.append(
                f"paper: the number of {whose}; {LESS}: and whether that lies inside or outside of our interval, "
                "which knows nothing of the paper's own error."
            )
        else:
            lines.append(f"Rows and columns are those of {whose}.")
        if layout.backbone != self.backbone:
            lines.append(f"Ours are of another backbone, {self.backbone}, and need not agree with the paper's.")
        return lines


def difference(cell: Cell, published: str) -> float:
    """Ours less the published number; NaN if one is not there. Steps of two phases are added up."""
    return cell.value - number(published)


def holds_paper(cell: Cell, published: str) -> object:
    """Whether our interval holds the published number as exactly as it is printed; missing if one is not there."""
    paper, half = number(published), 0.5 * 10 ** -len(published.partition(".")[2])
    there = math.isfinite(paper) and math.isfinite(cell.low)
    return cell.low - half <= paper <= cell.high + half if there else pd.NA


def _side_by_side(cell: Cell, published: str, places: int) -> tuple[parts.Cell, ...]:
    """Such as `25.1 ± 2.1`, `80`, `59.66`, `−34.6, outside`; what is not there is empty."""
    ours: parts.Cell = EMPTY
    texts: parts.Cell = EMPTY
    paper: parts.Cell = EMPTY
    less: parts.Cell = EMPTY
    if math.isfinite(cell.value):
        ours, texts = replace(_ours(cell, places), remarks=()), Number(cell.n) if cell.n else EMPTY
    if published:
        paper = _as_printed(published)
        apart, inside = difference(cell, published), holds_paper(cell, published)
        verdict = "" if inside is pd.NA else ("inside" if inside else "outside")
        items = (Number(apart, places, signed=True), *((Words(verdict),) if verdict else ()))
        less = Several(items, between=", ") if math.isfinite(apart) else EMPTY
    return ours, texts, paper, less


def _first(names: "pd.Series[str]") -> dict[str, int]:
    """Where each name stands first."""
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def _ours(cell: Cell, places: int) -> Number | Words:
    remarks = (Number(cell.n),) if cell.n else ()
    if cell.written:
        return Words(cell.written, remarks=remarks)
    return Number(cell.value, places, cell.low, cell.high, deviation=cell.deviation, remarks=remarks)


def _as_printed(published: str) -> Number | Words:
    """A published number with its decimals; that of two phases, such as 1+4.33, as it stands."""
    if "+" in published:
        return Words(published)
    return Number(number(published), len(published.partition(".")[2]))


def _places(cells: Sequence[Cell], small: bool) -> int:
    """Decimals of a column, as in other tables; so many that the least number shows two digits if it may be small."""
    places = places_of(cell.high - cell.low for cell in cells)
    least = min((abs(cell.value) for cell in cells if math.isfinite(cell.value) and cell.value), default=1.0)
    return max(places, 1 - math.floor(math.log10(least))) if small else places
