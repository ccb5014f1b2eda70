"""Paragraphs and grids as LaTeX, with the rules of booktabs; whatever LaTeX would read as a command is escaped."""

import math
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from faithbench.tables.markdown import Part

BOLD, ITALIC = re.compile(r"\*\*(.+?)\*\*"), re.compile(r"\A\*([^*]+)\*\Z")
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
    return "\n\n".join(_marked(part) if isinstance(part, str) else tabular(part) for part in parts) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return SPECIAL.sub(lambda found: ESCAPES[found[0]], text)


def tabular(grid: pd.DataFrame) -> str:
    """A grid between rules: text to the left, numbers to the right."""
    numeric = set(grid.select_dtypes("number").columns)
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if column in numeric else 'l' for column in grid.columns)}}}",
        r"\toprule",
        *_headings(grid.columns),
        r"\midrule",
        *(_line(map(_cell, row)) for row in grid.itertuples(index=False, name=None)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _headings(columns: "pd.Index[Any]") -> list[str]:
    if columns.nlevels == 1:
        return [_line(_marked(str(name)) for name in columns)]
    above, rules, begin = [], [], 1
    for name, group in groupby(str(top) for top, _ in columns):
        count = len(list(group))
        above.append(rf"\multicolumn{{{count}}}{{c}}{{{_marked(name)}}}" if name else " & " * (count - 1))
        rules += [rf"\cmidrule(lr){{{begin}-{begin + count - 1}}}"] * bool(name)
        begin += count
    return [_line(above), "".join(rules), _line(_marked(str(name)) for _, name in columns)]


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return _marked(value)
    if value is None or value is pd.NA or math.isnan(value):
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _marked(text: str) -> str:
    """Escaped, with bold and italic as such."""
    if whole := ITALIC.match(text):
        return rf"\emph{{{escape(whole[1])}}}"
    pieces: Sequence[str] = BOLD.split(text)
    return "".join(rf"\textbf{{{escape(piece)}}}" if i % 2 else escape(piece) for i, piece in enumerate(pieces))
