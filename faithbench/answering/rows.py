"""Model rows and their keys: what the classifier is given for a question, and what tells one row from another."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

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


Key = tuple[Lane, tuple[object, ...]]  # lane, and what tells its rows apart within a conversation
Asked = Row | Point | Inside
Rows = Iterable[tuple[tuple[object, ...], Asked]]


def rows_of(question: Question) -> tuple[Lane, Rows]:
    """The rows of a question, each with what tells it apart from others of its lane and text."""
    if isinstance(question, OnVariant):
        lane, rows = rows_of(question.question)
        return lane._replace(variant=question.variant), rows
    kind, text = type(question), question.text
    if isinstance(question, Logits):
        outputs = _named(question)
        return Lane(kind, outputs=None if outputs is None else len(outputs)), _masked(question, outputs)
    if isinstance(question, LogitsAt):
        outputs = text.outputs
        rows = [((each.tobytes(),), Row(text.ids, text.types, each, outputs)) for each in question.embeddings]
        return Lane(kind, outputs=None if outputs is None else len(outputs)), rows
    if isinstance(question, Gradients):
        return Lane(kind, question.rules), [(_point_key(point), point) for point in _points(question)]
    if isinstance(question, Inside):
        return Lane(kind, question.function), [
            ((repr(sorted(question.arguments.items())), text.ids.tobytes()), question)
        ]
    whole = [((text.ids.tobytes(),), Row(text.ids, text.types))]
    return Lane(kind), _masked(question, None) if isinstance(question, Embeddings) else whole


def _named(question: Logits) -> tuple[int, ...] | None:
    """The model's numbers of the outputs that a question wants, which counts them as its text does."""
    every, wanted = question.text.outputs, question.outputs
    return every if wanted is None else wanted if every is None else tuple(every[output] for output in wanted)


def _masked(question: Logits | Embeddings, outputs: tuple[int, ...] | None) -> Rows:
    text, fill, named = question.text, question.fill, () if outputs is None else (outputs,)
    if isinstance(fill, int) and fill == GONE:
        types = text.types
        rows = [Row(text.ids[keep], None if types is None else types[keep], None, outputs) for keep in question.keep]
        if types is not None:  # what is left of two variants may differ in these alone
            return [((row.ids.tobytes(), row.types.tobytes(), *named), row) for row in rows]  # type: ignore[union-attr]
    else:
        ids = np.where(question.keep, text.ids, text.mask_id if fill is None else fill)
        rows = [Row(row, text.types, None, outputs) for row in ids]
    return [((row.ids.tobytes(), *named), row) for row in rows]


def _points(question: Gradients) -> list[Point]:
    text = question.text
    fill = text.mask_id if question.fill is None else question.fill
    interpolations = [None] if question.interpolation is None else list(question.interpolation)
    row = Row(text.ids, text.types, None, text.outputs)
    return [Point(row, question.target, interpolation, fill) for interpolation in interpolations]


def _point_key(point: Point) -> tuple[object, ...]:
    where = () if point.interpolation is None else (point.interpolation.tobytes(), point.fill)
    return (point.target, point.row.ids.tobytes(), *where)
