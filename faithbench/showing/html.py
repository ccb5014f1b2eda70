"""Coloured lines as HTML: every text is escaped, nothing is fetched, and sign and strength are seen without colour.

Blue speaks for and orange against what is explained, in tints on which black text keeps a contrast above 4.5 (WCAG AA);
a sign stands behind each word, and a solid or dotted line below it.
"""

import math
from html import escape as html_escape

from faithbench.showing.marked import Mark, Marked
from faithbench.shown import visible

FOR = ("#eaf3fb", "#cfe3f5", "#a3cbec", "#74b1e0")  # by strength
AGAINST = ("#fdf0e4", "#fbdcbf", "#f8bf8a", "#f2a154")
LINE_CSS = "\n".join(
    [
        ".fb-line { line-height: 1.9; overflow-wrap: anywhere; white-space: pre-wrap; }",
        ".fb-line mark { color: inherit; background: none; border-radius: .15em; border-bottom: 2px solid transparent;"
        " print-color-adjust: exact; -webkit-print-color-adjust: exact; }",
        *(
            f".fb-line .p{level} {{ color: #111; background: {tint}; padding: .1em .12em; }}"
            for level, tint in enumerate(FOR, 1)
        ),
        *(
            f".fb-line .n{level} {{ color: #111; background: {tint}; padding: .1em .12em; }}"
            for level, tint in enumerate(AGAINST, 1)
        ),
        ".fb-line .p3, .fb-line .p4 { border-bottom: 2px solid #111; }",
        ".fb-line .n3, .fb-line .n4 { border-bottom: 2px dotted #111; }",
        ".fb-line .framed { outline: 2px solid currentColor; outline-offset: 1px; margin: 0 .15em; }",
        ".fb-line .unread { font-style: italic; opacity: .75; }",
        ".fb-line sup { font-size: .7em; line-height: 0; }",
    ]
)


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
