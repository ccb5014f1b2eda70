"""The rows that a question comes to: what the classifier is given, and what tells one row from another."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from faithbench.questions import GONE, Embeddings, Gradients, Inside, Logits, LogitsAt, On, Point, Question, Variant

Lane = tuple[type[Question], str, Variant | None]  # kind, rules, variant of the model: rows of one can share a batch
Key = tuple[Lane, tuple[Any, ...]]  # lane, and what tells its rows apart
Row = Any  # what the classifier is given: token ids, with embeddings or not, a point, or the question itself
Rows = Iterable[tuple[tuple[Any, ...], Row]]


def rows_of(question: Question) -> tuple[Lane, Rows]:
    """The rows of a question, each with what tells it apart from others of its lane and text."""
    if isinstance(question, On):
        (kind, rules, _), rows = rows_of(question.question)
        return (kind, rules, question.variant), rows
    kind, ids = type(question), question.text.ids
    if isinstance(question, (Logits, Embeddings)):
        return (kind, "", None), [((row.tobytes(),), row) for row in _masked(question)]
    if isinstance(question, LogitsAt):
        return (kind, "", None), [((place.tobytes(),), (ids, place)) for place in question.embeddings]
    if isinstance(question, Gradients):
        return (kind, question.under, None), [(_place(point), point) for point in _points(question)]
    if isinstance(question, Inside):
        return (kind, question.look, None), [((repr(sorted(question.arguments.items())), ids.tobytes()), question)]
    return (kind, "", None), [((ids.tobytes(),), ids)]


def _masked(question: Logits | Embeddings) -> Iterable[np.ndarray]:
    text, fill = question.text, question.fill
    if isinstance(fill, int) and fill == GONE:
        return [text.ids[keep] for keep in question.keep]
    return list(np.where(question.keep, text.ids, text.mask_id if fill is None else fill))


def _points(question: Gradients) -> list[Point]:
    text = question.text
    fill = text.mask_id if question.fill is None else question.fill
    shares = [None] if question.share is None else list(question.share)
    return [Point(text.ids, question.target, question.against, share, fill) for share in shares]


def _place(point: Point) -> tuple[Any, ...]:
    where = () if point.share is None else (point.share.tobytes(), point.fill)
    return (point.target, point.against, point.ids.tobytes(), *where)
