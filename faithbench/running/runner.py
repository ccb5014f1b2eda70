"""Runs a plan: crosses data sets and models, and keeps the run's folder."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from faithbench.documents.building import ensure
from faithbench.errors import UserError
from faithbench.files import slug
from faithbench.plan import Plan, write_plan
from faithbench.records.store import Store
from faithbench.running.agenda import Agenda, BlockPlan, make_agenda
from faithbench.running.grid import DatasetPlan, check_fit, fields_present, load_examples
from faithbench.running.manifest import ground_truth_checks, note
from faithbench.running.scoring import Done, Scoring
from faithbench.training.allocator import keep_freed_memory
from faithbench.training.prepare import Prepared, Setup, Workshop, best_device
from faithbench.types import Text

WRITTEN = "# written by faithbench run\n"


@dataclass(frozen=True)
class Run:
    """What a run came to: its folder, and how many cells were done now, were there before, and failed."""

    folder: Path
    done: int
    before: int
    failed: int


def run(
    plan: Plan,
    out: Path | None = None,
    device: str | None = None,
    train: bool = True,
    console: Console | None = None,
    agenda: Agenda | None = None,
) -> Run:
    """Runs a plan, or what is left of it.

    Args:
        plan: the grid.
        out: the run's folder; None for `runs/` and a name made of data sets and models.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        train: whether a named model that has no checkpoint yet may be trained.
        console: where progress goes; None for silence.
        agenda: what `check_plans` made of this plan, perhaps with others; None to resolve it now.

    Raises:
        UserError: something in the plan is wrong. What was measured before stays; nothing is half-written.
    """
    keep_freed_memory()
    setup = Setup(best_device(device), plan.dtype, plan.training, train, console)
    blocks = (agenda or make_agenda([plan], device, train)).of(plan)
    workshop = Workshop(setup)
    texts = _load(blocks, workshop)
    store = Store(out or default_folder(plan)).open()
    try:
        stored = {kind: store.read(kind) for kind in ("attributions", "records")}
        parts, scored = [], set()
        for block in blocks:
            model = workshop.prepare(block.model, block.base)
            if (block.dataset.identity, model.identity) in scored:  # two names of one model on the hub
                continue
            scored.add((block.dataset.identity, model.identity))
            scoring = Scoring(texts[block.dataset.identity], model, store, setup, **stored)
            parts.append(_score(plan, scoring))
    except UserError:
        store.discard_if_empty()
        raise
    store.compact()
    totals = (sum(getattr(part, name) for part in parts) for name in ("done", "before", "failed"))
    return Run(store.folder, *totals)


def _load(blocks: tuple[BlockPlan, ...], workshop: Workshop) -> dict[str, DatasetPlan]:
    """The texts of each data set, by its identity; all mistakes that can be found are found before documents are built.

    Raises:
        UserError: there is a mistake, or a data set cannot be built.
    """
    distinct = {block.dataset.identity: block for block in blocks}
    there = {name: _examples(block) for name, block in distinct.items() if not block.dataset.traits.for_model}
    offered = [
        (block.dataset, there[name].offers if name in there else fields_present(block.dataset))
        for name, block in distinct.items()
    ]
    selection = blocks[0].selection
    check_fit(selection, offered)
    for name, block in distinct.items():
        if name not in there:
            ensure(block.dataset, block.split, workshop)
            there[name] = _examples(block)
    for problem in dict.fromkeys((*selection.left_out, *(line for each in there.values() for line in each.left_out))):
        workshop.setup.say(problem)
    return there


def _examples(block: BlockPlan) -> DatasetPlan:
    return load_examples(block.dataset, block.selection, block.split, block.limit)


def _score(plan: Plan, scoring: Scoring) -> Done:
    """One model on one data set."""
    texts, cut = encode(scoring.model, scoring.texts)
    if cut:
        scoring.setup.say(
            f"{cut:,} of {len(texts):,} texts of {scoring.texts.dataset.label} were cut to the model's limit."
        )
    store = scoring.store
    _write_plan(store, plan)
    checks = ground_truth_checks(scoring, store.manifest())
    note(store, scoring, cut, checks)
    done = scoring.run(texts)
    note(store, scoring, cut, checks, done=True)
    return done


def _write_plan(store: Store, plan: Plan) -> None:
    """Writes the plan into the run's folder, but not over a file that a person wrote."""
    path = store.folder / "plan.toml"
    if not path.exists() or path.read_text(encoding="utf-8").startswith(WRITTEN):
        store.write_text(path.name, WRITTEN + write_plan(plan))


def default_folder(plan: Plan) -> Path:
    """`runs/<data sets>--<models>`, the same for the same command."""
    name = slug("+".join(plan.datasets)) + "--" + slug("+".join(plan.models))
    digest = hashlib.sha256(repr((plan.datasets, plan.models)).encode()).hexdigest()[:8]
    return Path("runs") / (name if len(name) < 100 else f"{name[:90]}-{digest}")


def encode(model: Prepared, data: DatasetPlan) -> tuple[list[Text], int]:
    """The examples as the model reads them, longest first, and how many of them had to be cut."""
    texts = [model.classifier.encode(example) for example in data.examples]
    if data.wants_vocabulary:
        read = {text.id: text for text in texts}
        sample = [read.get(example.id) or model.classifier.encode(example) for example in data.sample]
        vocabulary = np.concatenate([text.ids[text.content] for text in sample])
        texts = [replace(text, vocabulary=vocabulary) for text in texts]
    return sorted(texts, key=len, reverse=True), sum(text.truncated for text in texts)
