"""What a question comes to: blocks of rows for the classifier, and what tells one row from another."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from operator import index
from typing import NamedTuple, overload

import numpy as np
from jaxtyping import Bool, Int, UInt8

from faithbench.blocks import Block, Given, Masked, packed_bits
from faithbench.questions import (
    GONE,
    Embeddings,
    Gradients,
    Inside,
    Logits,
    LogitsAt,
    OnVariant,
    Point,
    Question,
    Row,
    Variant,
)
from faithbench.types import Text


class Lane(NamedTuple):
    """The batching key: what rows must have in common to share a batch.

    Args:
        kind: of the question.
        rules: of the backward pass, or which function looks inside; "" for none.
        variant: of the model.
        outputs: how many outputs are named; None where all are wanted.
        candidates: how many there are of a language model's next token; None for other models.
    """

    kind: type[Question]
    rules: str = ""
    variant: Variant | None = None
    outputs: int | None = None
    candidates: int | None = None


Key = Hashable  # what tells the rows of a family apart
Asked = Row | Point | Inside


@dataclass(frozen=True, eq=False)
class Singles:
    """Rows that are not masks of a text, one by one."""

    rows: Sequence[Asked]
    length: int


class Rowset(NamedTuple):
    """Rows of a question, with what tells them apart within a lane and a conversation.

    Args:
        block: the rows.
        keys: of the rows.
        family: what their keys are keys of; rows of two families differ, but for whole texts.
        text: of masks: which text they are of.
        whole: of masks: the key of the text as it is, the same row in all families of a text.
        places: of the rows among those of the question; None for all, in order.
    """

    block: Block | Singles
    keys: Sequence[Key]
    family: Hashable = None
    text: Hashable = None
    whole: Key = None
    places: Int[np.ndarray, "rows"] | None = None


def rows_of(question: Question) -> tuple[Lane, list[Rowset]]:
    """The rows of a question, each with what tells it apart from others of its lane and text."""
    if isinstance(question, OnVariant):
        lane, rows = rows_of(question.question)
        return lane._replace(variant=question.variant), rows
    kind, text = type(question), question.text
    if isinstance(question, (Logits, Embeddings)):
        outputs = outputs_of(question)
        return _lane(kind, text, outputs), list(_masked(question, outputs))
    if isinstance(question, LogitsAt):
        row = _row(text)
        marks, at = _marks(row), [row._replace(embeddings=each) for each in question.embeddings]
        return _lane(kind, text, text.outputs), _singles(at, [(each.tobytes(), *marks) for each in question.embeddings])
    if isinstance(question, Gradients):
        points = _points(question)
        return _lane(kind, text, text.outputs, question.rules), _singles(points, list(map(_point_key, points)))
    if isinstance(question, Inside):
        key = (repr(sorted(question.arguments.items())), text.ids.tobytes(), text.candidates)
        return Lane(kind, question.function), _singles([question], [key])
    bare = Row(text.ids, text.types, candidates=text.candidates)
    return _lane(kind, text, None), _singles([bare], [(text.ids.tobytes(), *_marks(bare))])


def _singles(rows: Sequence[Asked], keys: Sequence[Key]) -> list[Rowset]:
    first = rows[0]
    ids = first.text.ids if isinstance(first, Inside) else (first.row if isinstance(first, Point) else first).ids
    return [Rowset(Singles(rows, len(ids)), keys)]


def _lane(kind: type[Question], text: Text, outputs: tuple[int, ...] | None, rules: str = "") -> Lane:
    count, candidates = (None if numbers is None else len(numbers) for numbers in (outputs, text.candidates))
    return Lane(kind, rules, outputs=count, candidates=candidates)


def _row(text: Text, outputs: tuple[int, ...] | None = None) -> Row:
    """The text as it is; outputs as the text names them, or as they are said."""
    return Row(text.ids, text.types, None, text.outputs if outputs is None else outputs, text.candidates)


def outputs_of(question: Question) -> tuple[int, ...] | None:
    """The model's numbers of the outputs that a question wants, which counts them as its text does; None for all."""
    if not isinstance(question, (Logits, LogitsAt, Gradients)):
        return None
    every, wanted = question.text.outputs, question.outputs if isinstance(question, Logits) else None
    return every if wanted is None else wanted if every is None else tuple(every[output] for output in wanted)


def _marks(row: Row) -> tuple[object, ...]:
    """What tells rows of the same ids apart: named outputs, candidates and token types, where there are some."""
    numbers = tuple((name, which) for name, which in zip("oc", (row.outputs, row.candidates), strict=True) if which)
    return (*numbers, *(() if row.types is None else (row.types.tobytes(),)))


def _masked(question: Logits | Embeddings, outputs: tuple[int, ...] | None) -> Iterator[Rowset]:
    text, keep, fill = question.text, question.keep, question.fill
    if isinstance(fill, np.ndarray):
        ids = np.where(keep, text.ids, fill).astype(np.int64, casting="same_kind", copy=False)
        yield from _filled(text, ids, outputs)
    elif fill == GONE:
        yield from _shortened(text, keep, outputs)
    else:
        fill = index(text.mask_id if fill is None else fill)
        same = text.ids == fill
        yield _masks(text, packed_bits(keep.astype(bool) | same if same.any() else keep), fill, outputs)


def _masks(
    text: Text,
    bits: UInt8[np.ndarray, "rows bytes"],
    fill: int,
    outputs: tuple[int, ...] | None,
    places: Int[np.ndarray, "rows"] | None = None,
) -> Rowset:
    """Rows of a text under masks in which nothing is left out that is the fill itself: equal rows have equal masks."""
    ids = _whole_numbers(text.ids)
    mark = (ids.tobytes(), *_marks(_row(text, outputs)))
    block = Masked(ids, _whole_numbers(text.types), outputs, fill, bits, text.candidates)
    return Rowset(block, _as_bytes(bits), (mark, fill), mark, b"\xff" * bits.shape[1], places)


def _filled(text: Text, ids: Int[np.ndarray, "rows tokens"], outputs: tuple[int, ...] | None) -> Iterator[Rowset]:
    """Rows of a fill for each place: those of a single one are masks, and whole texts are masks of any."""
    kept = ids == text.ids
    least, most = (reduce.reduce(ids, axis=1, where=~kept, initial=start) for reduce, start in EXTREMES)
    least[kept.all(axis=1)] = most[kept.all(axis=1)] = text.mask_id
    for fill in np.unique(least[least == most]):
        places = np.flatnonzero((least == most) & (least == fill))
        yield _masks(text, packed_bits(kept[places]), int(fill), outputs, places)
    if len(places := np.flatnonzero(least != most)):
        types = None if text.types is None else np.broadcast_to(text.types, ids.shape)[places]
        yield _written_out(ids[places], types, outputs, text.candidates, places)


EXTREMES = ((np.minimum, np.iinfo(np.int64).max), (np.maximum, np.iinfo(np.int64).min))


def _shortened(text: Text, keep: Bool[np.ndarray, "rows tokens"], outputs: tuple[int, ...] | None) -> Iterator[Rowset]:
    """Rows without the tokens that are not kept, those of one length together."""
    if keep.dtype != bool:
        raise TypeError(f"keep has the type {keep.dtype}; it needs truth values.")
    lengths = keep.sum(axis=1)
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        if length == len(text):
            yield _masks(text, packed_bits(keep[places]), text.mask_id, outputs, places)
        else:
            left = np.nonzero(keep[places])[1].reshape(-1, length)  # positions
            types = None if text.types is None else text.types[left]
            yield _written_out(text.ids[left], types, outputs, text.candidates, places)


def _written_out(
    ids: Int[np.ndarray, "rows _"],
    types: Int[np.ndarray, "rows _"] | None,
    outputs: tuple[int, ...] | None,
    candidates: tuple[int, ...] | None,
    places: Int[np.ndarray, "rows"],
) -> Rowset:
    told = ids if types is None else np.concatenate([ids, types], axis=1)
    family = (ids.shape[1], types is None, outputs, candidates)
    return Rowset(Given(ids, types, outputs, candidates), _as_bytes(told), family, places=places)


@overload
def _whole_numbers(array: np.ndarray) -> Int[np.ndarray, "tokens"]: ...
@overload
def _whole_numbers(array: None) -> None: ...
def _whole_numbers(array: np.ndarray | None) -> Int[np.ndarray, "tokens"] | None:
    """In the type that models read."""
    return None if array is None else array.astype(np.int64, casting="same_kind", copy=False)


def _as_bytes(rows: np.ndarray) -> list[bytes]:
    """Each row of an array as bytes, made at once since questions have thousands of rows."""
    rows = np.ascontiguousarray(rows)
    found: list[bytes] = rows.view(f"V{rows.itemsize * rows.shape[1]}")[:, 0].tolist()
    return found


def _points(question: Gradients) -> list[Point]:
    text = question.text
    fill = text.mask_id if question.fill is None else question.fill
    interpolations = [None] if question.interpolation is None else list(question.interpolation)
    return [Point(_row(text), question.target, interpolation, fill) for interpolation in interpolations]


def _point_key(point: Point) -> Key:
    where = () if point.interpolation is None else (point.interpolation.tobytes(), point.fill)
    return (point.target, point.row.ids.tobytes(), *_marks(point.row), *where)
