"""The texts of a run and what its models said of them, kept beside its records so that people can look at them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from faithbench.paths import as_paths
from faithbench.records.columns import DATA, KEPT, PLACE
from faithbench.records.fingerprints import weights_of
from faithbench.records.kept_parts import rows_of
from faithbench.records.store import Store
from faithbench.records.text_parts import Gold, parts_of, text_of
from faithbench.types import Text

Key = Mapping[str, str]  # `Panel.key`: data set and model, with their fingerprints


@dataclass(frozen=True)
class Said:
    """What a model said of a text.

    Args:
        predicted: number of the class of the largest logit; 0 of a model that says a value.
        probabilities: of all classes, through the link of the task; of each label by itself; or the value. Empty where
            the model has more outputs than are kept.
    """

    predicted: int
    probabilities: Float[np.ndarray, "outputs"]


class KeptTexts:
    """The texts that runs have kept, and what models said of them; each part is read when it is first asked for.

    Raises:
        UserError: a part is corrupt, is none of texts, or holds what no run writes.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._stores = [Store(folder) for folder in folders]
        self._tables: dict[str, pa.Table] = {}
        self._said: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
        self._texts: dict[tuple[str, ...], dict[str, Text]] = {}

    def of(self, key: Key) -> dict[str, Text]:
        """The texts of a data set as a model reads them, by id; without the vocabulary. Empty where none are kept."""
        place = tuple(key[name] for name in PLACE)
        if place not in self._texts:
            self._texts[place] = dict(self._rebuilt(key))
        return dict(self._texts[place])

    def said(self, key: Key) -> dict[str, Said]:
        """What a model said of these texts, by id; without those that it failed on. Empty where nothing is kept."""
        rows = self._predictions(key)
        return {name: said for name, row in rows.items() if (said := _said(row)) is not None}

    def gold(self, key: Key) -> dict[str, Gold]:
        """What the data say of these texts, by id."""
        return {
            name: Gold(row["label"], None if row["labels"] is None else tuple(row["labels"]), row["value"])
            for name, row in self._predictions(key).items()
        }

    def continuations(self, key: Key) -> dict[str, tuple[str, str]]:
        """The two continuations, the good one first, of the texts that are next-token questions, by id."""
        said, found = self._predictions(key), dict[str, tuple[str, str]]()
        for row in rows_of(self._table("texts"), {name: key[name] for name in DATA}):
            name = row["text_id"]
            asked = name in said and said[name]["tokenizer"] == row["tokenizer"]
            if asked and row["good"] is not None and row["bad"] is not None:
                found[name] = (row["good"], row["bad"])
        return found

    def class_names(self, key: Key) -> tuple[str, ...]:
        """The names that a model's author gave to its classes; empty where there are none, or none were noted."""
        name = f"{key['model']} on {key['dataset']}"
        for store in self._stores:
            entry = store.manifest().get("models", {}).get(name)
            if entry and weights_of(entry["fingerprint"]) == weights_of(key["model_fingerprint"]):
                return tuple(entry.get("class_names", ()))
        return ()

    def _predictions(self, key: Key) -> dict[str, dict[str, Any]]:
        """The rows of what a model said, by text; of several the last in which it said something."""
        place = tuple(key[name] for name in PLACE)
        if place not in self._said:
            found: dict[str, dict[str, Any]] = {}
            for row in rows_of(self._table("predictions"), {name: key[name] for name in PLACE}):
                if row["predicted"] is not None or row["text_id"] not in found:
                    found[row["text_id"]] = row
            self._said[place] = found
        return self._said[place]

    def _rebuilt(self, key: Key) -> Iterator[tuple[str, Text]]:
        said = self._predictions(key)
        for tokenizer in dict.fromkeys(row["tokenizer"] for row in said.values()):
            own = {"dataset": key["dataset"], "dataset_fingerprint": key["dataset_fingerprint"], "tokenizer": tokenizer}
            for row in rows_of(self._table("texts"), own):
                name = row["text_id"]
                if name in said and said[name]["tokenizer"] == tokenizer:
                    yield name, text_of(row, said[name])

    def _table(self, kind: str) -> pa.Table:
        if kind not in self._tables:
            tables = [table for store in self._stores for table in parts_of(store, kind)]
            self._tables[kind] = pa.concat_tables([KEPT[kind].empty_table(), *tables])
        return self._tables[kind]


def read_texts(folders: Sequence[Path | str]) -> KeptTexts:
    """The texts that runs have kept, with what their models said of them; none of runs made before texts were kept.

    Args:
        folders: of the runs.

    Raises:
        UserError: a path is none.
    """
    return KeptTexts(as_paths("folders", folders))


def _said(row: Mapping[str, Any]) -> Said | None:
    if row["predicted"] is None:
        return None
    return Said(row["predicted"], np.array(row["probabilities"] or (), dtype=np.float64))


def numbered(units: Sequence[str]) -> list[int]:
    """A number for each text, to speak of it: that of its id where ids differ in nothing else and leave none out.

    Otherwise its place, from 1.
    """
    parts = [re.fullmatch(r"(.*?)(\d{1,9})", unit) for unit in units]
    if all(parts) and len({part[1] for part in parts if part}) == 1:
        found = [int(part[2]) for part in parts if part]
        if len(set(found)) == len(found) and min(found) in (0, 1) and max(found) - min(found) == len(found) - 1:
            return found
    order = sorted(range(len(units)), key=lambda i: _natural(units[i]))
    places = {place: number for number, place in enumerate(order, 1)}
    return [places[i] for i in range(len(units))]


def _natural(unit: str) -> tuple[tuple[int, int, str], ...]:
    """For sorting: digits count as numbers."""
    return tuple(
        (1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d{1,18})", unit) if part
    )
