"""What is left to do of one model on one data set: what its store holds, and which cells of which texts it lacks."""

import json
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int

from faithbench.parquet import written_out
from faithbench.plugins.spec import Component
from faithbench.records.columns import TARGETS
from faithbench.records.parts import as_categories
from faithbench.records.store import Store
from faithbench.types import Attribution, Target

Cell = tuple[str, str]  # explainer and metric
Entries = tuple[pd.DataFrame, pd.DataFrame]  # attributions and records, without scores and values
EXPLAINED = ("scores", "standard_errors", "notes")


def stored_entries(store: Store) -> Entries:
    """Which attributions and records a store holds; not what was measured, which is more to read."""
    noted, none = ("notes",), ()
    attributions = as_categories("attributions", store.entries("attributions", columns=noted), noted)
    return attributions, as_categories("records", store.entries("records", columns=none), none)


class Remaining:
    """What is left to do of one model on one data set.

    Args:
        identity: what all stored entries of the model on the data set have in common.
        explainers: that are to explain, by identity.
        metrics: that are to measure, by identity.
        store: from which explanations are read once one is asked for.
        stored: what it holds; None to read it now.
    """

    def __init__(
        self,
        identity: Mapping[str, str],
        explainers: Mapping[str, Component],
        metrics: Mapping[str, Component],
        store: Store,
        stored: Entries | None = None,
    ) -> None:
        self._identity, self._explainers, self._metrics, self._store = identity, explainers, metrics, store
        self._wanted = [(e, m) for e in explainers for m in metrics]
        attributions, records = stored_entries(store) if stored is None else stored
        self._attributions = attributions[self._own(attributions) & attributions["error"].isna().to_numpy()]
        self._units, self._finished = self._finished_cells(records)
        self._noted: defaultdict[str, defaultdict[str, array[float]]] = defaultdict(lambda: defaultdict(_numbers))

    def cells(self, texts: Iterable[str]) -> dict[str, list[Cell]]:
        """The cells that are left of each text, by its id; none of a text that is finished."""
        return {name: self._left(self._units.get(name)) for name in texts}

    def texts(self, texts: Iterable[str]) -> set[str]:
        """The ids of those that have cells left."""
        whole = set(np.flatnonzero(self._finished.all(axis=1)))
        return {name for name in texts if self._units.get(name) not in whole}

    def attributions(self, explainer: str, text_id: str) -> Mapping[Target, Attribution]:
        """What is stored of an explainer and a text, by target."""
        if self._attributions.empty:
            return {}
        entries, rows = self._explained
        found = [entries.slice(row, 1).to_pylist()[0] for row in rows.get((explainer, text_id), ())]
        return {each.target: each for each in map(stored_attribution, found)}

    def remember(self, attributions: Sequence[Mapping[str, Any]]) -> None:
        """What explainers noted in this run, for the means."""
        for row in attributions:
            if row["error"] is None:
                self._note(row["explainer"], _notes(row["notes"]))

    def mean_notes(self) -> dict[str, dict[str, float]]:
        """What each explainer noted about itself, as means of absolute values over texts."""
        frame = self._attributions
        current = {name: str(explainer.version) for name, explainer in self._explainers.items()}
        noted = frame[frame["notes"].notna()][["explainer", "version", "notes"]]
        means: dict[str, dict[str, list[float]]] = {}
        for explainer, version, notes in noted.itertuples(index=False, name=None):
            if version == current.get(explainer, version):
                for name, value in _notes(notes).items():
                    means.setdefault(explainer, {}).setdefault(name, []).append(abs(value))
        for explainer, told in self._noted.items():
            for name, values in told.items():
                means.setdefault(explainer, {}).setdefault(name, []).extend(values)
        return {e: {name: float(np.mean(v)) for name, v in notes.items()} for e, notes in means.items()}

    def _note(self, explainer: str, notes: Mapping[str, float]) -> None:
        for name, value in notes.items():
            self._noted[explainer][name].append(abs(value))

    def _left(self, unit: int | None) -> list[Cell]:
        if unit is None:
            return list(self._wanted)
        return [self._wanted[place] for place in np.flatnonzero(~self._finished[unit])]

    @cached_property
    def _explained(self) -> tuple[pa.Table, dict[tuple[str, str], list[int]]]:
        """The explanations of current versions, with scores, and where those of an explainer and text stand."""
        table = self._store.entries("attributions", columns=EXPLAINED)
        own = pc.is_null(table.column("error"))
        for name, value in self._identity.items():
            own = pc.and_(own, pc.equal(table.column(name), value))
        table = written_out(table.filter(own)).combine_chunks()
        names = [table.column(name).to_pylist() for name in ("explainer", "version", "text_id")]
        rows: dict[tuple[str, str], list[int]] = {}
        for row, (name, version, text_id) in enumerate(zip(*names, strict=True)):
            if name in self._explainers and version == str(self._explainers[name].version):
                rows.setdefault((name, text_id), []).append(row)
        named = ("text_id", *TARGETS, *EXPLAINED)
        return table.select([name for name in named if name in table.column_names]), rows

    def _finished_cells(self, records: pd.DataFrame) -> tuple[dict[str, int], Bool[np.ndarray, "units cells"]]:
        """The cells that have been measured of each unit, for every target that there was; and the units' places."""
        own = self._own(records)
        places = self._places(records)
        chosen = own & (places >= 0)
        units = records["unit"].cat
        failed = records["error"].notna().to_numpy()
        finished = np.zeros((len(units.categories), len(self._wanted)), dtype=bool)
        for which, done in ((~failed, True), (failed, False)):
            rows = chosen & which
            finished[units.codes.to_numpy()[rows], places[rows]] = done
        return {name: place for place, name in enumerate(units.categories)}, finished

    def _places(self, records: pd.DataFrame) -> Int[np.ndarray, "entries"]:
        """Of which of the cells that are wanted a record is; -1 for none, or of another version."""
        explainers, metrics, versions = (records[name].cat for name in ("explainer", "metric", "version"))
        known = {name: place for place, name in enumerate(versions.categories)}
        shape = len(explainers.categories), len(metrics.categories)
        places, wanted = np.full(shape, -1), np.full(shape, -1)
        for place, (explainer, metric) in enumerate(self._wanted):
            if explainer in explainers.categories and metric in metrics.categories:
                at = explainers.categories.get_loc(explainer), metrics.categories.get_loc(metric)
                places[at] = place
                wanted[at] = known.get(version_of(self._explainers[explainer], self._metrics[metric]), -1)
        if not len(records):
            return np.zeros(0, dtype=np.int64)
        rows = explainers.codes.to_numpy(), metrics.codes.to_numpy()
        return np.where(versions.codes.to_numpy() == wanted[rows], places[rows], -1)

    def _own(self, frame: pd.DataFrame) -> Bool[np.ndarray, "entries"]:
        """Which entries are of this model and data set."""
        own = np.ones(len(frame), dtype=bool)
        for column, value in self._identity.items():
            own &= (frame[column] == value).to_numpy()
        return own


def _numbers() -> "array[float]":
    return array("d")


def version_of(explainer: Component, metric: Component) -> str:
    """The version of a record: the explainer's and the metric's."""
    return f"{explainer.version}.{metric.version}"


def stored_attribution(row: Mapping[str, Any]) -> Attribution:
    """An explanation as the store keeps it."""
    scores, errors = np.asarray(row["scores"], dtype=np.float64), row.get("standard_errors")
    given = None if errors is None else np.asarray(errors, dtype=np.float64)
    target = Target(row["target"], row.get("against"))
    return Attribution(row["text_id"], target, scores, _notes(row.get("notes")), standard_errors=given)


def _notes(stored: object) -> dict[str, float]:
    found: dict[str, float] = json.loads(stored) if isinstance(stored, str) else {}
    return found
