"""Rows as examples: texts, pairs, labels and marks; and why a row cannot be one."""

from typing import Any

from faithbench.datasets.columns import Columns
from faithbench.datasets.labelling import Scheme, is_missing
from faithbench.datasets.table import Fields, Table, listed
from faithbench.errors import UserError, short
from faithbench.shown import is_unicode
from faithbench.types import Example, Segment, Skipped, Span

FARTHEST = 2**31  # characters from a text's start that a span may go


class RowError(Exception):
    """Why a row is no example."""


def examples_of(table: Table, columns: Columns, scheme: Scheme) -> tuple[list[Example], list[Skipped]]:
    """The examples in a table, in order, and the rows that are none.

    Args:
        table: the rows; where they have no `id`, it is their number, from 0.
        columns: those of the table; "" for none.
        scheme: of the labels.

    Raises:
        UserError: no row can be used, or `id` names no rows.
    """
    examples: list[Example] = []
    skipped: list[Skipped] = []
    seen: dict[str, int] = {}
    for i, row in enumerate(table.rows):
        name = _id(i, row)
        try:
            if name in seen:
                raise RowError(f"its id {short(name)} is that of row {seen[name]}")
            examples.append(_example(name, row, columns, scheme, columns.label in table.names))
        except RowError as problem:
            skipped.append(Skipped(name.encode(errors="replace").decode(), f"row {i + 1}: {problem}"))
        seen.setdefault(name, i + 1)
    if 2 * len(seen) < len(table.rows):
        raise UserError(
            f"{table.source} has only {len(seen):,} values of 'id' in {len(table.rows):,} rows; the id of a row must "
            "be its own, so rename the column or leave it out."
        )
    if not examples:
        raise UserError(f"{table.source} has no rows that can be used: {skipped[0].reason}.")
    return examples, skipped


def _id(index: int, row: Fields | str) -> str:
    name = None if isinstance(row, str) else row.get("id")
    return str(index if name in (None, "") else name)


def _example(name: str, row: Fields | str, columns: Columns, scheme: Scheme, named: bool) -> Example:
    if isinstance(row, str):
        raise RowError(row)
    if not is_unicode(name):
        raise RowError("its id has half a surrogate pair")
    if columns.good:
        return _question(name, row, columns)
    text = _text(row.get(columns.text), "text")
    pair = _text(row.get(columns.pair), "second text") if columns.pair else None
    label = row.get(columns.label) if columns.label else None
    if columns.label and is_missing(label, named):
        raise RowError("its label is empty")
    return Example(
        id=name,
        text=text,
        evidence=_marks(row, "evidence", text, pair),
        rationale=_marks(row, "rationale", text, pair),
        rationale_majority=_marks(row, "rationale_majority", text, pair),
        segments=_segments(row.get("segments"), len(text), scheme),
        pair=pair,
        **({"label": None} if not columns.label else scheme.read(label)),
    )


def _question(name: str, row: Fields, columns: Columns) -> Example:
    prefix = _text(row.get(columns.text), "prefix")
    good, bad = (_text(row.get(column), f"{column} continuation") for column in (columns.good, columns.bad))
    if good.strip() == bad.strip():
        raise RowError(f"its two continuations are the same: {short(good)}")
    marks = ("evidence", "rationale", "rationale_majority")
    evidence, rationale, majority = (_inner(mark, row.get(mark), prefix) for mark in marks)
    return Example(name, prefix, 0, evidence, rationale, majority, good=good, bad=bad)


def _inner(name: str, value: Any, prefix: str) -> tuple[Span, ...] | None:
    """Spans of a prefix, each of characters that it has."""
    spans = _spans(name, value)
    for start, end in spans or ():
        if not 0 <= start < end <= len(prefix):
            raise RowError(
                f"its {name} has a span [{start}, {end}] that is not within the prefix's {len(prefix)} characters"
            )
        if not prefix[start:end].strip():
            raise RowError(f"its {name} has a span [{start}, {end}] of nothing but space")
    return spans


def _text(value: Any, called: str) -> str:
    if value is None:
        raise RowError(f"it has no {called}")
    if not isinstance(value, str):
        raise RowError(f"its {called} is no text but {str(value)[:40]}")
    if not value.strip():
        raise RowError(f"its {called} is empty")
    if not is_unicode(value):
        raise RowError(f"its {called} has half a surrogate pair (a character that was cut in two)")
    return value


def _marks(row: Fields, name: str, text: str, pair: str | None) -> tuple[Span, ...] | None:
    """The spans in the text and, where there is one, in the pair, whose characters count on behind a line break."""
    own = _spans(name, row.get(name))
    other = None if pair is None else _spans(f"pair_{name}", row.get(f"pair_{name}"))
    if other is None:
        return own
    return (*(own or ()), *((start + len(text) + 1, end + len(text) + 1) for start, end in other))


def _spans(name: str, value: Any) -> tuple[Span, ...] | None:
    if value is None or value == "":
        return None
    try:
        pairs: Any = listed(value) if isinstance(value, str) else value
        spans = tuple((int(start), int(end)) for start, end in pairs)
    except (TypeError, ValueError, OverflowError) as error:
        raise RowError(f"its {name} has spans that are not [[start, end], …]") from error
    if any(abs(end) > FARTHEST for span in spans for end in span):
        raise RowError(f"its {name} has a span that is too far")
    return spans


def _segments(value: Any, length: int, scheme: Scheme) -> tuple[Segment, ...] | None:
    if value is None or value == "":
        return None
    try:
        parts = [(int(start), int(end), scheme.index(label)) for start, end, label in listed(value) or []]
    except (TypeError, ValueError, OverflowError) as error:
        raise RowError("it has segments that are not [[start, end, label], …]") from error
    last = 0
    for start, end, _ in parts:
        if not last <= start < end <= length:
            raise RowError(
                f"it has a segment [{start}, {end}] that is empty, begins before the last one's end, or is not within "
                f"the text's {length} characters"
            )
        last = end
    if len(parts) < 2:
        raise RowError(f"it has {len(parts)} segments; a document has two or more")
    return tuple(parts)
