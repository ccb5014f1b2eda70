"""One component in full, for terminals and as Markdown."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from faithbench.console import words
from faithbench.interfaces import Traits
from faithbench.plugins.listing import Parameter
from faithbench.tables.parts import Column, Grid, Note, Part, Title, Words

if TYPE_CHECKING:
    from faithbench.conformance.describing import Described

NOTHING = "no parameters"
DIRECTIONS = {True: "higher is better", False: "lower is better", None: "no direction is better"}
SUMS = {
    "logit": "scores sum to the logit",
    "content": "scores sum to what the content tokens do to the logit",
    "tokens": "scores sum to what all tokens do to the logit",
}


def parts(found: "Sequence[Described]") -> Iterator[Part]:
    """As parts of a document."""
    for each in found:
        yield Title(each.listed.name, f", {_what(each)}")
        yield from map(Note, each.listed.said.paragraphs)
        facts = tuple((Words(name), Words(value)) for name, value in _facts(each))
        yield Grid((Column("of it"), Column("")), facts, long=True)
        if each.listed.parameters:
            rows = tuple(tuple(map(Words, _parameter(one))) for one in each.listed.parameters)
            yield Grid(tuple(map(Column, ("parameter", "type", "default", "meaning"))), rows, long=True)


def renderable(console: Console, found: "Sequence[Described]") -> RenderableType:
    """For a terminal: folded to its width, and no name cut."""
    return Group(*(shown for each in found for shown in _shown(console, each)))


def _shown(console: Console, each: "Described") -> Iterator[RenderableType]:
    yield Text.assemble(words(console, each.listed.name, "bold"), words(console, f", {_what(each)}"))
    for paragraph in each.listed.said.paragraphs:
        yield Padding(words(console, paragraph), (1, 0, 0, 0))
    yield Padding(_table(console, _facts(each)), (1, 0, 0, 0))
    if each.listed.parameters:
        yield Padding(_table(console, [_at_terminal(one) for one in each.listed.parameters]), (1, 0))


def _table(console: Console, rows: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=max(map(len, (name for name, _ in rows)), default=0))
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(words(console, name, "bold"), words(console, value))
    return table


def _what(each: "Described") -> str:
    kind = f"{each.listed.kind} of {each.listed.about}" if each.listed.about else each.listed.kind
    return f"{kind}, from {each.listed.origin}"


def _facts(each: "Described") -> list[tuple[str, str]]:
    """What is known of it, each with a name."""
    listed = each.listed
    facts = [
        ("BROKEN", listed.problem),
        ("source", listed.said.source),
        ("paper", ", ".join(f"https://arxiv.org/abs/{paper}" for paper in listed.said.papers)),
        ("cost", _cost(each)),
        *(_traits(listed.kind, each.traits) if each.traits else ()),
        ("runs", "only where it is named" if listed.on_request else ""),
        ("parameters", "" if listed.parameters or listed.problem else "none"),
    ]
    return [(name, value) for name, value in facts if value]


def _traits(kind: str, traits: Traits) -> Iterator[tuple[str, str]]:
    yield "version", f"{traits.version}"
    if kind in ("metric", "score"):
        ends = "" if traits.range is None else f"; from {_end(traits.range[0])} to {_end(traits.range[1])}"
        yield "reads as", DIRECTIONS[traits.higher_is_better] + ends
        yield "needs", ", ".join(traits.needs) and f"texts with {', '.join(traits.needs)}"
        yield "caution", traits.unproven
    if kind == "explainer":
        yield "scores", "" if traits.class_sensitive else "the same whatever class is explained"
        yield "sums", SUMS.get(traits.sums_to, "")
        yield "standing", "a spoilt copy, which stands in no ranking" if traits.degrades else ""


def _end(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else "no limit"


def _cost(each: "Described") -> str:
    if each.listed.kind not in ("explainer", "metric") or each.listed.problem:
        return ""
    if each.rows is None:
        return (
            "depends on its parameters"
            if each.traits is None
            else "not counted: it looks inside the model, or asks for other explanations"
        )
    rows = {0: "asks the model nothing", 1: "1 row of the model"}.get(each.rows, f"{each.rows:,} rows of the model")
    return f"{rows} for a text of 20 tokens" if each.rows else rows


def _parameter(one: Parameter) -> tuple[str, str, str, str]:
    return one.name, one.type, "needed" if one.default is None else one.default or "(empty)", one.meaning


def _at_terminal(one: Parameter) -> tuple[str, str]:
    name = one.name if one.default is None else f"{one.name}={one.default}"
    return name, "; ".join(filter(None, (one.type, "needed" if one.default is None else "", one.meaning)))
