"""Tables for people as LaTeX, with the rules of booktabs; whatever LaTeX would read as a command is escaped.

pandas' Styler is not used: its escape knows neither ±, −, ×, ≥ and τ, which pdflatex does not print, nor a bracket or
star behind the end of a line, nor what cannot be seen; and it makes no second line of headings with rules of its own.
"""

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
PACKAGES = r"% \usepackage{booktabs, graphicx}"
LONGEST = 60  # characters of a label
SPECIAL = re.compile("|".join(map(re.escape, ESCAPES)))


def latex(parts: Iterable[Part]) -> str:
    """Paragraphs, and grids as tables; it needs the packages of `PACKAGES`.

    A grid has what stood in front of it, its title and heading, as caption, a label made of that, and at most the width
    of the text.
    """
    written, above, names = list[str](), list[Title | Heading](), list[str]()
    for part in parts:
        if isinstance(part, Title):
            above = [part]
        elif isinstance(part, Heading):
            above = [each for each in above if isinstance(each, Title)] + [part]
        elif isinstance(part, Grid):
            caption = ": ".join(_words(each) for each in above) or part.caption
            names.append(caption)
            written.append(_float(part, caption, _label(caption, names.count(caption))))
        else:
            written.append(_paragraph(part))
    return "\n\n".join([PACKAGES] * bool(names) + written) + "\n"


def _words(part: Title | Heading) -> str:
    return f"{part.name}{part.rest}" if isinstance(part, Title) else part.text


def _label(caption: str, number: int) -> str:
    """Letters, digits and hyphens, which LaTeX takes everywhere; a number where captions are the same."""
    plain = "-".join(re.findall("[a-z0-9]+", caption.lower()))[:LONGEST].strip("-")
    return f"tab:{plain or 'table'}" + f"-{number}" * (number > 1)


def _float(grid: Grid, caption: str, label: str) -> str:
    """A grid that is made smaller only where it is wider than the text."""
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"\centering\small",
            rf"\caption{{{escape(visible(caption))}}}",
            rf"\label{{{label}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            tabular(grid) + "%",
            "}",
            r"\end{table}",
        ]
    )


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


def _paragraph(part: Note | Signature) -> str:
    if isinstance(part, Note):
        return escape(visible(f"{part.mark} {part.text}" if part.mark else part.text))
    broken = escape(visible(part.text)).replace(ESCAPES["|"], ESCAPES["|"] + r"\allowbreak{}")
    return rf"{{\footnotesize\texttt{{{broken}}}}}"


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
