"""Tables for people as LaTeX, with the rules of booktabs; whatever LaTeX would read as a command is escaped."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from faithbench.shown import visible
from faithbench.tables.parts import Cell, Column, Grid, Heading, Note, Part, Signature, Title
from faithbench.tables.wording import Span, lines

ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # behind the end of a line they would belong to it
    "*": "{*}",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "…": r"\ldots{}",
    "τ": r"$\tau$",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}
SPECIAL = re.compile("|".join(map(re.escape, ESCAPES)))


def latex(parts: Iterable[Part]) -> str:
    """Paragraphs, and grids as `tabular`s; a grid whose columns have two levels gets two lines of headings."""
    return "\n\n".join(map(_written, parts)) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return SPECIAL.sub(lambda found: ESCAPES[found[0]], text)


def tabular(grid: Grid) -> str:
    """A grid between rules: text to the left, numbers to the right."""
    rows = [_line(_cell(cell, grid.minus) for cell in row) for row in grid.rows]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{''.join('r' if column.right else 'l' for column in grid.columns)}}}",
            r"\toprule",
            *(_two_headings(grid.columns) if grid.has_groups else []),
            _line(escape(visible(column.name)) for column in grid.columns),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _written(part: Part) -> str:
    match part:
        case Title(name, rest):
            return rf"\textbf{{{escape(visible(name))}}}{escape(visible(rest))}"
        case Heading(text):
            return rf"\emph{{{escape(visible(text))}}}"
        case Note(text, mark):
            return escape(visible(f"{mark} {text}" if mark else text))
        case Signature(text):
            broken = escape(visible(text)).replace(ESCAPES["|"], ESCAPES["|"] + r"\allowbreak{}")
            return rf"{{\footnotesize\texttt{{{broken}}}}}"
        case Grid():
            return tabular(part)


def _two_headings(columns: Sequence[Column]) -> list[str]:
    """The line of the groups, and the rules below them."""
    above, rules, begin = [], [], 1
    for name, group in groupby(column.above for column in columns):
        count = len(list(group))
        shown = escape(visible(name))
        above.append(rf"\multicolumn{{{count}}}{{c}}{{{shown}}}" if name else " & " * (count - 1))
        rules += [rf"\cmidrule(lr){{{begin}-{begin + count - 1}}}"] * bool(name)
        begin += count
    return [_line(above), "".join(rules)]


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell, minus: str) -> str:
    found = ["".join(map(_span, line)) for line in lines(cell, minus)]
    return found[0] if len(found) == 1 else r"\shortstack[l]{" + r" \\ ".join(found) + "}"


def _span(span: Span) -> str:
    return rf"\textbf{{{escape(span.text)}}}" if span.bold else escape(span.text)
