"""Cards of metrics and explainers: what `faithbench list NAME` says of each, as pages. Nobody keeps a list of them."""

import re
from collections.abc import Iterator

import faithbench
from faithbench.commands.described import parts
from faithbench.tables.parts import Grid, Note, Title, Words

ARXIV = re.compile(r"(?:arXiv )?\b(\d{4}\.\d{4,5}|cs/\d{7})\b")
PAPER = "paper"  # a fact that says again, as addresses, what the source says


def card_pages() -> dict[str, str]:
    """The pages of the site that hold cards."""
    return {"cards/metrics.md": page("metric"), "cards/explainers.md": page("explainer")}


def page(kind: str) -> str:
    """All components of a kind that faithbench brings, in the order of their names."""
    intro = f"Made from the docstrings; `faithbench list {kind}` shows those that are installed on your machine."
    return "\n\n".join([f"# {kind.capitalize()}s", intro, *(card(kind, name) for name in names(kind))]) + "\n"


def names(kind: str) -> list[str]:
    """Of the components that faithbench brings."""
    return [each.name for each in faithbench.components(kind) if each.origin.startswith("faithbench ")]


def card(kind: str, name: str) -> str:
    """A section: what it is, facts, and parameters with their defaults; docstrings are Markdown."""
    found = [each for each in faithbench.describe(name) if each.listed.kind == kind]
    return "\n\n".join(_written(parts(found)))


def _written(document: Iterator[object]) -> Iterator[str]:
    for part in document:
        if isinstance(part, Title):
            yield f"## `{part.name}`\n\n{part.rest.removeprefix(', ').capitalize()}."
        elif isinstance(part, Note):
            yield part.text
        elif isinstance(part, Grid):
            yield _facts(part) if len(part.columns) == 2 else _table(part)


def _facts(grid: Grid) -> str:
    rows = [[_text(cell) for cell in row] for row in grid.rows]
    return "\n".join(f"- {name}: {linked(value)}" for name, value in rows if name != PAPER)


def _table(grid: Grid) -> str:
    rows = [[column.name for column in grid.columns], ["---"] * len(grid.columns)]
    rows += [[_text(cell).replace("|", "\\|") for cell in row] for row in grid.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _text(cell: object) -> str:
    return cell.text if isinstance(cell, Words) else ""


def linked(line: str) -> str:
    """A line whose arXiv numbers are links."""
    return ARXIV.sub(lambda number: f"[{number[0]}](https://arxiv.org/abs/{number[1]})", line)
