"""What the labels of a data set are: numbered classes, names, truth values, several a row, or values."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, TypedDict

from faithbench.datasets.table import listed
from faithbench.errors import UserError, brief, short

Kind = Literal["whole", "fraction", "truth", "name", "several"]
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
TRUTH = ("false", "true")
MOST = 1000  # classes
WORDS: Mapping[Kind, str] = {
    "whole": "a number",
    "fraction": "a number",
    "truth": "true or false",
    "name": "a name",
    "several": "a list",
}


@dataclass(frozen=True)
class Cell:
    """A label as it is written, and where."""

    source: str
    row: int
    column: str
    value: Any

    def refusal(self, why: str) -> UserError:
        """The error for it."""
        has = f"row {self.row} has label {short(self.value)} in column {short(self.column)}"
        return UserError(f"{self.source}: {has}; {why}.")


class Fields(TypedDict, total=False):
    """What an example says of its label."""

    label: int | None
    labels: tuple[int, ...]
    value: float


@dataclass(frozen=True)
class Scheme:
    """How labels are to be read.

    Args:
        names: of the classes; none where there are no labels, or values.
        kind: of all labels together; None where there are none.
        fraction: the first label that is no class, where labels are values.
        flags: where labels are several: whether a row's list says of every class, 0 or 1, if it is one of them.
        numbered: whether whole numbers are those of the classes, from 0, whatever the classes are called.
    """

    names: tuple[str, ...] = ()
    kind: Kind | None = None
    fraction: Cell | None = None
    flags: bool = False
    numbered: bool = False

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def index(self, label: Any) -> int:
        """The number of a class; a ValueError if there is no such one."""
        named = self.numbered and isinstance(label, str)
        number = self._numbers.get(label if named else name_of(label))
        if self.numbered and not named:
            number = int(label) if 0 <= int(label) < len(self.names) else None
        if number is None:
            raise ValueError(f"{label!r} is no class")
        return number

    def read(self, label: Any) -> Fields:
        """What an example says of a label that is there."""
        if self.kind == "fraction":
            return {"label": None, "value": float(label)}
        if self.kind != "several":
            return {"label": self.index(label)}
        parts = listed(label) or []
        chosen = [i for i, flag in enumerate(parts) if float(flag)] if self.flags else [self.index(p) for p in parts]
        return {"label": None, "labels": tuple(dict.fromkeys(chosen))}


def is_missing(label: Any, named: bool = False) -> bool:
    """Whether a row says nothing; the hub's numbered classes say so with -1."""
    return label is None or (isinstance(label, str) and not label.strip()) or (named and label == -1)


def understand(cells: Sequence[Cell], inside: Iterable[Any] = (), names: Sequence[str] = ()) -> Scheme:
    """How to read the labels of a data set, all its splits together.

    Args:
        cells: all labels that are there.
        inside: labels of parts of documents, as far as they can be read: they count for the classes.
        names: of the classes, where the file itself numbers and names them.

    Raises:
        UserError: labels are mixed, not finite, too far apart, or nothing that a label can be.
    """
    kinds = [_kind(cell) for cell in cells]
    kind = _together(cells, kinds)
    if names:
        return _given(cells, kind, tuple(names))
    if kind == "several":
        return _several(cells)
    if kind == "fraction":
        return Scheme((), kind, next(c for c, k in zip(cells, kinds, strict=True) if k == "fraction"))
    labels = [*(cell.value for cell in cells), *inside]
    return Scheme(_names(cells, {name_of(label) for label in labels}, kind), kind) if labels else Scheme()


def name_of(label: Any) -> str:
    """A label as class names have it: `4.0` is 4, and `True` is true."""
    text = str(label).strip()
    if text.lower() in TRUTH:
        return text.lower()
    return str(int(float(text))) if NUMBER.fullmatch(text) and float(text).is_integer() else text


def _kind(cell: Cell) -> Kind:
    value = cell.value
    text = str(value).strip()
    if listed(value) is not None:
        return "several"
    if not isinstance(value, (str, bool, int, float, Decimal)):
        raise cell.refusal("a label is a number, a name, or a list of those")
    if NOT_FINITE.fullmatch(text) or (NUMBER.fullmatch(text) and not math.isfinite(float(text))):
        raise cell.refusal("a label that is a number must be finite; leave it empty where there is none")
    if text.lower() in TRUTH:
        return "truth"
    if NUMBER.fullmatch(text):
        return "whole" if float(text).is_integer() else "fraction"
    return "name"


def _together(cells: Sequence[Cell], kinds: Sequence[Kind]) -> Kind | None:
    """The kind of all labels: fractions make values of whole numbers, names make names of truth values."""
    found = set(kinds)
    if len(found) < 2:
        return next(iter(found), None)
    if found == {"whole", "fraction"}:
        return "fraction"
    if found == {"truth", "name"}:
        return "name"
    other = next(i for i, kind in enumerate(kinds) if WORDS[kind] != WORDS[kinds[0]])
    raise cells[other].refusal(
        f"that is {WORDS[kinds[other]]}, and row {cells[0].row} has {short(cells[0].value)}, {WORDS[kinds[0]]}; "
        "the labels of a column are all numbers, all names, or all lists"
    )


def _names(cells: Sequence[Cell], names: set[str], kind: Kind | None) -> tuple[str, ...]:
    if kind == "truth" and names.issubset(TRUTH):
        return TRUTH
    if not all(NUMBER.fullmatch(name) for name in names):
        return tuple(sorted(names))
    numbers = {int(name) for name in names}
    low, high = min(numbers), max(numbers)
    if high - low >= MOST:
        far = str(high if abs(high) >= MOST else low)
        where = next((cell for cell in cells if name_of(cell.value) == far), cells[0])
        raise where.refusal(
            f"label {brief(far)} is out of range: classes are whole numbers of which there are fewer than {MOST:,}"
        )
    return tuple(str(number) for number in range(low, high + 1))


def _given(cells: Sequence[Cell], kind: Kind | None, names: tuple[str, ...]) -> Scheme:
    """Classes that are numbered and named by the file itself: each label must be one of them."""
    scheme = Scheme(names, "several" if kind == "several" else "name", numbered=True)
    for cell in cells:
        try:
            scheme.read(cell.value)
        except ValueError as error:
            raise cell.refusal(f"the file's classes are {', '.join(names[:20])}, numbered from 0") from error
    return scheme


def _several(cells: Sequence[Cell]) -> Scheme:
    rows = [[Cell(c.source, c.row, c.column, part) for part in listed(c.value) or []] for c in cells]
    parts = [part for row in rows for part in row]
    kinds = [_kind(part) for part in parts]
    for part, kind in zip(parts, kinds, strict=True):
        if kind not in ("whole", "name"):
            raise part.refusal("a label in a list is a whole number or a name")
    inner = _together(parts, kinds)
    if inner == "whole" and _are_flags([[name_of(part.value) for part in row] for row in rows]):
        return Scheme(tuple(str(i) for i in range(len(rows[0]))), "several", flags=True)
    names = _names(parts, {name_of(part.value) for part in parts}, inner) if parts else ()
    return Scheme(names, "several")


def _are_flags(rows: Sequence[Sequence[str]]) -> bool:
    """Whether lists say 0 or 1 of every class: as long as each other, and a class would be named twice otherwise."""
    same = len({len(row) for row in rows}) == 1 and {name for row in rows for name in row} <= {"0", "1"}
    return same and any(len(set(row)) < len(row) for row in rows)
