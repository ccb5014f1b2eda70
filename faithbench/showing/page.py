"""Explained texts as HTML: a part of a notebook, or a page of its own that fetches nothing and runs nothing."""

import re
from collections.abc import Sequence

from faithbench.showing.html import LINE_CSS, STACK_CSS, TRIANGLE_CSS, escape, line_html, stack_html, triangle_html
from faithbench.showing.marked import Marked
from faithbench.showing.sheet import Row, Sheet, folded

QUOTED = re.compile("“([^”]*)”")
NAMED = 80  # characters of a text in the list of texts
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
SHEET_CSS = "\n".join(
    [
        ".fb-sheet h2 { font-size: 1.25em; margin: 0 0 .3em; }",
        ".fb-sheet h3 { font-size: 1em; margin: 1.2em 0 .2em; }",
        ".fb-sheet h3 small { font-weight: normal; }",
        ".fb-sheet p { margin: .25em 0; }",
        ".fb-sheet summary { cursor: pointer; }",
        ".fb-sheet .legend { margin-top: 1.2em; font-size: .9em; }",
        LINE_CSS,
        TRIANGLE_CSS,
        STACK_CSS,
    ]
)
PAGE_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #111; background: #fff; max-width: 60rem; margin: 0 auto;
  padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5em; }
.fb-sheet { border-top: 1px solid #767676; padding: 1.2em 0; }
a { color: #0b57a4; }
nav ol { list-style: none; padding-left: 0; }
footer { border-top: 1px solid #767676; font-size: .9em; color: #565656; }
@media print { .fb-sheet { break-inside: avoid-page; } body { max-width: none; } }
"""


def sheet_html(sheet: Sheet, name: str = "") -> str:
    """An explained text; lines that are long are folded, with all of them behind a switch.

    Args:
        sheet: what is shown.
        name: of the part, for links within a page.
    """
    named = f' id="{escape(name)}"' if name else ""
    about = "".join(f"<p>{_quoting(sentence)}</p>" for sentence in sheet.about)
    legend = f'<p class="legend">{escape(sheet.legend)}</p>' if sheet.legend else ""
    rows = "".join(map(_row, sheet.rows))
    return f'<section class="fb-sheet"{named}><h2>{escape(sheet.title)}</h2>{about}{rows}{legend}</section>'


def notebook_html(sheets: Sequence[Sheet]) -> str:
    """Explained texts as a notebook shows them."""
    return f"<style>{SHEET_CSS}</style>{''.join(map(sheet_html, sheets))}"


def page_html(title: str, sheets: Sequence[Sheet], made: str = "") -> str:
    """A page; where there are several texts it begins with a list of them.

    Args:
        title: of the page.
        sheets: the texts.
        made: what made it, which stands at the end.
    """
    names = [f"text-{number}" for number, _ in enumerate(sheets, 1)]
    body = "".join(sheet_html(sheet, name) for sheet, name in zip(sheets, names, strict=True))
    links = "".join(
        f'<li><a href="#{name}">{escape(sheet.title)}</a>: <span dir="auto">{escape(_begin(sheet))}</span></li>'
        for sheet, name in zip(sheets, names, strict=True)
    )
    contents = f'<nav aria-label="texts"><ol>{links}</ol></nav>' if len(sheets) > 1 else ""
    footer = f"<footer><p>{escape(made)}</p></footer>" if made else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{PAGE_CSS}{SHEET_CSS}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>{contents}{body}</main>{footer}</body></html>\n"
    )


def _begin(sheet: Sheet) -> str:
    lines = [text for row in sheet.rows[:1] for text in [line.text for line in row.lines] or row.said[:1]]
    text = " / ".join(" ".join(line.split()) for line in lines)
    return text if len(text) <= NAMED else f"{text[: NAMED - 1]}…"


def _quoting(sentence: str) -> str:
    """A sentence that is read from the left, whatever the direction of the words that it quotes."""
    return QUOTED.sub(r"“<bdi>\1</bdi>”", escape(sentence))


def _row(row: Row) -> str:
    scale = f" <small>({_quoting(row.scale)})</small>" if row.scale else ""
    said = "".join(f"<p>{_quoting(sentence)}</p>" for sentence in row.said)
    triangle = "" if row.triangle is None else triangle_html(row.triangle, row.head)
    windows = "".join(map(stack_html, row.stacks))
    return f"<h3>{escape(row.head)}{scale}</h3>{''.join(map(_folding, row.lines))}{triangle}{windows}{said}"


def _folding(marked: Marked) -> str:
    short = folded(marked)
    if short == marked or short.text == marked.text:
        return line_html(marked)
    return f"{line_html(short)}<details><summary>the whole text</summary>{line_html(marked)}</details>"
