"""A piece of work done: what there is to ask of each of its texts, wherever the model is."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, measure_repeats, targets_of
from faithbench.conversations import Asking, Conversation, Forked, Outcome, attempt, together
from faithbench.interfaces import Classifier
from faithbench.plugins.spec import Component
from faithbench.running.pieces import Job, Piece, Scored, Work
from faithbench.running.remaining import version_of
from faithbench.types import Attribution, Measurement, Record, Target, Text

UNKNOWN = Target(-1)  # of a record that failed before it was known what there is to explain
Found = tuple[str, list[dict[str, Any]], list[Record]]  # a text's id; attributions and records of it
Finding = Conversation[Found | Forked[Found]]
NOTHING: Found = ("", [], [])
BEAT_SECONDS = 0.5  # after which it is said how many rows have been run, where nothing is complete


def score_piece(job: Job, classifier: Classifier, piece: Piece, engine: Engine | None = None) -> Iterator[Scored]:
    """What comes of the texts of a piece: each explanation, and each metric's measurement of it, as soon as it ends.

    Where nothing ends for a while, there is a `Scored` of no text, with the rows since the last.

    Whoever runs it, one process, a worker or a task on a cluster, gets the same to float rounding: random numbers
    depend on the text alone.

    Args:
        job: that the piece is of.
        classifier: the model.
        piece: the work.
        engine: that answers; None for one that asks the classifier all rows.

    Raises:
        ModelChangedError: a component has written into the model's weights.
    """
    engine, said = engine or Engine(classifier, most_seconds=job.most_seconds), time.monotonic()
    counts = engine.counts
    before = replace(counts)
    for result in engine.steps(_converse(job, classifier, work) for work in piece.works):
        if result is None and time.monotonic() - said < BEAT_SECONDS:
            continue
        text_id, attributions, records = result.value if result is not None else NOTHING
        if result is not None and not attributions and not records:
            continue
        rows = counts.asked - before.asked, counts.run - before.run, counts.open - before.open
        before, said = replace(counts), time.monotonic()
        yield Scored(text_id, attributions, records, *rows)


def given_up(job: Job, work: Work, error: str) -> Scored:
    """Work that cannot be done, as cells that failed."""
    return Scored(work.text.id, [], _failed(job, work, error))


def _failed(job: Job, work: Work, error: str) -> list[Record]:
    outcome = Outcome[Measurement](error=error)
    return [_record(job, e, m, UNKNOWN, work.text, outcome) for e, m in work.cells]


def _converse(job: Job, classifier: Classifier, work: Work) -> Finding:
    """Everything there is to ask of one text: what to explain, then of each explainer by itself."""
    _, told = yield from attempt(work.text.id, targets_of(classifier, work.text), job.most_seconds)
    if told.value is None:
        return work.text.id, [], _failed(job, work, f"there is nothing to explain: {told.error}")
    outputs = classifier.classes if work.text.outputs is None else len(work.text.outputs)
    return Forked(NOTHING, [_explained(job, work, name, told.value, outputs) for name in work.explainers])


def _explained(job: Job, work: Work, name: str, targets: Sequence[Target], outputs: int) -> Finding:
    """One explainer's explanations of the targets; then each metric's measurements of them, by itself."""
    explainer, text, stored = job.explainers[name], work.text, work.known.get(name, {})
    asked = _targets_of(stored, targets)
    found = {target: stored[target] for target in asked if target in stored}
    missing = {target: explain(explainer, text, target, outputs) for target in asked if target not in found}
    new = (yield from together(missing, job.most_seconds)) if missing else {}
    found |= {target: outcome.value for target, outcome in new.items() if outcome.value is not None}
    failed = {target: f"explainer failed: {outcome.error}" for target, outcome in new.items() if outcome.value is None}
    rows = [attribution_row(job.identity, explainer, text.id, target, outcome) for target, outcome in new.items()]
    metrics = [metric for each, metric in work.cells if each == name]
    if not found:
        return text.id, rows, [record for metric in metrics for record in _unmeasured(job, name, metric, text, failed)]
    onward = [_measured(job, text, name, metric, found, failed, outputs) for metric in metrics]
    return Forked((text.id, rows, []), onward)


def _measured(
    job: Job,
    text: Text,
    explainer: str,
    metric: str,
    found: Mapping[Target, Attribution],
    failed: Mapping[Target, str],
    outputs: int,
) -> Finding:
    """One cell: a metric's measurements of one explainer's explanations of all targets, which are kept together."""
    asked = {target: _measure(job, explainer, metric, text, each, outputs) for target, each in found.items()}
    outcomes = yield from together(asked, job.most_seconds)
    records = [_record(job, explainer, metric, target, text, outcome) for target, outcome in outcomes.items()]
    return text.id, [], [*records, *_unmeasured(job, explainer, metric, text, failed)]


def _unmeasured(job: Job, explainer: str, metric: str, text: Text, failed: Mapping[Target, str]) -> list[Record]:
    """Records of targets that were not explained; why not, is said of each."""
    return [
        _record(job, explainer, metric, target, text, Outcome[Measurement](error=error))
        for target, error in failed.items()
    ]


def _targets_of(stored: Mapping[Target, Attribution], targets: Sequence[Target]) -> Sequence[Target]:
    """What an explainer is to explain: those of the task, but for imported attributions, which have their own."""
    return targets if not stored or any(target in stored for target in targets) else tuple(stored)


def _measure(
    job: Job, explainer: str, metric: str, text: Text, found: Attribution, outputs: int
) -> Asking[Measurement]:
    return measure_repeats(job.metrics[metric], text, found, job.explainers[explainer], outputs)


def record_of(
    identity: Mapping[str, str],
    explainer: Component,
    metric: Component,
    unit: str,
    target: Target,
    outcome: Outcome[Measurement],
) -> Record:
    """What the store keeps of one measurement.

    Args:
        identity: what all records of a model on a data set have in common.
        explainer: or describer.
        metric: or score.
        unit: what was measured: the id of a text, or a neuron.
        target: what was explained of it.
        outcome: of the metric.
    """
    value = outcome.value or Measurement(math.nan)
    return Record(
        **identity,
        explainer=explainer.identity,
        metric=metric.identity,
        version=version_of(explainer, metric),
        unit=unit,
        target=target,
        value=value.value,
        parts=value.parts,
        weight=value.weight,
        seconds=outcome.seconds,
        rows=outcome.rows,
        error=outcome.error,
    )


def _record(job: Job, explainer: str, metric: str, target: Target, text: Text, outcome: Outcome[Measurement]) -> Record:
    return record_of(job.identity, job.explainers[explainer], job.metrics[metric], text.id, target, outcome)


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
