"""What components give, checked once, where it comes in. Whatever is wrong there fails the cell of that component."""

import math
from collections.abc import Mapping
from itertools import islice
from numbers import Real

import numpy as np
from jaxtyping import Float

from faithbench.types import LINKS, Attribution, Example, Measurement, Target, Text

TOKEN_ARRAYS = ("ids", "special", "words", "evidence", "rationale", "rationale_majority", "segments", "types")
LARGEST = 1e30  # of scores, values and weights: boards keep values in single precision
MOST_PARTS = 100_000  # of one measurement
TOKEN_NUMBERS = ("responsibility", "shapley")
MOST_NOTES, LONGEST_NAME = 100, 200


def check_text(found: object, example: Example, classes: int) -> Text:
    """A text as components can be given it: of this example, every array with an entry for each token.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(found, Text):
        raise ValueError(f"the model reads it as a {type(found).__name__}, not as a Text")
    if found.id != example.id:
        raise ValueError(f"the model reads it as text {str(found.id)[:50]!r}")
    count = len(found.tokens)
    arrays = {name: getattr(found, name) for name in TOKEN_ARRAYS}
    for name, array in arrays.items():
        if array is None and name not in ("ids", "special", "words"):
            continue
        if not isinstance(array, np.ndarray) or array.shape != (count,) or array.dtype.kind not in "biu":
            raise ValueError(f"the model reads it with {name} that are no array of {count} whole numbers")
    for name in TOKEN_NUMBERS:
        numbers = getattr(found, name)
        if numbers is not None and not (
            isinstance(numbers, np.ndarray) and numbers.shape == (count,) and np.isfinite(numbers).all()
        ):
            raise ValueError(f"the model reads it with a {name} that is no array of {count} finite numbers")
    if found.outputs is not None and not all(type(one) is int and 0 <= one < classes for one in found.outputs):
        raise ValueError(f"the model reads it with outputs that it does not have, of {classes}")
    if found.link not in LINKS or not 0 <= found.read < max(count, 1):
        raise ValueError("the model reads it with a link or a position to read that there is not")
    return found


def check_attribution(found: object, text: Text, target: Target) -> Attribution:
    """An attribution as it can be kept: of this text and target, with a finite score for each token, in float64.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(found, Attribution):
        raise ValueError(f"gave a {type(found).__name__}, not an Attribution")
    if found.target != target:
        raise ValueError(f"was asked about class {target} and speaks of class {found.target}")
    if found.text_id != text.id:
        raise ValueError(f"was asked about text {text.id!r} and speaks of text {str(found.text_id)[:50]!r}")
    scores = _of_tokens(found.scores, "scores", text)
    errors = None if found.standard_errors is None else _of_tokens(found.standard_errors, "standard errors", text)
    if errors is not None and (errors < 0).any():
        raise ValueError("gave standard errors below 0")
    return Attribution(text.id, target, scores, _notes(found.notes), text.tokens, errors)


def check_dimensions(found: object, text: Text) -> Float[np.ndarray, "tokens d"]:
    """Scores of each dimension of each token's embedding, finite, in float64.

    Raises:
        ValueError: they are something else.
    """
    array = _numbers(found, "scores per dimension")
    if array.ndim != 2 or len(array) != len(text):
        raise ValueError(f"gave scores per dimension of shape {array.shape} for a text of {len(text)} tokens")
    return array


def check_measurement(found: object) -> Measurement:
    """A measurement as it can be kept: a number or NaN, a weight from 0, and parts that are numbers or NaN.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(found, Measurement):
        raise ValueError(f"gave a {type(found).__name__}, not a Measurement")
    value, weight = _number(found.value, "value"), _number(found.weight, "weight")
    if math.isinf(value):
        raise ValueError("gave a value that is infinite; one that is not defined is NaN")
    if not 0 <= weight < math.inf:
        raise ValueError(f"gave the weight {weight}; it must be finite and not below 0")
    if abs(value) > LARGEST or weight > LARGEST:
        raise ValueError(f"gave a value or weight beyond {LARGEST:g}")
    parts = islice(found.parts, MOST_PARTS + 1) if isinstance(found.parts, (tuple, list, np.ndarray)) else None
    numbers = None if parts is None else tuple(_number(part, "part") for part in parts)
    if numbers is None or len(numbers) > MOST_PARTS:
        raise ValueError(f"gave parts that are no tuple of at most {MOST_PARTS:,} numbers")
    return Measurement(value, numbers, weight)


def _of_tokens(found: object, what: str, text: Text) -> Float[np.ndarray, "tokens"]:
    """Finite numbers, one a token."""
    array = _numbers(found, what)
    if array.shape != (len(text),):
        raise ValueError(f"gave {what} of shape {array.shape} for a text of {len(text)} tokens")
    return array


def _numbers(found: object, what: str) -> Float[np.ndarray, "*shape"]:
    """Finite numbers, in float64."""
    try:
        array = np.asarray(found)
        if array.dtype != np.float64:
            with np.errstate(over="ignore"):  # of longer numbers, which are infinite then
                array = array.astype(np.float64, casting="same_kind" if array.dtype.kind == "f" else "safe")
    except Exception as error:  # whatever the thing raises
        raise ValueError(f"gave {what} that are no array of numbers but a {type(found).__name__}") from error
    if (np.abs(array) <= LARGEST).all():
        return array
    beyond = f"beyond {LARGEST:g}, whose sums would not be finite"
    raise ValueError(f"gave {what} {beyond if np.isfinite(array).all() else 'that are not finite numbers'}")


def _number(found: object, what: str) -> float:
    """A number of Python, numpy or torch."""
    try:
        number = found if isinstance(found, Real) else found.item()  # type: ignore[attr-defined]  # of arrays of one
        return float(number)
    except Exception as error:  # whatever the thing raises
        raise ValueError(f"gave a {what} that is no number but a {type(found).__name__}") from error


def _notes(notes: object) -> dict[str, float]:
    pairs = list(islice(notes.items(), MOST_NOTES + 1)) if isinstance(notes, Mapping) else None
    if pairs is None or len(pairs) > MOST_NOTES:
        raise ValueError(f"gave notes that are no mapping of at most {MOST_NOTES} names to numbers")
    checked = {}
    for name, value in pairs:
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
            raise ValueError("gave a note without a printable name")
        number = _number(value, f"note {name!r}")
        if not math.isfinite(number):
            raise ValueError(f"gave the note {name!r} that is not a finite number")
        checked[name] = number
    return checked
