"""Model rows and their keys: what the classifier is given for a question, and what tells one row from another."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

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


class Lane(NamedTuple):
    """The batching key: what rows must have in common to share a batch.

    Args:
        kind: of the question.
        rules: of the backward pass, or which function looks inside; "" for none.
        variant: of the model.
        outputs: how many outputs are named; None where all are wanted.
    """

    kind: type[Question]
    rules: str = ""
    variant: Variant | None = None
    outputs: int | None = None


Key = Hashable  # what tells the rows of a lane apart within a conversation
Asked = Row | Point | Inside
Rows = Sequence[tuple[Key, Asked]]


def rows_of(question: Question) -> tuple[Lane, Rows]:
    """The rows of a question, each with what tells it apart from others of its lane and text."""
    if isinstance(question, OnVariant):
        lane, rows = rows_of(question.question)
        return lane._replace(variant=question.variant), rows
    kind, text = type(question), question.text
    if isinstance(question, Logits):
        outputs = _named(question)
        return _lane(kind, outputs), _masked(question, outputs)
    if isinstance(question, LogitsAt):
        marks, row = _marks(text.types, text.outputs), Row(text.ids, text.types, None, text.outputs)
        rows = [((each.tobytes(), *marks), row._replace(embeddings=each)) for each in question.embeddings]
        return _lane(kind, text.outputs), rows
    if isinstance(question, Gradients):
        return _lane(kind, text.outputs, question.rules), [(_point_key(point), point) for point in _points(question)]
    if isinstance(question, Inside):
        return Lane(kind, question.function), [
            ((repr(sorted(question.arguments.items())), text.ids.tobytes()), question)
        ]
    whole = [((text.ids.tobytes(), *_marks(text.types)), Row(text.ids, text.types))]
    return Lane(kind), _masked(question, None) if isinstance(question, Embeddings) else whole


def _lane(kind: type[Question], outputs: tuple[int, ...] | None, rules: str = "") -> Lane:
    return Lane(kind, rules, outputs=None if outputs is None else len(outputs))


def _named(question: Logits) -> tuple[int, ...] | None:
    """The model's numbers of the outputs that a question wants, which counts them as its text does."""
    every, wanted = question.text.outputs, question.outputs
    return every if wanted is None else wanted if every is None else tuple(every[output] for output in wanted)


def _marks(types: Int[np.ndarray, "tokens"] | None, outputs: tuple[int, ...] | None = None) -> tuple[object, ...]:
    """What tells rows of the same ids apart: named outputs and token types, where there are some."""
    return (*(() if outputs is None else (outputs,)), *(() if types is None else (types.tobytes(),)))


def _masked(question: Logits | Embeddings, outputs: tuple[int, ...] | None) -> Rows:
    text, fill = question.text, question.fill
    if isinstance(fill, int) and fill == GONE:
        types = text.types
        rows = [Row(text.ids[keep], None if types is None else types[keep], None, outputs) for keep in question.keep]
        return [((row.ids.tobytes(), *_marks(row.types, outputs)), row) for row in rows]
    ids = np.where(question.keep, text.ids, text.mask_id if fill is None else fill)
    keys, marks = _bytes_of(ids), _marks(text.types, outputs)
    rows = [Row(row, text.types, None, outputs) for row in ids]
    return list(zip([(key, *marks) for key in keys] if marks else keys, rows, strict=True))


def _bytes_of(ids: Int[np.ndarray, "rows tokens"]) -> list[bytes]:
    """Each row as bytes, made at once and of half the size, since questions have thousands of rows."""
    step, whole = 4 * ids.shape[1], ids.astype(np.int32, casting="same_kind").tobytes()
    return [whole[start : start + step] for start in range(0, len(whole), step)]


def _points(question: Gradients) -> list[Point]:
    text = question.text
    fill = text.mask_id if question.fill is None else question.fill
    interpolations = [None] if question.interpolation is None else list(question.interpolation)
    row = Row(text.ids, text.types, None, text.outputs)
    return [Point(row, question.target, interpolation, fill) for interpolation in interpolations]


def _point_key(point: Point) -> Key:
    where = () if point.interpolation is None else (point.interpolation.tobytes(), point.fill)
    return (point.target, point.row.ids.tobytes(), *_marks(point.row.types, point.row.outputs), *where)
