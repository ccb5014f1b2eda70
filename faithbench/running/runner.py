"""Runs a plan: crosses data sets and models, and keeps the run's folder."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.text import Text

from faithbench.activations import UNIT
from faithbench.answering.explaining import ready
from faithbench.documents.building import ensure
from faithbench.errors import BrokenModelError, UserError
from faithbench.file_names import cut, digest, slug
from faithbench.models.zoo import zoo_model
from faithbench.paths import as_path
from faithbench.plan import AUTO, Plan
from faithbench.plugins.finding import KINDS
from faithbench.plugins.spec import Component
from faithbench.records.commands import Noted
from faithbench.records.manifest import DatasetEntry
from faithbench.records.store import Store
from faithbench.records.units import TEXT, units_of
from faithbench.running.agenda import Agenda, BlockPlan, make_agenda
from faithbench.running.contents import Contents, named
from faithbench.running.drift import SINGLE, resolve
from faithbench.running.executors import Executor, executor_of
from faithbench.running.grid import DatasetPlan, check_fit, fields_present, load_examples, why_not_link
from faithbench.running.knowledge import known_already, mark_of, what_is_known
from faithbench.running.manifest import note
from faithbench.running.neuron_plans import check_alone
from faithbench.running.neurons import score_neurons
from faithbench.running.overview import overview_html, overview_text
from faithbench.running.readme import write_readme
from faithbench.running.remaining import stored_entries
from faithbench.running.scoring import Done, Scoring
from faithbench.running.shares import note_predicted
from faithbench.running.texts import Keeping
from faithbench.stopping import keeps
from faithbench.tables.cautions import left_out, skipped_entry, strictly
from faithbench.tables.table import table
from faithbench.training.allocator import keep_freed_memory
from faithbench.training.belonging import check_kind, is_language_model
from faithbench.training.encoding import Encoded, encode_examples, readable
from faithbench.training.prepare import Prepared, Workshop
from faithbench.training.setup import Setup, best_device
from faithbench.types import LINKS, read_only


@dataclass(frozen=True)
class Run:
    """What a run came to: its folder, and how many results were made now, were there before, and failed.

    A notebook, and rich, show its table.
    """

    folder: Path
    done: int
    before: int
    failed: int

    @property
    def unit(self) -> str:
        """What its results are of: `neuron` where all are, and `text` otherwise."""
        return UNIT if units_of(Store(self.folder).manifest().get("datasets", {})) == f"{UNIT}s" else TEXT

    def frame(self) -> pd.DataFrame:
        """Its table: a row for each data set, model, explainer and metric (see `faithbench.table`)."""
        return table([self.folder])

    def _repr_html_(self) -> str:
        return overview_html(self.folder)

    def __rich__(self) -> Text:
        return overview_text(self.folder)


@dataclass(frozen=True)
class Options:
    """How a plan is carried out, as `faithbench.run` takes it."""

    device: str | None = None
    train: bool = True
    console: Console | None = None
    strict: bool = False
    timeout: float | None = None
    workers: int | str | None = None
    gpus_per_worker: float | None = None
    noted: Noted | None = None  # of the command, if it is to be noted in the folder


def run(plan: Plan, out: Path | str | None, agenda: Agenda | None, options: Options) -> Run:
    """Runs the texts that an agenda takes, or what is left of them; `faithbench.run` says what is what.

    Raises:
        UserError: something in the plan is wrong. What was measured before stays; nothing is half-written.
    """
    keep_freed_memory()
    setup = Setup(
        best_device(options.device),
        SINGLE if plan.dtype == AUTO else plan.dtype,
        plan.training,
        options.train,
        options.console,
    )
    if setup.device.startswith("cuda") and plan.dtype == SINGLE:
        setup.say("All is computed in float32; --dtype auto is faster on a GPU, and measures what that does to scores.")
    blocks = (agenda or make_agenda([plan], options.device, options.train)).of(plan)
    if blocks[0].dataset.traits.unit == UNIT:
        check_alone(options.workers)
    kinds = KINDS[blocks[0].dataset.traits.unit]
    for explainer in {each.identity: each for block in blocks for each in block.selection.explainers}.values():
        ready(kinds["explainer"], explainer)
    for metric in {each.identity: each for block in blocks for each in block.selection.metrics}.values():
        ready(kinds["metric"], metric)
    workshop = Workshop(setup)
    store = Store(default_folder(plan) if out is None else as_path("out", out))
    texts = _load(blocks, workshop, options.strict, store.manifest().get("datasets", {}))
    _check_kinds(blocks, texts)
    _check_links(blocks, texts, workshop)
    with store.open().alone(lambda holder: setup.say(f"Waiting for another run into {store.folder}: {holder}.")):
        try:
            store.open()  # another that has failed may have removed it
            keeps(partial(kept, store))
            with executor_of(options.workers, options.gpus_per_worker, setup.device, setup.say) as executor:
                return _run(plan, blocks, texts, workshop, store, executor, options)
        except UserError:
            store.discard_if_empty()
            raise


def _run(
    plan: Plan,
    blocks: tuple[BlockPlan, ...],
    texts: Mapping[str, DatasetPlan],
    workshop: Workshop,
    store: Store,
    executor: Executor,
    options: Options,
) -> Run:
    """All blocks of a plan, in a folder that nobody else writes to but the workers."""
    setup, stored, contents = workshop.setup, stored_entries(store), Contents(store)

    def begin() -> None:
        if options.noted is not None:
            options.noted.begin(store)
        contents.add(named(plan, blocks, texts), plan)
        write_readme(store)

    parts, scored, broken, problem = list[Done](), set[tuple[str, str]](), 0, None
    for block in blocks:
        data = texts[block.dataset.identity]
        try:
            dtype = resolve(plan.dtype, plan.drift, block.model, block.base, data, workshop, store)
            model = workshop.prepare(block.model, block.base, dtype)
        except BrokenModelError as error:
            setup.say(str(error))
            problem, broken = error, broken + len(list(block.cells(data.offers))) * len(data.examples)
            continue
        if (block.dataset.identity, model.identity) in scored:  # two names of one model on the hub
            continue
        scored.add((block.dataset.identity, model.identity))
        data, measuring = fitting(data, model, setup), replace(setup, dtype=dtype)
        if data.metrics:
            scoring = Scoring(data, model, store, measuring, stored, options.timeout)
            if data.dataset.traits.unit == UNIT:
                parts.append(score_neurons(begin, scoring, block.limit))
            else:
                parts.append(_score(begin, scoring, options.strict, executor))
    if problem and not parts:
        raise problem
    store.compact()
    done, before, failed = (sum(getattr(part, name) for part in parts) for name in ("done", "before", "failed"))
    return Run(store.folder, done, before, failed + broken)


def kept(store: Store) -> str:
    """What a run that was stopped has on disk, in words; "" for nothing."""
    for kind, one in (("records", "result"), ("attributions", "explanation")):
        if count := store.count(kind):
            return f"{count:,} {one}{'s are' if count > 1 else ' is'} kept in {store.folder}"
    return ""


def _load(
    blocks: tuple[BlockPlan, ...], workshop: Workshop, strict: bool, earlier: Mapping[str, DatasetEntry]
) -> dict[str, DatasetPlan]:
    """The texts of each data set, by its identity; all mistakes that can be found are found before documents are built.

    Raises:
        UserError: there is a mistake, or a data set cannot be built.
    """
    distinct = {block.dataset.identity: block for block in blocks}
    there = {name: _examples(block, earlier) for name, block in distinct.items() if not block.dataset.traits.for_model}
    offered = [
        (block.dataset, there[name].offers if name in there else fields_present(block.dataset))
        for name, block in distinct.items()
    ]
    selection = blocks[0].selection
    check_fit(selection, offered)
    for name, block in distinct.items():
        if name not in there:
            ensure(block.dataset, block.split, workshop)
            there[name] = _examples(block, earlier)
    said = (line for each in there.values() for line in (*each.notes, *each.left_out))
    for problem in dict.fromkeys((*selection.left_out, *said)):
        workshop.setup.say(problem)
    for each in there.values():
        if each.sampling == "random":
            workshop.setup.say(
                f"{each.dataset.label}: texts are drawn on at random, as this run began; a new folder has as many of "
                "each label as the data set."
            )
        if each.skipped:
            if strict:
                raise UserError(f"{each.dataset.label}: {strictly(each.skipped)}")
            told = left_out(skipped_entry(each.skipped, each.split_texts + len(each.skipped)))
            workshop.setup.say(f"{each.dataset.label}: {told}")
    return there


def _check_kinds(blocks: tuple[BlockPlan, ...], texts: Mapping[str, DatasetPlan]) -> None:
    """No model is trained or loaded for a data set that it cannot be asked about, as far as that is known before.

    Raises:
        UserError: not so.
    """
    for block in blocks:
        known = is_language_model(block.model)
        if known is not None and block.dataset.traits.unit == "text":
            check_kind(block.model.label, known, block.dataset.label, "good" in texts[block.dataset.identity].offers)


def _check_links(blocks: tuple[BlockPlan, ...], texts: Mapping[str, DatasetPlan], workshop: Workshop) -> None:
    """Every metric that is named can measure some model; models are made real as far as that must be known.

    Raises:
        UserError: not so.
    """
    for metric in blocks[0].selection.metrics if blocks[0].selection.metrics_named else ():
        fitting = [block for block in blocks if metric in texts[block.dataset.identity].metrics]
        reasons = []
        for block in fitting if metric.traits.links != LINKS else ():
            reason = _why_not_block(metric, block, workshop)
            if reason is None:
                break
            reasons.append(reason)
        else:
            if reasons:
                raise UserError("; ".join(dict.fromkeys(reasons)) + ".")


def _why_not_block(metric: Component, block: BlockPlan, workshop: Workshop) -> str | None:
    """Why a metric is not run on a model; those that are trained here all say one class of several."""
    if zoo_model(block.model.root) and "softmax" in metric.traits.links:
        return None
    try:
        return why_not_link(metric, workshop.prepare(block.model, block.base))
    except BrokenModelError as error:
        return str(error).rstrip(".")


def fitting(data: DatasetPlan, model: Prepared, setup: Setup) -> DatasetPlan:
    """The data set with the metrics that can measure such a model; of the others it is said why not."""
    reasons = {metric: why_not_link(metric, model) for metric in data.metrics}
    for reason in filter(None, reasons.values()):
        setup.say(f"left out: {reason}")
    return replace(data, metrics=tuple(metric for metric, reason in reasons.items() if reason is None))


def _examples(block: BlockPlan, earlier: Mapping[str, DatasetEntry]) -> DatasetPlan:
    known = earlier.get(block.dataset.identity)
    limit = block.limit if block.dataset.traits.unit != UNIT else None  # of neurons, and not of documents
    return load_examples(block.dataset, block.selection, block.split, limit, known)


def _score(begin: Callable[[], None], scoring: Scoring, strict: bool, executor: Executor) -> Done:
    """One model on one data set; of texts of which the manifest says all, only those with cells left are read.

    Before anything is written of it, and once it is known that it can be run, it is begun.
    """
    store, examples = scoring.store, scoring.texts.examples
    mark = mark_of(scoring)
    known = known_already(scoring, mark, store.manifest())
    keeping = Keeping(store, scoring.identity, scoring.model)
    todo = None if known is None else _open_texts(scoring, keeping)
    read = Encoded((), {}) if todo == set() else encode(scoring.model, scoring.texts, todo)
    _check_read(scoring, read, strict)
    keeping.check(read.texts, scoring.model.label)
    count = len(read.texts) if todo is None else len(examples)
    begin()
    if known is None:
        known = what_is_known(scoring, read, store.manifest(), mark)
    if known.truncated:
        scoring.setup.say(
            f"{known.truncated:,} of {count:,} texts of {scoring.texts.dataset.label} were cut to the model's limit."
        )
    for sentence in known.sentences:
        scoring.setup.say(f"{scoring.model.label} on {scoring.texts.dataset.label}: {sentence}")
    note(store, scoring, known)
    keeping.keep(read, known.told)
    done = scoring.run(read.texts, executor, count)
    note(store, scoring, known, done=True)
    note_predicted(scoring, keeping.classes())
    return done


def _open_texts(scoring: Scoring, keeping: Keeping) -> set[str]:
    """The ids of texts that have cells left, or are not kept yet."""
    ids = [example.id for example in scoring.texts.examples]
    return scoring.remaining.texts(ids) | keeping.missing(ids)


def _check_read(scoring: Scoring, read: Encoded, strict: bool) -> None:
    """There is a text that the model can read; and none that it cannot, if that is asked for."""
    if read.skipped and (strict or not read.texts):
        entry = skipped_entry(read.skipped, len(scoring.texts.examples))
        told = strictly(read.skipped) if strict else left_out(entry)
        raise UserError(f"{scoring.model.label} on {scoring.texts.dataset.label}: {told}")


def default_folder(plan: Plan) -> Path:
    """`runs/<data sets>--<models>`, the same for the same command."""
    name = slug("+".join(plan.datasets)) + "--" + slug("+".join(plan.models))
    return Path("runs") / (
        name if len(name.encode()) < 100 else f"{cut(name, 90)}-{digest(repr((plan.datasets, plan.models)))}"
    )


def encode(model: Prepared, data: DatasetPlan, only: Collection[str] | None = None) -> Encoded:
    """The examples as the model reads them, longest first.

    Args:
        model: which.
        data: the examples.
        only: ids of those that are read; None for all.

    Raises:
        UserError: a label means no class of the model.
    """
    read = encode_examples(model, data.dataset, data.examples, only)
    texts = list(read.texts)
    if data.wants_vocabulary:
        known = {text.id: text for text in texts}
        others, _ = readable(model.classifier, (each for each in data.sample if each.id not in known))
        known |= {text.id: text for text in others}
        sample = [known[each.id] for each in data.sample if each.id in known]
        vocabulary = read_only(np.concatenate([text.ids[text.content] for text in sample])) if sample else None
        texts = [replace(text, vocabulary=vocabulary) for text in texts]
    return replace(read, texts=tuple(sorted(texts, key=len, reverse=True)))
