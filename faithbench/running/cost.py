"""What a plan would run and what that would take, without running it: nothing is written, and nothing trained."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from faithbench.activations import UNIT
from faithbench.answering.explaining import targets_of
from faithbench.errors import UserError
from faithbench.models.zoo import zoo_model
from faithbench.paths import as_path
from faithbench.plan import AUTO, Plan
from faithbench.plugins.finding import KINDS
from faithbench.records.store import Store
from faithbench.running.agenda import Agenda, BlockPlan, make_agenda
from faithbench.running.calibration import Calibration, tried
from faithbench.running.drift import SINGLE
from faithbench.running.grid import DatasetPlan, load_examples
from faithbench.running.neuron_cost import neuron_cost
from faithbench.running.pieces import Work
from faithbench.running.progress import duration
from faithbench.running.remaining import Entries, stored_entries
from faithbench.running.runner import default_folder, encode, fitting
from faithbench.running.scoring import Scoring
from faithbench.running.shares import uncounted
from faithbench.shown import counted
from faithbench.tables.parts import Column, Grid, Heading, Note, Number, Part, Title, Words
from faithbench.tables.writers import WRITERS, check_format
from faithbench.training.prepare import Workshop, check_model
from faithbench.training.setup import Setup, best_device


@dataclass(frozen=True)
class BlockCost:
    """One model on one data set.

    Args:
        dataset: as tables show it.
        model: likewise.
        texts: how many, or neurons, those included that have been done.
        explainers: that would be run.
        metrics: likewise; as far as they are known to fit.
        todo: results to do.
        before: results that are there.
        calibration: what texts were found to cost; None where that is not known.
        seconds: that all would take in one process; None where that is not known.
        why: it is not known.
        unit: what `texts` are of: "text" or "neuron".
        said: what would be done besides, in sentences.
        besides: seconds of that, which are no explainer's.
    """

    dataset: str
    model: str
    texts: int
    explainers: tuple[str, ...]
    metrics: tuple[str, ...]
    todo: int
    before: int
    calibration: Calibration | None = None
    seconds: float | None = None
    why: str = ""
    unit: str = "text"
    said: tuple[str, ...] = ()
    besides: float = 0.0

    @property
    def is_counted(self) -> bool:
        """Whether its texts are known, and so its results."""
        return self.texts > 0

    @property
    def is_known(self) -> bool:
        """Whether what it takes is known, of all explainers."""
        if self.calibration is None:
            return self.is_counted and not self.todo
        return all(each.whole for each in self.calibration.explainers.values())


@dataclass(frozen=True)
class PlanCost:
    """What a plan would run and what that would take, into a folder, on a device."""

    blocks: tuple[BlockCost, ...]
    folder: Path
    device: str

    @property
    def seconds(self) -> float:
        """Of all of which it is known, in one process."""
        return sum(block.seconds or 0.0 for block in self.blocks)

    def frame(self) -> pd.DataFrame:
        """A row for each data set, model and explainer: rows and seconds of one text, and seconds of all texts."""
        return pd.DataFrame(
            [
                {"dataset": block.dataset, "model": block.model, "explainer": name, **numbers}
                for block in self.blocks
                for name, numbers in _numbers(block)
            ]
        )

    def render(self, format: str = "markdown") -> str:
        """As text in a format of `faithbench.tables.writers`, or `csv`."""
        check_format(format)
        return self.frame().to_csv(index=False) if format == "csv" else WRITERS[format](self.parts())

    def parts(self) -> list[Part]:
        """As a table for people."""
        rest = f" into {self.folder} on {self.device}; nothing has been written"
        found: list[Part] = [Title("What would be run", rest)]
        for block in self.blocks:
            found += cost_parts(block)
        todo, before = (sum(getattr(block, name) for block in self.blocks) for name in ("todo", "before"))
        more = "" if all(block.is_counted for block in self.blocks) else " and more that cannot be counted yet"
        return [*found, Note(f"{todo:,} results to do{more}, {before:,} are there already; {self._known()}.")]

    def _known(self) -> str:
        """How long it takes; where that is not known of a part, so much and more."""
        is_whole = all(block.is_known for block in self.blocks)
        if not self.seconds:
            return "nothing is left" if is_whole else "nothing is known of the time"
        return f"{'about' if is_whole else 'more than'} {duration(self.seconds)} in one process"


def cost(
    plan: Plan,
    out: Path | str | None = None,
    device: str | None = None,
    agenda: Agenda | None = None,
) -> PlanCost:
    """What `faithbench.run` would do with a plan, and what that would take, from a few seconds of trying.

    Nothing is written and no model is trained; of one that would have to be, nothing but its name is known.

    Args:
        plan: the grid.
        out: the run's folder; None for `runs/` and a name made of data sets and models.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        agenda: what `check_plans` made of this plan, perhaps with others; None to resolve it now.

    Raises:
        UserError: something in the plan is wrong.
    """
    blocks = (agenda or make_agenda([plan], device)).of(plan)
    store = Store(default_folder(plan) if out is None else as_path("out", out))
    dtype = SINGLE if plan.dtype == AUTO else plan.dtype
    setup = Setup(best_device(device), dtype, plan.training, train=False)
    workshop, stored = Workshop(setup), stored_entries(store)
    found = tuple(_block(block, workshop, store, stored) for block in blocks)
    return PlanCost(found, store.folder, setup.device)


def _block(block: BlockPlan, workshop: Workshop, store: Store, stored: Entries) -> BlockCost:
    chosen = block.selection
    names = [tuple(each.label for each in of) for of in (chosen.explainers, chosen.metrics)]
    unit = block.dataset.traits.unit
    usual = BlockCost(block.dataset.label, block.model.label, 0, names[0], names[1], 0, 0, unit=unit)
    if block.dataset.traits.for_model:
        return replace(usual, why="its documents are looked for, and perhaps built, when it is run")
    known = store.manifest().get("datasets", {}).get(block.dataset.identity)
    data = load_examples(block.dataset, chosen, block.split, None if unit == UNIT else block.limit, known)
    try:
        check_model(block.model, block.base, workshop.setup)
    except UserError:
        if zoo_model(block.model.root) is None:
            raise
        if unit == UNIT:
            return replace(usual, why=f"{block.model.label} would be trained first")
        every = len(data.examples) * len(data.explainers) * len(data.metrics)
        labels = tuple(metric.label for metric in data.metrics)
        why = f"{block.model.label} would be trained first"
        return replace(usual, texts=len(data.examples), metrics=labels, todo=every, why=why)
    if unit == UNIT:
        return _of_neurons(block, data, workshop, store, stored)
    return _measured(block, data, workshop, store, stored)


def _of_neurons(block: BlockPlan, data: DatasetPlan, workshop: Workshop, store: Store, stored: Entries) -> BlockCost:
    model = workshop.prepare(block.model, block.base)
    scoring = Scoring(data, model, store, workshop.setup, stored)
    found = neuron_cost(scoring, block.limit)
    return BlockCost(
        data.dataset.label,
        model.label,
        found.neurons,
        tuple(each.label for each in data.explainers),
        tuple(each.label for each in data.metrics),
        found.todo,
        found.neurons * len(data.explainers) * len(data.metrics) - found.todo,
        found.calibration,
        found.seconds,
        "" if found.todo else "there is nothing to try",
        UNIT,
        found.said,
    )


def _measured(block: BlockPlan, data: DatasetPlan, workshop: Workshop, store: Store, stored: Entries) -> BlockCost:
    model = workshop.prepare(block.model, block.base)
    data = fitting(data, model, workshop.setup)
    scoring = Scoring(data, model, store, workshop.setup, stored)
    works = scoring.works(encode(model, data, scoring.remaining.texts(each.id for each in data.examples)).texts)
    todo = sum(len(work.cells) for work in works)
    calibration = scoring.calibrate(works)
    besides, said = _besides(scoring, works) if works else (0.0, ())
    return BlockCost(
        data.dataset.label,
        model.label,
        len(data.examples),
        tuple(each.label for each in data.explainers),
        tuple(each.label for each in data.metrics),
        todo,
        len(data.examples) * len(data.explainers) * len(data.metrics) - todo,
        calibration,
        None if calibration is None else calibration.expected(works) + besides,
        "" if works else "there is nothing to try",
        said=said,
        besides=besides,
    )


def _besides(scoring: Scoring, works: Sequence[Work]) -> tuple[float, tuple[str, ...]]:
    """The seconds that it takes to ask other texts for their class alone, by one of usual length, and a sentence."""
    count, texts = uncounted(scoring), sorted((work.text for work in works), key=len)
    if not count:
        return 0.0, ()
    _, each = tried(scoring.model.classifier, targets_of(scoring.model.classifier, texts[len(texts) // 2]), count)
    seconds = 0.0 if math.isnan(each) else count * each
    told = f"Besides, the classes that it predicts are counted on {counted(count, 'text')} more, one row each"
    return seconds, (f"{told}: about {duration(seconds)}.",)


def cost_parts(block: BlockCost) -> Iterator[Part]:
    """One model on one data set as a table for people: what each explainer costs."""
    yield Heading(f"{block.model} on {block.dataset}")
    unit, (explainer, metric) = block.unit, KINDS[block.unit].values()
    texts = counted(block.texts, unit) if block.is_counted else f"{unit.capitalize()}s not known yet"
    results = f": {counted(block.todo, 'result')} to do, {block.before:,} are there" if block.is_counted else ""
    metrics = f"{counted(len(block.metrics), metric)} ({', '.join(block.metrics)})"
    yield Note(f"{texts} × {counted(len(block.explainers), explainer)} × {metrics}{results}.")
    if block.calibration is None:
        yield Note(f"{explainer.capitalize()}s: {', '.join(block.explainers)}.")
        yield Note(f"What it takes is not known: {block.why}." if not block.is_known else "All is done.")
        return
    yield cost_grid(block)
    yield from map(Note, block.said)
    if block.unit == UNIT:
        return
    yield Note(
        f"Tried on {block.calibration.texts} of the texts, of usual length; rows that several ask for are run once, "
        "and stand with each."
    )


def cost_grid(block: BlockCost) -> Grid:
    """Explainers, the dearest first."""
    unit, (explainer, metric) = block.unit, KINDS[block.unit].values()
    columns = (explainer, f"rows a {unit}", f"time a {unit}", f"its {metric}s' time", f"all {unit}s")
    heads = tuple(Column(name, right=name != explainer) for name in columns)
    return Grid(heads, tuple((Words(name), *_shown(numbers)) for name, numbers in _numbers(block)))


def _shown(numbers: dict[str, float]) -> Sequence[Number | Words]:
    over = "" if numbers["whole"] else "more than "
    return (
        Number(round(numbers["rows"])),
        Words(f"{over}{numbers['text_seconds']:.2f} s"),
        Words(f"{numbers['metrics_seconds']:.2f} s"),
        Words(f"{over}{duration(numbers['seconds'])}"),
    )


def _numbers(block: BlockCost) -> Iterator[tuple[str, dict[str, float]]]:
    """Of each explainer, by its label: rows and seconds of a text, and seconds of all texts that are left."""
    if block.calibration is None:
        return
    for name, seconds in block.calibration.shares((block.seconds or 0.0) - block.besides).items():
        each = block.calibration.explainers[name]
        text = {"rows": each.rows, "text_seconds": each.seconds, "metrics_seconds": each.metrics_seconds}
        yield name, {**text, "seconds": seconds, "whole": each.whole}
