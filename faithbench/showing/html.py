"""Coloured lines as HTML: every text is escaped, nothing is fetched, and sign and strength are seen without colour.

Blue speaks for and orange against what is explained, in tints on which black text keeps a contrast above 4.5 (WCAG AA);
a sign stands behind each word, and a solid or dotted line below it.
"""

import math
from collections.abc import Sequence
from html import escape as html_escape

from faithbench.showing.marked import Mark, Marked
from faithbench.showing.stack import Stack
from faithbench.showing.triangle import Said, Triangle, cut
from faithbench.shown import visible

FOR = ("#eaf3fb", "#cfe3f5", "#a3cbec", "#74b1e0")  # by strength
AGAINST = ("#fdf0e4", "#fbdcbf", "#f8bf8a", "#f2a154")
CLASS_SAID = ' class="fb-said"'


def _tinted(inside: str, property: str, more: str = "") -> list[str]:
    """Rules for the classes of marks, `p1` to `p4` and `n1` to `n4`, by strength."""
    return [
        f"{inside} .{side}{level} {{ color: #111; {property}: {tint};{more} }}"
        for side, tints in (("p", FOR), ("n", AGAINST))
        for level, tint in enumerate(tints, 1)
    ]


LINE_CSS = "\n".join(
    [
        ".fb-line { line-height: 1.9; overflow-wrap: anywhere; white-space: pre-wrap; }",
        ".fb-line mark { color: inherit; background: none; border-radius: .15em; border-bottom: 2px solid transparent;"
        " print-color-adjust: exact; -webkit-print-color-adjust: exact; }",
        *_tinted(".fb-line", "background", " padding: .1em .12em;"),
        ".fb-line .p3, .fb-line .p4 { border-bottom: 2px solid #111; }",
        ".fb-line .n3, .fb-line .n4 { border-bottom: 2px dotted #111; }",
        ".fb-line .framed { outline: 2px solid currentColor; outline-offset: 1px; margin: 0 .15em; }",
        ".fb-line .unread { font-style: italic; opacity: .75; }",
        ".fb-line sup { font-size: .7em; line-height: 0; }",
    ]
)
TRIANGLE_CSS = "\n".join(
    [
        ".fb-wide { overflow-x: auto; margin: .4em 0; }",
        ".fb-triangle { border-collapse: collapse; font-size: .92em; line-height: 1.3; }",
        ".fb-triangle th { font-weight: normal; padding: .15em .35em; }",
        ".fb-triangle thead th { vertical-align: bottom; }",
        ".fb-triangle thead th span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; }",
        ".fb-triangle thead .fb-said { font-style: italic; }",
        ".fb-triangle tbody th { text-align: left; white-space: nowrap; position: sticky; left: 0; background: #fff;"
        " color: #111; }",
        ".fb-triangle td { min-width: 1.5em; text-align: center; white-space: nowrap; padding: .15em .2em;"
        " border: 1px solid #d6d6d6; print-color-adjust: exact; -webkit-print-color-adjust: exact; }",
        ".fb-triangle td.none { border: none; }",
        *_tinted(".fb-triangle", "background"),
        ".fb-triangle .p3, .fb-triangle .p4 { box-shadow: inset 0 -2px #111; }",
        ".fb-triangle .n3, .fb-triangle .n4 { border-bottom: 2px dotted #111; }",
        "@media (max-width: 34em) { .fb-triangle tbody th small { display: block; } }",
    ]
)
STACK_CSS = "\n".join(
    [
        ".fb-head { margin: .7em 0 0; font-size: .9em; }",
        ".fb-stack { display: flex; flex-wrap: wrap; align-items: flex-start; gap: .3em 0; line-height: 1.35;"
        " margin: .1em 0 .6em; }",
        ".fb-stack > span { display: inline-flex; flex-direction: column; min-width: 1.3em; max-width: 100%; }",
        ".fb-stack > .fb-names { margin-right: .6em; }",
        ".fb-stack mark { color: inherit; background: none; padding: 0 .15em; white-space: pre-wrap;"
        " overflow-wrap: anywhere; border-bottom: 2px solid transparent; }",
        ".fb-stack mark, .fb-stack i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }",
        ".fb-stack i { box-sizing: border-box; height: 1.6em; font-style: normal; font-size: .8em; line-height: 1.5em;"
        " text-align: center; border: solid transparent; border-width: 1px 1px 0 0; background-clip: padding-box; }",
        ".fb-stack .fb-names i { text-align: start; white-space: nowrap; }",
        *_tinted(".fb-stack", "background-color"),
        ".fb-stack mark.p3, .fb-stack mark.p4 { border-bottom: 2px solid #111; }",
        ".fb-stack mark.n3, .fb-stack mark.n4 { border-bottom: 2px dotted #111; }",
    ]
)


def stack_html(stack: Stack) -> str:
    """A window whose tokens flow, each above what is predicted of it; numbers are shown where the pointer rests."""
    names = "".join(f"<i>{escape(visible(name))}</i>" for name, _ in stack.below)
    head = f'<span class="fb-names"><mark>&nbsp;</mark>{names}</span>' if stack.is_active else ""
    columns = zip(stack.tokens, *(marks for _, marks in stack.below), strict=True)
    body = "".join(_column(token, cells) for token, *cells in columns)
    return f'<p class="fb-head">{escape(visible(stack.head))}</p><div class="fb-stack" dir="auto">{head}{body}</div>'


def _column(token: Mark, cells: Sequence[Mark]) -> str:
    """A token above its signs; nothing stands below where there are none, so that quiet lines are low."""
    text = escape(visible(token.text)) or " "
    signs = "".join(f"<i{_told(cell)}>{cell.suffix}</i>" for cell in cells) if any(cell.sign for cell in cells) else ""
    return f"<span><mark{_told(token)}>{text}</mark>{signs}</span>"


def _told(mark: Mark) -> str:
    classes = classes_of(mark)
    return f' class="{classes}" title="{mark.score:.4g}"' if classes else ""


def triangle_html(triangle: Triangle, name: str = "") -> str:
    """A triangle as a table that scrolls where it is too wide; a cell's number is shown where the pointer rests.

    Args:
        triangle: which.
        name: of who says it, for those who cannot see it.
    """
    heads = "".join(
        f'<th scope="col"{"" if place < triangle.given else CLASS_SAID}><span><bdi>{escape(visible(cut(column)))}</bdi>'
        "</span></th>"
        for place, column in enumerate(triangle.columns)
    )
    rows = "".join(_said(triangle, row) for row in triangle.rows)
    return (
        f'<div class="fb-wide" tabindex="0" role="region" aria-label="{escape(name or "triangle")}">'
        f'<table class="fb-triangle"><thead><tr><td class="none"></td>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def _said(triangle: Triangle, row: Said) -> str:
    cells = "".join(_cell(cell, column) for cell, column in zip(row.cells, triangle.columns, strict=False))
    rest = len(triangle.columns) - len(row.cells)
    none = f'<td class="none" colspan="{rest}"></td>' if rest else ""
    rival = f"<small>{escape(row.chance)} (<bdi>{escape(visible(cut(row.rival)))}</bdi>)</small>"
    return f'<tr><th scope="row"><bdi>{escape(visible(cut(row.token)))}</bdi> {rival}</th>{cells}{none}</tr>'


def _cell(cell: Mark, column: str) -> str:
    if math.isnan(cell.score):
        return "<td></td>"
    told = f' class="{classes}"' if (classes := classes_of(cell)) else ""
    return f'<td{told} title="{escape(visible(cut(column)))} {cell.score:+.4g}">{escape(cell.text)}</td>'


def escape(text: str) -> str:
    """A text that HTML shows as it is, in elements and in quoted attributes; what cannot be seen is spelled out."""
    return html_escape(visible(text, keep="\n"), quote=True)


def line_html(marked: Marked) -> str:
    """A line, from whichever side its script is written; a word's number is shown where the pointer rests."""
    return f'<div class="fb-line" dir="auto">{"".join(map(_mark, marked.marks))}</div>'


def classes_of(mark: Mark) -> str:
    """How a piece that has a score looks, by `LINE_CSS`: its side and strength, and whether it is framed."""
    side = {1: f"p{mark.strength}", -1: f"n{mark.strength}", 0: ""}[mark.sign]
    return " ".join(filter(None, (side, "framed" if mark.framed else "")))


def _mark(mark: Mark) -> str:
    text = escape(mark.text)
    if mark.unread:
        return f' <span class="unread">[not read: {text.strip()}]</span>'
    if math.isnan(mark.score):
        return text
    told = f' class="{classes}"' if (classes := classes_of(mark)) else ""
    sign = f"<sup>{mark.suffix}</sup>" if mark.suffix else ""
    return f'<mark{told} title="{mark.score:+.4g}">{text}{sign}</mark>'
