"""One model on one data set: what is left to do, and doing it."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, predict
from faithbench.conversations import Asking, Conversation, Outcome, answering, ask, on, together
from faithbench.errors import QuestionError
from faithbench.plugins.spec import Component
from faithbench.questions import Explain
from faithbench.records.store import Store
from faithbench.running.grid import Grid
from faithbench.running.progress import Tracker
from faithbench.training.prepare import Prepared, Setup
from faithbench.types import Attribution, Measurement, Record, Text


@dataclass(frozen=True)
class Done:
    """Cells done now, there before, and failed."""

    done: int
    before: int
    failed: int


@dataclass(frozen=True)
class _Scored:
    """What came of one text."""

    text_id: str
    attributions: list[dict[str, Any]]
    records: list[Record]


class Block:
    """One model on one data set: what is left to do, and doing it."""

    def __init__(self, grid: Grid, model: Prepared, store: Store, setup: Setup) -> None:
        self.grid, self.model, self.store, self.setup = grid, model, store, setup
        self.identity = identity(grid.dataset, grid.fingerprint, model)
        self.explainers = {e.identity: e for e in grid.explainers}
        self.metrics = {m.identity: m for m in grid.metrics}
        self.known = self._known_attributions()
        self.finished = self._finished_cells()

    def run(self, texts: Sequence[Text]) -> Done:
        """Scores the texts that have cells left."""
        wanted = [(e, m) for e in self.explainers for m in self.metrics]
        todo = {text.id: [cell for cell in wanted if (*cell, text.id) not in self.finished] for text in texts}
        open_texts = [text for text in texts if todo[text.id]]
        left = sum(map(len, todo.values()))
        before = len(texts) * len(wanted) - left
        title = f"{self.model.label} on {self.grid.dataset.label}"
        self.setup.say(
            f"{title}: {len(texts):,} texts × {len(self.explainers)} explainers × {len(self.metrics)} metrics = "
            f"{len(texts) * len(wanted):,} cells, {before:,} of them done already."
        )
        engine = Engine(self.model.classifier)
        failed = 0
        work = {text.id: len(text) * (100 + len(text)) for text in open_texts}  # longer texts: more rows, dearer rows
        with Tracker(title, len(open_texts), sum(work.values()), len(wanted), self.setup.console) as tracker:
            try:
                conversations = (self._converse(text, todo[text.id]) for text in open_texts)
                for scored in engine.run(conversations):
                    self.store.add(scored.attributions, scored.records)
                    failed += sum(record.error is not None for record in scored.records)
                    tracker.done(work[scored.text_id], engine.counts.run)
            finally:
                self.store.flush()
        if open_texts:
            self.setup.say(f"{title}: {engine.counts.asked:,} rows asked, {engine.counts.run:,} run.")
        return Done(left - failed, before, failed)

    def mean_notes(self) -> dict[str, dict[str, float]]:
        """What each explainer noted about itself, as means of absolute values over texts."""
        values: dict[str, dict[str, list[float]]] = {}
        for row in self._mine("attributions"):
            for note, value in json.loads(row.notes if isinstance(row.notes, str) else "{}").items():
                values.setdefault(row.explainer, {}).setdefault(note, []).append(abs(value))
        return {e: {note: float(np.mean(v)) for note, v in notes.items()} for e, notes in values.items()}

    def _converse(self, text: Text, cells: Sequence[tuple[str, str]]) -> Conversation[_Scored]:
        """Everything there is to ask of one text: the predicted class, then explanations, then their measurements."""
        target = yield from predict(text)
        needed = dict.fromkeys(explainer for explainer, _ in cells)
        found = {e: self.known[e, text.id] for e in needed if (e, text.id) in self.known}
        classes = self.model.classifier.classes
        new = yield from together(
            {e: explain(self.explainers[e], text, target, classes) for e in needed if e not in found}
        )
        usable = found | {e: outcome.value for e, outcome in new.items() if outcome.value is not None}
        measured = yield from together(
            {(e, m): self._measure(self.metrics[m], text, e, usable[e]) for e, m in cells if e in usable}
        )
        failed = {
            (e, m): Outcome[Measurement](error=f"explainer failed: {new[e].error}") for e, m in cells if e not in usable
        }
        attributions = [
            attribution_row(self.identity, self.explainers[e], text.id, target, outcome) for e, outcome in new.items()
        ]
        targets = {e: attribution.target for e, attribution in usable.items()}  # an imported one has its own
        records = [
            self._record(cell, text, targets.get(cell[0], target), outcome)
            for cell, outcome in (measured | failed).items()
        ]
        return _Scored(text.id, attributions, records)

    def _measure(self, metric: Component, text: Text, name: str, found: Attribution) -> Asking[Measurement]:
        """Runs a metric; what it asks of the explainer is asked of the explainer."""

        def explain_again(question: Explain) -> Asking[Attribution]:
            if question.variant is None and question.text is text and question.target == found.target:
                return found
            try:
                asking = explain(self.explainers[name], question.text, question.target, self.model.classifier.classes)
                return (yield from on(question.variant, asking))
            except Exception as error:
                raise QuestionError(f"the explainer failed: {error}") from error

        return answering(ask(metric.object, text, found), explain_again)

    def _record(self, cell: tuple[str, str], text: Text, target: int, outcome: Outcome[Measurement]) -> Record:
        explainer, metric = cell
        value = outcome.value or Measurement(math.nan)
        return Record(
            **self.identity,
            explainer=explainer,
            metric=metric,
            version=self._version(explainer, metric),
            text_id=text.id,
            target=target,
            value=float(value.value),
            parts=tuple(map(float, value.parts)),
            weight=float(value.weight),
            seconds=outcome.seconds,
            rows=outcome.rows,
            error=outcome.error,
        )

    def _version(self, explainer: str, metric: str) -> str:
        return f"{self.explainers[explainer].version}.{self.metrics[metric].version}"

    def _known_attributions(self) -> Mapping[tuple[str, str], Attribution]:
        known = {}
        for row in self._mine("attributions"):
            explainer = self.explainers.get(row.explainer)
            if explainer and row.version == str(explainer.version):
                notes = json.loads(row.notes) if isinstance(row.notes, str) else {}
                scores = np.asarray(row.scores, dtype=np.float64)
                given = row.standard_errors
                errors = None if given is None or np.ndim(given) == 0 else np.asarray(given, dtype=np.float64)
                known[explainer.identity, row.text_id] = Attribution(
                    row.text_id, row.target, scores, notes, standard_errors=errors
                )
        return known

    def _finished_cells(self) -> set[tuple[str, str, str]]:
        return {
            (row.explainer, row.metric, row.text_id)
            for row in self._mine("records")
            if row.explainer in self.explainers
            and row.metric in self.metrics
            and row.version == self._version(row.explainer, row.metric)
        }

    def _mine(self, kind: str) -> Iterator[Any]:
        """Stored entries of this model and data set that did not fail."""
        frame = self.store.read(kind)
        mine = frame["error"].isna()
        for column, value in self.identity.items():
            mine &= frame[column] == value
        yield from frame[mine].itertuples()


def identity(dataset: Component, fingerprint: str, model: Prepared) -> dict[str, str]:
    """What all stored entries of a model on a data set have in common; `fingerprint` is that of the split."""
    return {
        "dataset": dataset.identity,
        "dataset_fingerprint": fingerprint,
        "model": model.identity,
        "model_fingerprint": model.classifier.fingerprint(),
    }


def attribution_row(
    identity: Mapping[str, str], explainer: Component, text_id: str, target: int, outcome: Outcome[Attribution]
) -> dict[str, Any]:
    """What the store keeps of one explanation."""
    value = outcome.value
    return {
        **identity,
        "explainer": explainer.identity,
        "version": str(explainer.version),
        "text_id": text_id,
        "target": target,
        "scores": None if value is None else value.scores.tolist(),
        "standard_errors": _listed(value.standard_errors if value else None),
        "notes": json.dumps(dict(value.notes)) if value is not None and value.notes else None,
        "seconds": outcome.seconds,
        "rows": outcome.rows,
        "error": outcome.error,
    }


def _listed(values: Float[np.ndarray, "tokens"] | None) -> list[float] | None:
    return None if values is None else list(map(float, values))
