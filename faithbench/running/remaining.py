"""What is left to do of one model on one data set: what its store holds, and which cells of which texts it lacks."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from faithbench.plugins.spec import Component
from faithbench.types import Attribution, Target

Cell = tuple[str, str]  # explainer and metric


class Remaining:
    """What is left to do of one model on one data set.

    Args:
        identity: what all stored entries of the model on the data set have in common.
        explainers: that are to explain, by identity.
        metrics: that are to measure, by identity.
        attributions: what the store holds.
        records: likewise.
    """

    def __init__(
        self,
        identity: Mapping[str, str],
        explainers: Mapping[str, Component],
        metrics: Mapping[str, Component],
        attributions: pd.DataFrame,
        records: pd.DataFrame,
    ) -> None:
        self._identity, self._explainers, self._metrics = identity, explainers, metrics
        self._wanted = [(e, m) for e in explainers for m in metrics]
        stored, _ = self._own(attributions)
        self.known = self._known_attributions(stored)
        self._noted = {(row.explainer, row.text_id, row.target, row.against): _notes(row.notes) for row in stored}
        self._finished = self._finished_cells(records)

    def cells(self, texts: Iterable[str]) -> dict[str, list[Cell]]:
        """The cells that are left of each text, by its id; none of a text that is finished."""
        return {name: [cell for cell in self._wanted if (*cell, name) not in self._finished] for name in texts}

    def attributions(self, explainer: str, text_id: str) -> Mapping[Target, Attribution]:
        """What is stored of an explainer and a text, by target."""
        return self.known.get((explainer, text_id), {})

    def remember(self, attributions: Sequence[Mapping[str, Any]]) -> None:
        """What explainers noted in this run, for the means."""
        for row in attributions:
            if row["error"] is None:
                self._noted[row["explainer"], row["text_id"], row["target"], row["against"]] = _notes(row["notes"])

    def mean_notes(self) -> dict[str, dict[str, float]]:
        """What each explainer noted about itself, as means of absolute values over texts."""
        values: dict[str, dict[str, list[float]]] = {}
        for (explainer, *_), notes in self._noted.items():
            for name, value in notes.items():
                values.setdefault(explainer, {}).setdefault(name, []).append(abs(value))
        return {e: {name: float(np.mean(v)) for name, v in notes.items()} for e, notes in values.items()}

    def _known_attributions(self, stored: Sequence[Any]) -> Mapping[tuple[str, str], Mapping[Target, Attribution]]:
        """What is stored of each explainer and text, by target."""
        known: dict[tuple[str, str], dict[Target, Attribution]] = {}
        for row in stored:
            explainer = self._explainers.get(row.explainer)
            if explainer and row.version == str(explainer.version):
                found = stored_attribution(row)
                known.setdefault((explainer.identity, row.text_id), {})[found.target] = found
        return known

    def _finished_cells(self, records: pd.DataFrame) -> set[tuple[str, str, str]]:
        """Explainer, metric and unit of what has been measured, of every target that there was."""
        worked, failed = map(self._cells, self._own(records))
        return worked - failed

    def _cells(self, rows: Sequence[Any]) -> set[tuple[str, str, str]]:
        return {
            (row.explainer, row.metric, row.unit)
            for row in rows
            if row.explainer in self._explainers
            and row.metric in self._metrics
            and row.version == version_of(self._explainers[row.explainer], self._metrics[row.metric])
        }

    def _own(self, frame: pd.DataFrame) -> tuple[list[Any], list[Any]]:
        """Entries of this model and data set: those that did not fail, and those that did."""
        own = np.ones(len(frame), dtype=bool)
        for column, value in self._identity.items():
            own &= (frame[column] == value).to_numpy()
        failed = frame["error"].notna().to_numpy()
        return list(frame[own & ~failed].itertuples()), list(frame[own & failed].itertuples())


def version_of(explainer: Component, metric: Component) -> str:
    """The version of a record: the explainer's and the metric's."""
    return f"{explainer.version}.{metric.version}"


def stored_attribution(row: Any) -> Attribution:
    """An explanation as the store keeps it."""
    scores, errors = np.asarray(row.scores, dtype=np.float64), row.standard_errors
    target = Target(int(row.target), None if pd.isna(row.against) else int(row.against))
    given = None if errors is None or np.ndim(errors) == 0 else np.asarray(errors, dtype=np.float64)
    return Attribution(row.text_id, target, scores, _notes(row.notes), standard_errors=given)


def _notes(stored: object) -> dict[str, float]:
    found: dict[str, float] = json.loads(stored) if isinstance(stored, str) else {}
    return found
