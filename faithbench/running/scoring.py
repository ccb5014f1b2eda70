"""One model on one data set: what is left to do, and doing it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, measure_repeats, targets_of
from faithbench.conversations import Asking, Conversation, Outcome, attempt, together
from faithbench.plugins.spec import Component
from faithbench.records.store import Store
from faithbench.running.grid import DatasetPlan
from faithbench.running.progress import Tracker
from faithbench.running.remaining import Cell, Remaining, version_of
from faithbench.stopping import written_first
from faithbench.training.prepare import Prepared, Setup
from faithbench.types import Attribution, Measurement, Record, Target, Text

UNKNOWN = Target(-1)  # of a record that failed before it was known what there is to explain


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


class Scoring:
    """One model on one data set: what is left to do, and doing it.

    Args:
        texts: the data set, and what is to be measured on it.
        model: which.
        store: of the run.
        setup: device, precision, and who is told.
        attributions: what the store holds; None to read it now.
        records: likewise.
        most_seconds: that a component may take for one text and target; None for any time.
    """

    def __init__(
        self,
        texts: DatasetPlan,
        model: Prepared,
        store: Store,
        setup: Setup,
        attributions: pd.DataFrame | None = None,
        records: pd.DataFrame | None = None,
        most_seconds: float | None = None,
    ) -> None:
        self.most_seconds = most_seconds
        self.texts, self.model, self.store, self.setup = texts, model, store, setup
        self.identity = identity(texts.dataset, texts.fingerprint, model)
        self.explainers = {e.identity: e for e in texts.explainers}
        self.metrics = {m.identity: m for m in texts.metrics}
        self.remaining = Remaining(
            self.identity,
            self.explainers,
            self.metrics,
            store.read("attributions") if attributions is None else attributions,
            store.read("records") if records is None else records,
        )

    def run(self, texts: Sequence[Text]) -> Done:
        """Scores the texts that have cells left."""
        todo = self.remaining.cells(text.id for text in texts)
        open_texts = [text for text in texts if todo[text.id]]
        left, cells = sum(map(len, todo.values())), len(self.explainers) * len(self.metrics)
        before = len(texts) * cells - left
        title = f"{self.model.label} on {self.texts.dataset.label}"
        self.setup.say(
            f"{title}: {len(texts):,} texts × {len(self.explainers)} explainers × {len(self.metrics)} metrics = "
            f"{len(texts) * cells:,} cells, {before:,} of them done already."
        )
        engine = Engine(self.model.classifier, most_seconds=self.most_seconds)
        failed = 0
        work = {text.id: len(text) * (100 + len(text)) for text in open_texts}  # longer texts: more rows, dearer rows
        with (
            written_first(self.store.flush),
            Tracker(title, len(open_texts), sum(work.values()), cells, self.setup.console) as tracker,
        ):
            try:
                conversations = (self._converse(text, todo[text.id]) for text in open_texts)
                for scored in engine.run(conversations):
                    self.store.add(scored.attributions, scored.records)
                    self.remaining.remember(scored.attributions)
                    failed += len({(r.explainer, r.metric) for r in scored.records if r.error is not None})
                    tracker.done(work[scored.text_id], engine.counts.run)
            finally:
                self.store.flush()
        if open_texts:
            self.setup.say(f"{title}: {engine.counts.asked:,} rows asked, {engine.counts.run:,} run.")
        return Done(left - failed, before, failed)

    def _converse(self, text: Text, cells: Sequence[Cell]) -> Conversation[_Scored]:
        """Everything there is to ask of one text: what to explain, then explanations, then their measurements."""
        _, told = yield from attempt(text.id, targets_of(self.model.classifier, text), self.most_seconds)
        targets = told.value
        if targets is None:
            failed = Outcome[Measurement](error=f"there is nothing to explain: {told.error}")
            return _Scored(text.id, [], [self._record(e, m, UNKNOWN, text, failed) for e, m in cells])
        return (yield from self._measured(text, cells, targets))

    def _measured(self, text: Text, cells: Sequence[Cell], targets: Sequence[Target]) -> Conversation[_Scored]:
        """Explanations of the targets, and their measurements."""
        asked = {e: self._targets_of(e, text, targets) for e in dict.fromkeys(explainer for explainer, _ in cells)}
        stored = {e: self.remaining.attributions(e, text.id) for e in asked}
        found = {(e, t): stored[e][t] for e, of in asked.items() for t in of if t in stored[e]}
        new = yield from together(
            {(e, t): self._explain(e, text, t) for e, of in asked.items() for t in of if (e, t) not in found},
            self.most_seconds,
        )
        usable = found | {key: outcome.value for key, outcome in new.items() if outcome.value is not None}
        wanted = [(e, m, t) for e, m in cells for t in asked[e]]
        measured = yield from together(
            {
                (e, m, t): self._measure(self.metrics[m], text, e, usable[e, t])
                for e, m, t in wanted
                if (e, t) in usable
            },
            self.most_seconds,
        )
        failed = {
            (e, m, t): Outcome[Measurement](error=f"explainer failed: {new[e, t].error}")
            for e, m, t in wanted
            if (e, t) not in usable
        }
        attributions = [
            attribution_row(self.identity, self.explainers[e], text.id, t, outcome) for (e, t), outcome in new.items()
        ]
        records = [self._record(*cell, text, outcome) for cell, outcome in (measured | failed).items()]
        return _Scored(text.id, attributions, records)

    def _targets_of(self, explainer: str, text: Text, targets: Sequence[Target]) -> Sequence[Target]:
        """What an explainer is to explain: those of the task, but for imported attributions, which have their own."""
        stored = self.remaining.attributions(explainer, text.id)
        return targets if not stored or any(target in stored for target in targets) else tuple(stored)

    def _explain(self, explainer: str, text: Text, target: Target) -> Asking[Attribution]:
        return explain(self.explainers[explainer], text, target, self._outputs(text))

    def _outputs(self, text: Text) -> int:
        return self.model.classifier.classes if text.outputs is None else len(text.outputs)

    def _measure(self, metric: Component, text: Text, name: str, found: Attribution) -> Asking[Measurement]:
        return measure_repeats(metric, text, found, self.explainers[name], self._outputs(text))

    def _record(self, explainer: str, metric: str, target: Target, text: Text, outcome: Outcome[Measurement]) -> Record:
        value = outcome.value or Measurement(math.nan)
        return Record(
            **self.identity,
            explainer=explainer,
            metric=metric,
            version=version_of(self.explainers[explainer], self.metrics[metric]),
            unit=text.id,
            target=target,
            value=value.value,
            parts=value.parts,
            weight=value.weight,
            seconds=outcome.seconds,
            rows=outcome.rows,
            error=outcome.error,
        )


def identity(dataset: Component, fingerprint: str, model: Prepared) -> dict[str, str]:
    """What all stored entries of a model on a data set have in common; `fingerprint` is that of the split."""
    return {
        "dataset": dataset.identity,
        "dataset_fingerprint": fingerprint,
        "model": model.identity,
        "model_fingerprint": model.fingerprint,
    }


def attribution_row(
    identity: Mapping[str, str], explainer: Component, text_id: str, target: Target, outcome: Outcome[Attribution]
) -> dict[str, Any]:
    """What the store keeps of one explanation."""
    value = outcome.value
    return {
        **identity,
        "explainer": explainer.identity,
        "version": str(explainer.version),
        "text_id": text_id,
        "target": target.output,
        "against": target.against,
        "scores": None if value is None else value.scores.tolist(),
        "standard_errors": _listed(value.standard_errors if value else None),
        "notes": json.dumps(dict(value.notes)) if value is not None and value.notes else None,
        "seconds": outcome.seconds,
        "rows": outcome.rows,
        "error": outcome.error,
    }


def _listed(values: Float[np.ndarray, "tokens"] | None) -> list[float] | None:
    return None if values is None else list(map(float, values))
