"""Coloured lines in a terminal. Without colour the signs behind words say the same."""

import math
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.text import Text

from faithbench.showing.html import AGAINST, FOR
from faithbench.showing.marked import Mark, Marked
from faithbench.showing.sheet import Row, Sheet, folded
from faithbench.showing.stack import Stack
from faithbench.showing.triangle import FAINT, NAME, Triangle, blocks, cut
from faithbench.shown import fitting, visible

INDENT = "  "


def line_text(marked: Marked, encoding: str | None = "utf-8") -> Text:
    r"""A line for rich, which reads no markup in it; line breaks of the text are spelled out as `\n`."""
    return Text.assemble(*(_mark(mark, encoding) for mark in marked.marks), overflow="fold")


def sheet_text(sheet: Sheet) -> Group:
    """An explained text for rich; long lines are folded."""
    return Group(*sheet_lines(sheet))


def sheet_lines(sheet: Sheet, encoding: str | None = "utf-8", width: int = 80) -> Iterator[Text]:
    """Likewise, its paragraphs, in characters that an encoding has; triangles in blocks of such a width."""
    yield _plain(sheet.title, "bold", encoding)
    yield from (_plain(sentence, "", encoding) for sentence in sheet.about)
    for row in sheet.rows:
        yield Text()
        yield from _row(row, encoding, width)
    if sheet.legend:
        yield Text()
        yield _plain(sheet.legend, "dim", encoding)


def _row(row: Row, encoding: str | None, width: int) -> Iterator[Text]:
    yield Text.assemble(
        _plain(row.head, "bold", encoding), _plain(f"{INDENT}({row.scale})" if row.scale else "", "dim", encoding)
    )
    yield from (line_text(folded(line), encoding) for line in row.lines)
    if row.triangle is not None:
        yield from triangle_lines(row.triangle.folded(), encoding, width)
    for stack in row.stacks:
        yield from stack_lines(stack, encoding, width)
    yield from (_plain(sentence, "", encoding) for sentence in row.said)


def stack_lines(stack: Stack, encoding: str | None = "utf-8", width: int = 80) -> Iterator[Text]:
    """A window in blocks of tokens that fit, with a line below for who predicts something of them."""
    yield _plain(stack.head, "dim", encoding)
    lines = [(_named(cut(name, 2 * NAME), encoding), marks) for name, marks in stack.below]
    head = max(cell_len(name) for name, _ in lines) + 1
    texts = [_named(mark.text, encoding) for mark in stack.tokens]
    sizes = [max(cell_len(text), 2) + 1 for text in texts]
    for columns in blocks(sizes, width - head):
        words = [_tinted(stack.tokens[c], texts[c], sizes[c] - 1) for c in columns]
        yield _aligned("", words, head)
        for name, marks in ((name, marks) for name, marks in lines if any(marks[c].sign for c in columns)):
            signs = [_tinted(marks[c], fitting(marks[c].suffix, encoding), sizes[c] - 1) for c in columns]
            yield _aligned(name, signs, head)


def _aligned(name: str, cells: Sequence[tuple[str, str]], head: int) -> Text:
    spaced = [part for cell in cells for part in (cell, (" ", ""))]
    return Text.assemble((set_cell_size(name, head), "dim"), *spaced, no_wrap=True, overflow="crop")


def triangle_lines(triangle: Triangle, encoding: str | None = "utf-8", width: int = 80) -> Iterator[Text]:
    """A triangle in blocks of columns that fit, each with the rows that reach it."""
    names = [_named(cut(name), encoding) for name in triangle.columns]
    heads = {id(row): _named(row.head, encoding) for row in triangle.rows}
    head = max(map(cell_len, heads.values()), default=0)
    sizes = [max(cell_len(name), len(FAINT) + 1) + 1 for name in names]
    for number, (columns, rows) in enumerate(triangle.blocks(sizes, width - head)):
        yield from (Text(),) * min(number, 1)
        spelled = [
            (f" {set_cell_size(names[c], sizes[c] - 1)}", "dim" if c < triangle.given else "dim italic")
            for c in columns
        ]
        yield Text.assemble(" " * head, *spelled, no_wrap=True, overflow="crop")
        for row in rows:
            cells = [
                part
                for c, cell in zip(columns, row.cells[columns.start : columns.stop], strict=False)
                for part in ((" ", ""), _cell(cell, sizes[c] - 1, encoding))
            ]
            yield Text.assemble(set_cell_size(heads[id(row)], head), *cells, no_wrap=True, overflow="crop")


def _cell(cell: Mark, size: int, encoding: str | None) -> tuple[str, str]:
    return _tinted(cell, fitting(cell.text, encoding), size)


def _tinted(mark: Mark, text: str, size: int) -> tuple[str, str]:
    style = "" if not mark.sign else f"black on {(FOR if mark.sign > 0 else AGAINST)[mark.strength - 1]}"
    return set_cell_size(text, size), style


def _named(name: str, encoding: str | None) -> str:
    return fitting(visible(name), encoding)


def _plain(text: str, style: str, encoding: str | None) -> Text:
    return Text(fitting(visible(text), encoding), style, overflow="fold")


def _mark(mark: Mark, encoding: str | None) -> tuple[str, str]:
    text = fitting(visible(mark.text), encoding)
    if mark.unread:
        return f" [not read: {text.strip()}]", "dim"
    if math.isnan(mark.score):
        return text, ""
    framed = f"[{text}]" if mark.framed else text
    if not mark.sign:
        return framed, ""
    tint = (FOR if mark.sign > 0 else AGAINST)[mark.strength - 1]
    return f"{framed}{fitting(mark.suffix, encoding)}", f"black on {tint}"
