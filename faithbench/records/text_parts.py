"""Parts of a run's texts, and of what its models said of them: written whole and never changed, checked when read.

A text is kept once for each data set and way of reading it (`tokenizer`); what differs from model to model, such as the
classes that labels mean, stands with the predictions.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from faithbench.errors import UserError, short
from faithbench.records.columns import KEPT_IDENTITY
from faithbench.records.kept_parts import kept_parts, rows_of, where
from faithbench.records.store import Store
from faithbench.schemas import is_json
from faithbench.shown import is_unicode
from faithbench.types import LINKS, Text

MARKS = ("evidence", "rationale", "rationale_majority")
WEIGHTS = ("responsibility", "shapley")
PER_TOKEN = ("ids", "special", "words", "types", "segments", *MARKS, *WEIGHTS)  # one entry a token, where there is any
CANDIDATES = 2  # of a next-token question
LEAST = ("predicted", "label", "read")  # that are not below 0
NEEDED = {"texts": ("tokens", "ids", "special", "words"), "predictions": ("predicted", "probabilities")}


@dataclass(frozen=True)
class Gold:
    """What the data say of a text, with the model's classes for labels, and the value; None for what they do not say.

    Args:
        label: the class.
        labels: of a text that has several, or none of them.
        value: a label that is a number rather than a class.
    """

    label: int | None = None
    labels: tuple[int, ...] | None = None
    value: float | None = None


def kept_ids(store: Store, kind: str, own: Mapping[str, str]) -> set[str]:
    """The ids of the texts that are kept already.

    Args:
        store: of the run.
        kind: `texts` or `predictions`; of the latter those in which the model said something.
        own: what they have in common, by column.
    """
    columns = [*own, "text_id", *["predicted"] * (kind == "predictions")]
    found: set[str] = set()
    for table in parts_of(store, kind, columns):
        mine = where(table, own)
        if kind == "predictions":
            mine = pc.and_(mine, pc.is_valid(table.column("predicted")))
        found.update(table.filter(mine).column("text_id").to_pylist())
    return found


def read_otherwise(store: Store, own: Mapping[str, str], texts: Iterable[Text]) -> str | None:
    """The first text that the model was given in other tokens before; None if there is none.

    Args:
        store: of the run.
        own: what the model's predictions have in common, its way of reading texts included.
        texts: as it reads them now.
    """
    identity = {name: value for name, value in own.items() if name != "tokenizer"}
    before: set[tuple[str, str]] = set()
    for table in parts_of(store, "predictions", [*own, "text_id"]):
        mine = table.filter(pc.and_(where(table, identity), pc.not_equal(table.column("tokenizer"), own["tokenizer"])))
        before.update(zip(mine.column("tokenizer").to_pylist(), mine.column("text_id").to_pylist(), strict=True))
    if not before:
        return None
    now = {text.id: text.ids.tolist() for text in texts}
    data = {name: value for name, value in own.items() if name in KEPT_IDENTITY["texts"] and name != "tokenizer"}
    for table in parts_of(store, "texts", [*data, "tokenizer", "text_id", "ids"]):
        for row in rows_of(table, data):
            name = row["text_id"]
            if (row["tokenizer"], name) in before and now.get(name, row["ids"]) != row["ids"]:
                return str(name)
    return None


def kept_classes(store: Store, own: Mapping[str, str]) -> dict[str, int]:
    """The class that a model said of each text, as far as that is kept and it was asked for all of its outputs."""
    found: dict[str, int] = {}
    for table in parts_of(store, "predictions", [*own, "text_id", "predicted", "outputs"]):
        said = pc.and_(pc.is_valid(table.column("predicted")), pc.is_null(table.column("outputs")))
        mine = table.filter(pc.and_(where(table, own), said))
        found.update(zip(mine.column("text_id").to_pylist(), mine.column("predicted").to_pylist(), strict=True))
    return found


def text_row(
    own: Mapping[str, str], text: Text, pair: str | None, good: str | None = None, bad: str | None = None
) -> dict[str, object]:
    """A text as its columns; of a next-token question with its two continuations."""
    return {
        **own,
        "text_id": text.id,
        "source": sound(text.source),
        "pair": None if pair is None else sound(pair),
        "tokens": json.dumps([sound(str(token)) for token in text.tokens], ensure_ascii=False),
        "offsets": _flat(text),
        "truncated": bool(text.truncated),
        "segment_classes": list(text.segment_classes),
        "candidates": None if text.candidates is None else list(text.candidates),
        "good": None if good is None else sound(good),
        "bad": None if bad is None else sound(bad),
        **{name: _array(name, getattr(text, name)) for name in PER_TOKEN},
    }


def prediction_row(
    own: Mapping[str, str], text: Text, gold: Gold, predicted: int | None, probabilities: Sequence[float] | None
) -> dict[str, object]:
    """What a model said of a text as its columns; None where it failed, or was not asked."""
    return {
        **own,
        "text_id": text.id,
        "predicted": predicted,
        "probabilities": probabilities,
        "label": gold.label,
        "labels": None if gold.labels is None else list(gold.labels),
        "value": gold.value,
        "mask_id": text.mask_id,
        "pad_id": text.pad_id,
        "read": text.read,
        "link": text.link,
        "outputs": None if text.outputs is None else list(text.outputs),
    }


def parts_of(store: Store, kind: str, columns: Iterable[str] | None = None) -> Iterator[pa.Table]:
    """The parts of `texts` or `predictions`, checked."""
    return kept_parts(store, kind, NEEDED[kind], _check, columns)


def _check(path: Path, kind: str, table: pa.Table) -> None:
    """Refuses what no run writes.

    Raises:
        UserError: names the column.
    """
    for name in (*KEPT_IDENTITY[kind], *(NEEDED["texts"] if kind == "texts" else ())):
        if name in table.column_names and table.column(name).null_count:
            raise UserError(f"{path}: {name} is missing in a row.")
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_list(column.type) and pc.list_flatten(column).null_count:
            raise UserError(f"{path}: {name} holds a list in which something is missing.")
    for name in LEAST:
        if name in table.column_names and pc.any(pc.less(table.column(name), 0)).as_py():
            raise UserError(f"{path}: {name} is less than 0 in a row.")
    if "tokens" in table.column_names and "ids" in table.column_names:
        _check_lengths(path, table)
    if "candidates" in table.column_names:
        _check_candidates(path, table.column("candidates"))
    if "probabilities" in table.column_names:
        _check_said(path, table)
    if "link" in table.column_names:
        links = set(pc.unique(table.column("link")).to_pylist()) - {*LINKS, None}
        if links:
            raise UserError(f"{path}: link is none of {', '.join(LINKS)}.")


def _check_lengths(path: Path, table: pa.Table) -> None:
    count = pc.list_value_length(table.column("ids"))
    for name in (*PER_TOKEN, "offsets"):
        wanted = pc.multiply(count, 2) if name == "offsets" else count
        apart = pc.not_equal(pc.list_value_length(table.column(name)), wanted)
        if pc.any(apart).as_py():
            raise UserError(f"{path}: {name} has other than {'two numbers' if name == 'offsets' else 'one'} a token.")


def _check_candidates(path: Path, column: pa.ChunkedArray) -> None:
    if pc.any(pc.not_equal(pc.list_value_length(column), CANDIDATES)).as_py():
        raise UserError(f"{path}: candidates has other than {CANDIDATES} tokens in a row.")
    if pc.any(pc.less(pc.list_flatten(column), 0)).as_py():
        raise UserError(f"{path}: candidates holds a token below 0.")


def _check_said(path: Path, table: pa.Table) -> None:
    predicted, count = table.column("predicted"), pc.list_value_length(table.column("probabilities"))
    if not pc.all(pc.is_finite(pc.list_flatten(table.column("probabilities"))), min_count=0).as_py():
        raise UserError(f"{path}: probabilities holds a number that is not finite.")
    if pc.any(pc.and_(pc.greater(count, 0), pc.greater_equal(predicted, count))).as_py():
        raise UserError(f"{path}: predicted is a class of which probabilities says nothing.")


def text_of(row: Mapping[str, Any], said: Mapping[str, Any]) -> Text:
    """A text as it was, with what of it is the model's."""
    arrays, offsets = {name: _array(name, row[name]) for name in PER_TOKEN}, row["offsets"]
    where = f"text {short(row['text_id'])} of {row['dataset']}"
    tokens = json.loads(row["tokens"]) if is_json(row["tokens"], list[str]) else []
    if len(tokens) != len(row["ids"]):
        raise UserError(f"{where} has tokens that are no JSON list of a text for each of its {len(row['ids'])} ids.")
    if (said["read"] or 0) >= len(tokens):
        raise UserError(f"{where} is read at a token that it lacks.")
    return Text(
        id=row["text_id"],
        tokens=tuple(map(sys.intern, tokens)),
        mask_id=said["mask_id"] or 0,
        label=said["label"],
        segment_classes=tuple(row["segment_classes"] or ()),
        truncated=bool(row["truncated"]),
        source=row["source"] or "",
        pad_id=said["pad_id"] or 0,
        read=said["read"] or 0,
        link=said["link"] or "softmax",
        outputs=None if said["outputs"] is None else tuple(said["outputs"]),
        candidates=None if row["candidates"] is None else tuple(row["candidates"]),
        offsets=None if offsets is None else np.array(offsets, dtype=np.int64).reshape(-1, 2),
        **arrays,  # type: ignore[arg-type]  # those that must be there are checked when a part is read
    )


def sound(text: str) -> str:
    """Text as files can hold it: half of a character is written as its number."""
    return text if is_unicode(text) else text.encode("utf-8", "backslashreplace").decode()


def _flat(text: Text) -> np.ndarray | None:
    """The characters of tokens in one row; None where a model says them in a form of its own."""
    found = text.offsets
    sound = found is not None and found.shape == (len(text), 2) and found.dtype.kind in "iu"
    return found.reshape(-1).astype(np.int64) if found is not None and sound else None


def _array(name: str, values: Any) -> np.ndarray | None:
    if values is None:
        return None
    kind = bool if name in ("special", *MARKS) else np.float64 if name in WEIGHTS else np.int64
    return np.array(values, dtype=kind)
