"""Tables for people as HTML; every text is escaped, numbers keep their value beside for whoever sorts the rows."""

import math
from collections.abc import Iterable
from urllib.parse import quote

from markupsafe import Markup, escape

from faithbench.shown import visible
from faithbench.tables.parts import Cell, Column, Grid, Heading, Lines, Note, Number, Part, Several, Signature, Title
from faithbench.tables.wording import Span, lines

STYLE = Markup(
    "{0}table {{ border-collapse: collapse }}\n"
    "{0}th, {0}td {{ padding: .3em .7em; text-align: left; border-bottom: 1px solid #d9d9d9; vertical-align: top }}\n"
    "{0}.right {{ text-align: right }}\n"
    "{0}code {{ overflow-wrap: anywhere }}\n"
)
HEAD = Markup(
    '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>faithbench</title>\n<style>\n'
    "body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color: #1a1a1a }}\n{}</style>\n"
).format(STYLE.format(""))
SHEET = Markup('<style>\n{}</style>\n<div class="fb-table">{}</div>')
CELL, KEY = Markup("<td{}{}>{}</td>"), Markup('<th scope="row"{}{}>{}</th>')


def html(parts: Iterable[Part]) -> str:
    """A page that a browser opens by itself: paragraphs, and grids as tables."""
    return f"{HEAD}{fragment(parts)}\n</html>\n"


def sheet(parts: Iterable[Part]) -> Markup:
    """The same for a notebook, with a style for these tables alone."""
    return SHEET.format(STYLE.format(".fb-table "), fragment(parts))


def fragment(parts: Iterable[Part]) -> Markup:
    """The same to be put into a page."""
    return Markup("\n").join(map(_written, parts))


def grid(part: Grid, caption: str = "") -> Markup:
    """A table whose first columns name its rows."""
    title = Markup("<caption>{}</caption>").format(visible(caption)) if caption else ""
    heads = Markup("").join(map(_head, part.columns))
    rows = Markup("").join(Markup("<tr>{}</tr>\n").format(_row(row, part)) for row in part.rows)
    return Markup('<table class="sortable">{}<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table>').format(
        title, heads, rows
    )


def _written(part: Part) -> Markup:
    match part:
        case Title(name, rest):
            return Markup("<p><strong>{}</strong>{}</p>").format(visible(name), visible(rest))
        case Heading(text):
            return Markup("<p><em>{}</em></p>").format(visible(text))
        case Note(text, mark):
            return Markup("<p>{}</p>").format(visible(f"{mark} {text}" if mark else text))
        case Signature(text):
            return Markup("<p><code>{}</code></p>").format(visible(text))
        case Grid():
            return grid(part)


def _head(column: Column) -> Markup:
    name = visible(f"{column.above} {column.name}".strip())
    return Markup('<th scope="col"{}>{}</th>').format(_side(column), name)


def _row(row: Iterable[Cell], part: Grid) -> Markup:
    cells = zip(row, part.columns, strict=True)
    return Markup("").join(_cell(cell, column, part.minus, i < part.keys) for i, (cell, column) in enumerate(cells))


def _cell(cell: Cell, column: Column, minus: str, is_key: bool) -> Markup:
    shown = Markup("<br>").join(Markup("").join(map(_span, line)) for line in lines(cell, minus))
    return (KEY if is_key else CELL).format(_side(column), _value(cell), shown)


def _side(column: Column) -> Markup:
    return Markup(' class="right"') if column.right else Markup("")


def _value(cell: Cell) -> Markup:
    """The number by which a row is sorted, if its cell is one or begins with one."""
    first = cell.items[0] if isinstance(cell, (Several, Lines)) and cell.items else cell
    if isinstance(first, Number) and math.isfinite(first.value):
        return Markup(' data-value="{}"').format(f"{first.value:.10g}")
    return Markup("")


def _span(span: Span) -> Markup:
    text = Markup("<strong>{}</strong>").format(span.text) if span.bold else escape(span.text)
    return Markup('<a href="{}">{}</a>').format(quote(span.link), text) if span.link else text
