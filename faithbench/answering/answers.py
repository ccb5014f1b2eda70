"""What a model answers, checked where it comes in: an answer for each row, of the right shape, in finite numbers.

Components share answers, so nobody can write into them.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from faithbench.errors import QuestionError
from faithbench.questions import Gradient, Point, Row
from faithbench.types import read_only

Answers = Sequence[np.ndarray | QuestionError]


def logits(found: object, rows: int, outputs: int) -> np.ndarray | Answers:
    """Logits; where some of a row are not finite, a refusal in its place.

    Args:
        found: what the model gave.
        rows: how many it was given.
        outputs: how many logits each is to have.

    Raises:
        QuestionError: it gave something else.
    """
    array = _numbers(found, "logits")
    if array.shape != (rows, outputs):
        raise QuestionError(f"the model gives logits of shape {array.shape} for {rows} rows of {outputs} outputs")
    finite = np.isfinite(array).all(axis=1)
    if finite.all():
        return array
    return [row if fine else _not_finite("logits") for row, fine in zip(array, finite, strict=True)]


def embeddings(found: object, rows: Sequence[Row]) -> Answers:
    """Embeddings, a row for each token.

    Raises:
        QuestionError: the model gave something else.
    """
    return [_of_tokens(one, row, "embeddings") for one, row in zip(_each(found, rows), rows, strict=True)]


def attentions(found: object, rows: Sequence[Row]) -> Answers:
    """Attention of every layer and head.

    Raises:
        QuestionError: the model gave something else.
    """
    checked: list[np.ndarray | QuestionError] = []
    for one, row in zip(_each(found, rows), rows, strict=True):
        array = _numbers(one, "attention")
        if array.ndim != 4 or array.shape[2:] != (len(row.ids), len(row.ids)):
            raise QuestionError(f"the model gives attention of shape {array.shape} for {len(row.ids)} tokens")
        checked.append(array if np.isfinite(array).all() else _not_finite("attention"))
    return checked


def gradients(found: object, points: Sequence[Point], rules: str) -> Sequence[Gradient | QuestionError]:
    """Gradients, with where they were taken.

    Raises:
        QuestionError: the model gave something else.
    """
    under = f" under {rules}" if rules else ""
    return [_gradient(one, point.row, under) for one, point in zip(_each(found, points), points, strict=True)]


def _gradient(found: object, row: Row, under: str) -> Gradient | QuestionError:
    if not isinstance(found, Gradient):
        raise QuestionError(f"the model gives a {type(found).__name__} in place of a gradient{under}")
    gradient = _of_tokens(found.gradient, row, f"gradients{under}")
    where = _of_tokens(found.embeddings, row, "embeddings")
    if isinstance(gradient, QuestionError):
        return gradient
    if isinstance(where, QuestionError):
        return where
    places = None if found.places is None else _of_tokens(found.places, row, "places")
    if isinstance(places, QuestionError):
        return places
    return replace(found, gradient=gradient, embeddings=where, places=places)


def _each(found: object, rows: Sequence[object]) -> Sequence[object]:
    if not isinstance(found, (list, tuple, np.ndarray)) or len(found) != len(rows):
        count = len(found) if isinstance(found, (list, tuple, np.ndarray)) else "no"
        raise QuestionError(f"the model gives {count} answers to {len(rows)} rows")
    return list(found)


def _of_tokens(found: object, row: Row, what: str) -> Float[np.ndarray, "tokens d"] | QuestionError:
    array = _numbers(found, what)
    if array.ndim != 2 or len(array) != len(row.ids):
        raise QuestionError(f"the model gives {what} of shape {array.shape} for {len(row.ids)} tokens")
    return array if np.isfinite(array).all() else _not_finite(what)


def _numbers(found: object, what: str) -> np.ndarray:
    """A copy that nobody can write into, neither components nor a model that gives the same array again."""
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise QuestionError(f"the model gives {what} that are no array of numbers but a {type(found).__name__}")
    return read_only(found)


def _not_finite(what: str) -> QuestionError:
    return QuestionError(f"the model gives {what} that are not finite numbers (NaN or infinity)")
