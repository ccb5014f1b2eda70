"""A piece of work done: what there is to ask of each of its texts, wherever the model is."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, measure_repeats, targets_of
from faithbench.conversations import Asking, Conversation, Outcome, attempt, together
from faithbench.interfaces import Classifier
from faithbench.plugins.spec import Component
from faithbench.running.pieces import Job, Piece, Scored, Work
from faithbench.running.remaining import version_of
from faithbench.types import Attribution, Measurement, Record, Target, Text

UNKNOWN = Target(-1)  # of a record that failed before it was known what there is to explain
Rows = tuple[list[dict[str, Any]], list[Record]]  # attributions and records


def score_piece(job: Job, classifier: Classifier, piece: Piece) -> Iterator[Scored]:
    """What comes of each text of a piece, as soon as it is complete.

    Whoever runs it, one process, a worker or a task on a cluster, gets the same to float rounding: random numbers
    depend on the text alone.

    Raises:
        ModelChangedError: a component has written into the model's weights.
    """
    engine = Engine(classifier, most_seconds=job.most_seconds)
    asked = run = 0
    for text_id, (attributions, records) in engine.run(_converse(job, classifier, work) for work in piece.works):
        yield Scored(text_id, attributions, records, engine.counts.asked - asked, engine.counts.run - run)
        asked, run = engine.counts.asked, engine.counts.run


def given_up(job: Job, work: Work, error: str) -> Scored:
    """Work that cannot be done, as cells that failed."""
    return Scored(work.text.id, [], _failed(job, work, error))


def _failed(job: Job, work: Work, error: str) -> list[Record]:
    outcome = Outcome[Measurement](error=error)
    return [_record(job, e, m, UNKNOWN, work.text, outcome) for e, m in work.cells]


def _converse(job: Job, classifier: Classifier, work: Work) -> Conversation[tuple[str, Rows]]:
    """Everything there is to ask of one text: what to explain, then explanations, then their measurements."""
    _, told = yield from attempt(work.text.id, targets_of(classifier, work.text), job.most_seconds)
    if told.value is None:
        return work.text.id, ([], _failed(job, work, f"there is nothing to explain: {told.error}"))
    outputs = classifier.classes if work.text.outputs is None else len(work.text.outputs)
    return work.text.id, (yield from _measured(job, work, told.value, outputs))


def _measured(job: Job, work: Work, targets: Sequence[Target], outputs: int) -> Conversation[Rows]:
    """Explanations of the targets, and their measurements."""
    text = work.text
    asked = {e: _targets_of(work.known.get(e, {}), targets) for e in work.explainers}
    stored = {e: work.known.get(e, {}) for e in asked}
    found = {(e, t): stored[e][t] for e, of in asked.items() for t in of if t in stored[e]}
    new = yield from together(
        {
            (e, t): explain(job.explainers[e], text, t, outputs)
            for e, of in asked.items()
            for t in of
            if (e, t) not in found
        },
        job.most_seconds,
    )
    usable = found | {key: outcome.value for key, outcome in new.items() if outcome.value is not None}
    wanted = [(e, m, t) for e, m in work.cells for t in asked[e]]
    measured = yield from together(
        {(e, m, t): _measure(job, e, m, text, usable[e, t], outputs) for e, m, t in wanted if (e, t) in usable},
        job.most_seconds,
    )
    failed = {
        (e, m, t): Outcome[Measurement](error=f"explainer failed: {new[e, t].error}")
        for e, m, t in wanted
        if (e, t) not in usable
    }
    attributions = [
        attribution_row(job.identity, job.explainers[e], text.id, t, outcome) for (e, t), outcome in new.items()
    ]
    return attributions, [_record(job, *cell, text, outcome) for cell, outcome in (measured | failed).items()]


def _targets_of(stored: Mapping[Target, Attribution], targets: Sequence[Target]) -> Sequence[Target]:
    """What an explainer is to explain: those of the task, but for imported attributions, which have their own."""
    return targets if not stored or any(target in stored for target in targets) else tuple(stored)


def _measure(
    job: Job, explainer: str, metric: str, text: Text, found: Attribution, outputs: int
) -> Asking[Measurement]:
    return measure_repeats(job.metrics[metric], text, found, job.explainers[explainer], outputs)


def _record(job: Job, explainer: str, metric: str, target: Target, text: Text, outcome: Outcome[Measurement]) -> Record:
    value = outcome.value or Measurement(math.nan)
    return Record(
        **job.identity,
        explainer=explainer,
        metric=metric,
        version=version_of(job.explainers[explainer], job.metrics[metric]),
        unit=text.id,
        target=target,
        value=value.value,
        parts=value.parts,
        weight=value.weight,
        seconds=outcome.seconds,
        rows=outcome.rows,
        error=outcome.error,
    )


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
