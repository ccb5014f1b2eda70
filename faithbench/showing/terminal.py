"""Coloured lines in a terminal. Without colour the signs behind words say the same."""

import math

from rich.text import Text

from faithbench.showing.html import AGAINST, FOR
from faithbench.showing.marked import Mark, Marked
from faithbench.shown import fitting, visible


def line_text(marked: Marked, encoding: str | None = "utf-8") -> Text:
    r"""A line for rich, which reads no markup in it; line breaks of the text are spelled out as `\n`."""
    return Text.assemble(*(_mark(mark, encoding) for mark in marked.marks), overflow="fold")


def _mark(mark: Mark, encoding: str | None) -> tuple[str, str]:
    text = fitting(visible(mark.text), encoding)
    if math.isnan(mark.score):
        return text, ""
    framed = f"[{text}]" if mark.framed else text
    if not mark.sign:
        return framed, ""
    tint = (FOR if mark.sign > 0 else AGAINST)[mark.strength - 1]
    return f"{framed}{fitting(mark.suffix, encoding)}", f"black on {tint}"
