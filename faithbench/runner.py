"""The loop: crosses data sets, models, explainers and metrics, asks the engine, and stores what comes back."""

import hashlib
import json
import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from faithbench import plugins, spec
from faithbench.attributions import explain, predict
from faithbench.bcos.train import hardware
from faithbench.datasets.build import build_dataset
from faithbench.engine import Engine
from faithbench.errors import UserError
from faithbench.models.prepare import Prepared, Setup, best_device, check_model, prepare, slug
from faithbench.plan import Plan, write_plan
from faithbench.progress import Tracker
from faithbench.questions import Conversation, Outcome, ask, together
from faithbench.spec import Component
from faithbench.store import Store
from faithbench.types import Attribution, Example, Measurement, Record, Text

PACKAGES = ("faithbench", "torch", "transformers", "numpy")


@dataclass(frozen=True)
class Grid:
    """A plan whose components are loaded, for one data set."""

    dataset: Component
    explainers: tuple[Component, ...]
    metrics: tuple[Component, ...]
    examples: tuple[Example, ...]
    fingerprint: str


@dataclass(frozen=True)
class Run:
    """What a run came to: its folder, and how many cells were done now, were there before, and failed."""

    folder: Path
    done: int
    before: int
    failed: int


@dataclass(frozen=True)
class _Scored:
    """What came of one text."""

    text_id: str
    attributions: list[dict[str, Any]]
    records: list[Record]


def run(
    plan: Plan,
    out: Path | None = None,
    device: str | None = None,
    train: bool = True,
    console: Console | None = None,
) -> Run:
    """Runs a plan, or what is left of it.

    Args:
        plan: the grid.
        out: the run's folder; None for `runs/` and a name made of data sets and models.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        train: whether a named model that has no checkpoint yet may be trained.
        console: where progress goes; None for silence.

    Raises:
        UserError: something in the plan is wrong; nothing has been written then.
    """
    setup = Setup(best_device(device), plan.dtype, plan.training, train, _say(console))
    grids = [load_grid(plan, text) for text in plan.datasets]
    for grid in grids:
        for text in plan.models:
            check_model(text, grid.dataset, setup)
    store = Store(out or default_folder(plan)).open()
    try:
        for kind in ("attributions", "records"):
            store.read(kind)
        parts = [_run_block(plan, grid, text, store, setup, console) for grid in grids for text in plan.models]
    except UserError:
        store.discard_if_empty()
        raise
    store.compact()
    totals = (sum(getattr(part, name) for part in parts) for name in ("done", "before", "failed"))
    return Run(store.folder, *totals)


def _run_block(plan: Plan, grid: Grid, text: str, store: Store, setup: Setup, console: Console | None) -> Run:
    """One model on one data set."""
    model = prepare(text, grid.dataset, setup)
    texts, cut = encode(model, grid.examples)
    if cut:
        setup.say(f"{cut:,} of {len(texts):,} texts of {grid.dataset.short} were cut to the model's limit.")
    block = _Block(grid, model, store, console)
    store.write_text("plan.toml", write_plan(plan))
    _note(store, grid, model, cut, setup)
    done = block.run(texts)
    _note(store, grid, model, cut, setup, block.mean_notes())
    return done


def _say(console: Console | None) -> Callable[[str], None]:
    """Prints plain lines, or nothing."""
    return partial(console.print, markup=False, highlight=False, soft_wrap=True) if console else lambda text: None


def default_folder(plan: Plan) -> Path:
    """`runs/<data sets>--<models>`, the same for the same command."""
    name = slug("+".join(plan.datasets)) + "--" + slug("+".join(plan.models))
    digest = hashlib.sha256(repr((plan.datasets, plan.models)).encode()).hexdigest()[:8]
    return Path("runs") / (name if len(name) < 100 else f"{name[:90]}-{digest}")


def load_grid(plan: Plan, dataset: str) -> Grid:
    """The components of a plan for one data set, and the examples to score.

    Raises:
        UserError: a component cannot be built, or a metric needs what the data set lacks.
    """
    component = build_dataset(dataset)
    every = list(component.object.load(plan.split))
    names = component.object.class_names
    if len(names) < 2:
        raise UserError(f"{dataset} has only one class; at least two are needed.")
    order = np.random.default_rng(0).permutation(len(every))[: plan.limit]
    examples = tuple(every[i] for i in (sorted(order) if plan.limit else range(len(every))))
    common = {} if plan.protocol is None else {"protocol": plan.protocol}
    explainers = [spec.build("explainer", text, common) for text in plan.explainers or plugins.find("explainer")]
    metrics = [spec.build("metric", text, common) for text in plan.metrics or plugins.find("metric")]
    fitting = [metric for metric in metrics if not _lacks(metric, examples)]
    if plan.metrics and len(fitting) < len(metrics):
        metric = next(metric for metric in metrics if metric not in fitting)
        raise UserError(f"metric {metric.short!r} needs {_lacks(metric, examples)}, which {component.full} lacks.")
    return Grid(component, tuple(explainers), tuple(fitting), examples, fingerprint(every))


def fingerprint(examples: Sequence[Example]) -> str:
    """A hash of ids, texts, labels and marks."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(repr(example).encode())
    return digest.hexdigest()[:16]


def encode(model: Prepared, examples: Sequence[Example]) -> tuple[list[Text], int]:
    """The examples as the model reads them, longest first, and how many of them had to be cut."""
    texts = [model.classifier.encode(example) for example in examples]
    return sorted(texts, key=len, reverse=True), sum(text.truncated for text in texts)


def _lacks(metric: Component, examples: Sequence[Example]) -> str | None:
    needs: Sequence[str] = getattr(metric.object, "needs", ())
    return next((need for need in needs if all(getattr(e, need, None) is None for e in examples)), None)


def _note(
    store: Store,
    grid: Grid,
    model: Prepared,
    cut: int,
    setup: Setup,
    notes: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Writes down what is known of a model on a data set; `notes` once all its texts are scored."""
    manifest = store.manifest()
    manifest["versions"] = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    manifest.setdefault("datasets", {})[grid.dataset.full] = {
        "label": grid.dataset.short,
        "fingerprint": grid.fingerprint,
        "texts": len(grid.examples),
    }
    manifest.setdefault("models", {})[f"{model.full} on {grid.dataset.full}"] = {
        "label": model.short,
        "fingerprint": model.classifier.fingerprint(),
        "dtype": setup.dtype,
        "truncated_texts": cut,
        "hardware": hardware(torch.device(setup.device)),
        "training": dict(model.report),
        "notes": notes or {},
    }
    store.write_text("manifest.json", json.dumps(manifest, indent=2) + "\n")


class _Block:
    """One model on one data set: what is left to do, and doing it."""

    def __init__(self, grid: Grid, model: Prepared, store: Store, console: Console | None) -> None:
        self.grid, self.model, self.store, self.console = grid, model, store, console
        self.identity = {
            "dataset": grid.dataset.full,
            "dataset_fingerprint": grid.fingerprint,
            "model": model.full,
            "model_fingerprint": model.classifier.fingerprint(),
        }
        self.explainers = {e.full: e for e in grid.explainers}
        self.metrics = {m.full: m for m in grid.metrics}
        self.known = self._known_attributions()
        self.finished = self._finished_cells()

    def run(self, texts: Sequence[Text]) -> Run:
        """Scores the texts that have cells left."""
        wanted = [(e, m) for e in self.explainers for m in self.metrics]
        todo = {text.id: [cell for cell in wanted if (*cell, text.id) not in self.finished] for text in texts}
        open_texts = [text for text in texts if todo[text.id]]
        left = sum(map(len, todo.values()))
        before = len(texts) * len(wanted) - left
        title = f"{self.model.short} on {self.grid.dataset.short}"
        _say(self.console)(
            f"{title}: {len(texts):,} texts × {len(self.explainers)} explainers × {len(self.metrics)} metrics = "
            f"{len(texts) * len(wanted):,} cells, {before:,} of them done already."
        )
        engine = Engine(self.model.classifier)
        failed = 0
        work = {
            text.id: len(text) * (100 + len(text)) for text in open_texts
        }  # rows grow with length, and so does a row
        with Tracker(title, len(open_texts), sum(work.values()), len(wanted), self.console) as tracker:
            try:
                conversations = (self._converse(text, todo[text.id]) for text in open_texts)
                for scored in engine.run(conversations):
                    self.store.add(scored.attributions, scored.records)
                    failed += sum(record.error is not None for record in scored.records)
                    tracker.done(work[scored.text_id], engine.counts.run)
            finally:
                self.store.flush()
        if open_texts:
            _say(self.console)(f"{title}: {engine.counts.asked:,} rows asked, {engine.counts.run:,} run.")
        return Run(self.store.folder, left, before, failed)

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
        new = yield from together({e: explain(self.explainers[e], text, target) for e in needed if e not in found})
        usable = found | {e: outcome.value for e, outcome in new.items() if outcome.value is not None}
        measured = yield from together(
            {(e, m): ask(self.metrics[m].object, text, usable[e]) for e, m in cells if e in usable}
        )
        failed = {
            (e, m): Outcome[Measurement](error=f"explainer failed: {new[e].error}") for e, m in cells if e not in usable
        }
        attributions = [self._attribution(e, text, target, outcome) for e, outcome in new.items()]
        records = [self._record(cell, text, target, outcome) for cell, outcome in (measured | failed).items()]
        return _Scored(text.id, attributions, records)

    def _attribution(self, explainer: str, text: Text, target: int, outcome: Outcome[Attribution]) -> dict[str, Any]:
        value = outcome.value
        return {
            **self.identity,
            "explainer": explainer,
            "version": str(self.explainers[explainer].version),
            "text_id": text.id,
            "target": target,
            "scores": None if value is None else value.scores.tolist(),
            "notes": json.dumps(dict(value.notes)) if value is not None and value.notes else None,
            "seconds": outcome.seconds,
            "rows": outcome.rows,
            "error": outcome.error,
        }

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
                known[explainer.full, row.text_id] = Attribution(row.text_id, row.target, scores, notes)
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
