"""Coloured lines in a terminal. Without colour the signs behind words say the same."""

import math
from collections.abc import Iterator

from rich.console import Group
from rich.text import Text

from faithbench.showing.html import AGAINST, FOR
from faithbench.showing.marked import Mark, Marked
from faithbench.showing.sheet import Row, Sheet, folded
from faithbench.shown import fitting, visible

INDENT = "  "


def line_text(marked: Marked, encoding: str | None = "utf-8") -> Text:
    r"""A line for rich, which reads no markup in it; line breaks of the text are spelled out as `\n`."""
    return Text.assemble(*(_mark(mark, encoding) for mark in marked.marks), overflow="fold")


def sheet_text(sheet: Sheet) -> Group:
    """An explained text for rich; long lines are folded."""
    return Group(*sheet_lines(sheet))


def sheet_lines(sheet: Sheet, encoding: str | None = "utf-8") -> Iterator[Text]:
    """Likewise, its paragraphs, in characters that an encoding has."""
    yield _plain(sheet.title, "bold", encoding)
    yield from (_plain(sentence, "", encoding) for sentence in sheet.about)
    for row in sheet.rows:
        yield Text()
        yield from _row(row, encoding)
    if sheet.legend:
        yield Text()
        yield _plain(sheet.legend, "dim", encoding)


def _row(row: Row, encoding: str | None) -> Iterator[Text]:
    yield Text.assemble(
        _plain(row.head, "bold", encoding), _plain(f"{INDENT}({row.scale})" if row.scale else "", "dim", encoding)
    )
    yield from (line_text(folded(line), encoding) for line in row.lines)
    yield from (_plain(sentence, "", encoding) for sentence in row.said)


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
