"""Tables for people as Markdown (GitHub's); whatever Markdown or HTML would read as a command is escaped."""

import math
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from faithbench.shown import visible
from faithbench.tables.parts import Cell, Column, Grid, Heading, Note, Number, Part, Signature, Title
from faithbench.tables.wording import Span, lines

SPECIAL = re.compile(
    r"""[`*|~$]
    | \\(?=[!-/:-@\[-`{-~]|\Z)   # a backslash that would escape what follows, or an end of a line
    | (?<![^\W_])_ | _(?![^\W_])  # an underscore inside of a word is one
    | <(?=[A-Za-z/!?])            # a tag
    | &(?=\#?\w+;)                # an entity
    | \](?=[(\[:])                # a link, or what one stands for
    | (?<=\w):(?=//) | (?<=[Ww]{3})\.  # an address, which GitHub makes a link
    """,
    re.VERBOSE,
)
IN_LINK = re.compile(SPECIAL.pattern + r"|[\[\]]", re.VERBOSE)
# lists, headings, quotations, rules
BLOCK = re.compile(r"\A(?:\d{1,9}(?=[.)](?:\s|\Z))|(?=[+-](?:\s|\Z)|-{2,}\s*\Z|#{1,6}(?:\s|\Z)|>))")


def markdown(parts: Iterable[Part]) -> str:
    """Paragraphs, and grids as pipe tables; of columns with two levels of headings both stand in one line."""
    return "\n\n".join(map(_written, parts)) + "\n"


def escape(text: str, special: re.Pattern[str] = SPECIAL) -> str:
    """Text that Markdown shows as it is."""
    return special.sub(lambda found: "\\" + found[0], text)


def grid(part: Grid) -> str:
    """A pipe table, aligned in plain text as well unless its cells are long."""
    heads = [escape(visible(f"{column.above} {column.name}".strip())) for column in part.columns]
    body = [[_cell(*pair, part.minus) for pair in zip(row, part.columns, strict=True)] for row in part.rows]
    if part.long:
        rules = ["---:" if column.right else "---" for column in part.columns]
        return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rules, *body))
    widths = [max([len(head) + 2, *(len(row[i]) for row in body)]) for i, head in enumerate(heads)]
    right = [column.right for column in part.columns]
    rules = [
        "-" * (width + 1) + ":" if at_right else ":" + "-" * (width + 1)
        for width, at_right in zip(widths, right, strict=True)
    ]
    return "\n".join(
        (_padded(heads, widths, right), f"|{'|'.join(rules)}|", *(_padded(row, widths, right) for row in body))
    )


def _written(part: Part) -> str:
    match part:
        case Title(name, rest):
            return f"**{escape(visible(name))}**{escape(visible(rest))}"
        case Heading(text):
            return f"*{escape(visible(text).strip())}*"
        case Note(text, mark):
            return f"{mark} {escape(visible(text))}" if mark else _paragraph(visible(text))
        case Signature(text):
            return f"`{visible(text).replace('`', chr(39))}`"
        case Grid():
            return grid(part)


def _paragraph(text: str) -> str:
    return BLOCK.sub(lambda found: found[0] + "\\", escape(text.strip()))


def _padded(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    """A line of a table in plain text."""
    columns = zip(cells, widths, right, strict=True)
    return f"| {' | '.join(cell.rjust(n) if at_right else cell.ljust(n) for cell, n, at_right in columns)} |"


def _cell(cell: Cell, column: Column, minus: str) -> str:
    """In a column of numbers what is missing is `nan`, in front of the decimal point."""
    if column.right and isinstance(cell, Number) and math.isnan(cell.value):
        return "nan" + " " * (cell.places + 1)
    return "<br>".join("".join(map(_span, line)) for line in lines(cell, minus))


def _span(span: Span) -> str:
    text = span.text if span.is_mark else escape(span.text, IN_LINK if span.link else SPECIAL)
    text = f"**{text}**" if span.bold else text
    return f"[{text}]({quote(span.link)})" if span.link else text
