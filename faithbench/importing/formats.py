"""The formats that attributions come in: what a row of each says of which text.

`eraser`: DeYoung et al. 2020, arXiv 1911.03429, github.com/jayded/eraserbenchmark. `thermostat`: Feldhus et al. 2021,
arXiv 2108.13961, github.com/DFKI-NLP/thermostat. `bcos`: what the research code of arXiv 2502.12992 writes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.errors import UserError, short, unknown
from faithbench.importing.files import Fields
from faithbench.importing.texts import Texts
from faithbench.types import Example


@dataclass(frozen=True)
class Entry:
    """What a file says of one text: scores, and whose they are: of tokens, of token ids, or (None) to be counted.

    `target` is a class number or name; None for the class that the model predicts.
    """

    where: str
    example: Example
    scores: Float[np.ndarray, "_"]
    tokens: tuple[str, ...] | None = None
    ids: tuple[int, ...] | None = None
    text: str | None = None
    target: int | str | None = None


@dataclass(frozen=True)
class Format:
    """How rows of a format are known, and read; `name` is what the command line calls it."""

    name: str
    keys: tuple[str, ...]
    read: Callable[[str, Fields, Texts], Entry]


def read_plain(where: str, row: Fields, texts: Texts) -> Entry:
    """`id`, `scores`; perhaps `tokens`, `text`, `target`."""
    tokens, text, target = row.get("tokens"), row.get("text"), row.get("target")
    if text is not None and not isinstance(text, str):
        raise UserError(f"{where}: text={short(text)} is not a text.")
    return Entry(
        where,
        texts.named(where, _given(where, row, "id")),
        _numbers(where, "scores", _given(where, row, "scores")),
        tokens=None if tokens is None else _strings(where, tokens),
        text=text,
        target=target,
    )


def read_eraser(where: str, row: Fields, texts: Texts) -> Entry:
    """`annotation_id`, `rationales` of one document, perhaps `classification`. Tokens are split by white space."""
    example = texts.named(where, _given(where, row, "annotation_id"))
    rationales = _given(where, row, "rationales")
    if not isinstance(rationales, list) or not all(isinstance(each, dict) for each in rationales):
        raise UserError(f"{where}: rationales must be a list of objects.")
    if len(rationales) != 1:
        raise UserError(f"{where} has rationales of {len(rationales)} documents; a text is one document.")
    tokens = [token for line in example.text.split("\n") for token in line.strip().split(" ") if token]
    soft = rationales[0].get("soft_rationale_predictions")
    if soft:
        scores = _numbers(where, "soft_rationale_predictions", soft)
    else:
        scores = _spans(where, _given(where, rationales[0], "hard_rationale_predictions"), len(tokens))
    if len(scores) != len(tokens):
        raise UserError(f"{where}: {len(scores)} scores for the {len(tokens)} white space tokens of {example.id!r}.")
    return Entry(where, example, scores, tokens=tuple(tokens), target=row.get("classification"))


def read_thermostat(where: str, row: Fields, texts: Texts) -> Entry:
    """`attributions`, `input_ids`, `idx`; perhaps `predictions`: logits, the largest of which was explained."""
    ids = _given(where, row, "input_ids")
    if not isinstance(ids, list) or not all(type(each) is int for each in ids):
        raise UserError(f"{where}: input_ids must be a list of whole numbers.")
    logits = row.get("predictions")
    return Entry(
        where,
        texts.numbered(where, _whole(where, row, "idx")),
        _numbers(where, "attributions", _given(where, row, "attributions")),
        ids=tuple(ids),
        target=None if logits is None else int(_numbers(where, "predictions", logits).argmax()),
    )


def read_bcos(where: str, row: Fields, texts: Texts) -> Entry:
    """`index`, that is the position in the split, `attribution` ([token, score] pairs), `target_class`."""
    pairs = _given(where, row, "attribution")
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise UserError(f"{where}: attribution must be a list of [token, score] pairs.")
    return Entry(
        where,
        texts.at(where, _whole(where, row, "index")),
        _numbers(where, "attribution", [score for _, score in pairs]),
        tokens=_strings(where, [token for token, _ in pairs]),
        target=_given(where, row, "target_class"),
    )


THERMOSTAT = Format("thermostat", ("attributions", "input_ids"), read_thermostat)
BCOS = Format("bcos", ("index", "attribution", "target_class"), read_bcos)
FORMATS = {
    each.name: each
    for each in (
        Format("jsonl", ("id", "scores"), read_plain),
        Format("eraser", ("annotation_id", "rationales"), read_eraser),
        THERMOSTAT,
        BCOS,
    )
}


def format_of(name: str | None, where: str, row: Fields) -> Format:
    """The format of a name, or the one whose keys a row has.

    Raises:
        UserError: there is none.
    """
    if name is not None:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
        return FORMATS[name]
    found = next((each for each in FORMATS.values() if all(key in row for key in each.keys)), None)
    if found is None:
        raise UserError(
            f"{where} has {', '.join(map(repr, sorted(map(str, row))[:8])) or 'nothing'}, which is none of the formats "
            f"{', '.join(FORMATS)}; jsonl needs 'id' and 'scores'."
        )
    return found


def _given(where: str, row: Fields, key: str) -> Any:
    if row.get(key) is None:
        raise UserError(f"{where} has no {key!r}.")
    return row[key]


def _whole(where: str, row: Fields, key: str) -> int:
    value = _given(where, row, key)
    if type(value) is not int or value < 0:
        raise UserError(f"{where}: {key}={short(value)} is not a row number.")
    return value


def _strings(where: str, values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UserError(f"{where}: tokens must be a list of texts.")
    return tuple(values)


def _numbers(where: str, name: str, values: object) -> Float[np.ndarray, "_"]:
    if not isinstance(values, list) or not values:
        raise UserError(f"{where}: {name} must be a list of numbers.")
    for i, value in enumerate(values, 1):
        if type(value) not in (int, float) or not _is_finite(value):
            raise UserError(f"{where}: number {i} of {name} is {str(value)[:40]!r}, which is not a finite number.")
    return np.array(values, dtype=np.float64)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _spans(where: str, spans: object, tokens: int) -> Float[np.ndarray, "_"]:
    """1 in the spans, 0 elsewhere."""
    scores = np.zeros(tokens)
    for span in spans if isinstance(spans, list) else [None]:
        ends: Sequence[Any] = [span.get(key) for key in ("start_token", "end_token")] if isinstance(span, dict) else []
        if not ends or any(type(end) is not int for end in ends) or not 0 <= ends[0] < ends[1] <= tokens:
            raise UserError(f"{where}: {short(span)} is not a span of the text's {tokens} white space tokens.")
        scores[ends[0] : ends[1]] = 1.0
    return scores
