"""Runs a plan with more and more texts, until it is known well enough by how much the leaders lead (`until`)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console

from faithbench.comparing.leading import Leading, leading
from faithbench.console import say
from faithbench.errors import UserError
from faithbench.paths import as_path
from faithbench.plan import Plan, write_plan
from faithbench.records.commands import Noted
from faithbench.records.manifest import LeadingEntry, Look, Manifest, UntilEntry
from faithbench.records.results import degrades, named, panels, predicted_classes, read
from faithbench.records.store import Store
from faithbench.running import runner
from faithbench.running.agenda import Agenda, BlockPlan, make_agenda
from faithbench.running.options import check_options
from faithbench.running.runner import Options, Run, default_folder
from faithbench.statistics.sequential import START, Watch, looks
from faithbench.tables.looking import looked
from faithbench.training.hardware import machine
from faithbench.training.setup import best_device


def run(
    plan: Plan,
    out: Path | str | None = None,
    device: str | None = None,
    train: bool = True,
    console: Console | None = None,
    agenda: Agenda | None = None,
    strict: bool = False,
    timeout: float | None = None,
    workers: int | str | None = None,
    gpus_per_worker: float | None = None,
) -> Run:
    """Runs a plan, or what is left of it.

    With `until` in the plan texts are added, as a larger `limit` would add them, and after each time the leading
    differences are looked at; a data set is finished where all of them, on all its models, are narrow enough, or there
    are no more texts. A run that was killed goes on at the look that it had come to.

    Args:
        plan: the grid.
        out: the run's folder; None for `runs/` and a name made of data sets and models.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        train: whether a named model that has no checkpoint yet may be trained.
        console: where progress goes; None for silence.
        agenda: what `check_plans` made of this plan, perhaps with others; None to resolve it now.
        strict: whether a row that cannot be used stops the run; otherwise it is left out, and said to be.
        timeout: seconds that an explainer or metric may take for one text and target, or those results fail; None for
            any time.
        workers: processes that share the work, each with a model of its own; None or 1 for this one alone; `ray` for a
            Ray cluster, the one that is there or else one of this machine (docs/scale.md).
        gpus_per_worker: with `ray`: None for one if `device` is a GPU; two workers share one with 0.5.

    Raises:
        UserError: something in the plan is wrong. What was measured before stays; nothing is half-written.
    """
    check_options(timeout, workers, gpus_per_worker)
    noted = Noted(machine(torch.device(best_device(device))), write_plan(plan))
    options = Options(device, train, console, strict, timeout, workers, gpus_per_worker, noted)
    if plan.until is None:
        found = runner.run(plan, out, agenda, options)
    else:
        found = _in_rounds(plan, plan.until, out, agenda, options)
    noted.end(done=found.done, before=found.before, failed=found.failed)
    return found


def _in_rounds(plan: Plan, until: float, out: Path | str | None, agenda: Agenda | None, options: Options) -> Run:
    """Runs a plan with more and more texts, until the leading differences are so narrow."""
    device, train, console = options.device, options.train, options.console
    blocks = (agenda or make_agenda([plan], device, train)).of(plan)
    _check_leads(until, blocks)
    folder = default_folder(plan) if out is None else as_path("out", out)
    watched = {block.dataset.identity: _Watched(block, blocks, folder, until) for block in blocks}
    limits, going, rounds = {name: each.first() for name, each in watched.items()}, set(watched), list[Run]()
    while going:
        chosen = tuple(replace(block, limit=limits[block.dataset.identity]) for block in blocks)
        asked = Agenda((plan,), (chosen,))
        rounds.append(runner.run(plan, folder, asked, options))
        for name in [each for each in watched if each in going]:
            following = watched[name].after(limits[name], console)
            if following is None:
                going.remove(name)
            else:
                limits[name] = following
    return Run(folder, sum(each.done for each in rounds), rounds[0].before, rounds[-1].failed)


def _check_leads(until: float, blocks: Sequence[BlockPlan]) -> None:
    """There may be a leader.

    Raises:
        UserError: no metric has a better or worse, and there is more than one explainer.
    """
    selection = blocks[0].selection
    several = [each for each in selection.explainers if degrades(each.identity) is None]
    if len(several) > 1 and all(metric.traits.higher_is_better is None for metric in selection.metrics):
        names = ", ".join(metric.label for metric in selection.metrics)
        raise UserError(
            f"until={until} needs a metric by which explainers are better or worse, and {names} "
            f"{'is' if len(selection.metrics) == 1 else 'are'} none; name another with --metric."
        )


class _Watched:
    """A data set whose texts are added by looking: what of the plan is on it, and where its records are."""

    def __init__(self, block: BlockPlan, blocks: Sequence[BlockPlan], folder: Path, until: float) -> None:
        self.dataset, self.limit, self.until, self.store = block.dataset, block.limit, until, Store(folder)
        self.models = {each.model.identity for each in blocks if each.dataset.identity == block.dataset.identity}
        self.explainers = {each.identity for each in block.selection.explainers}
        self.metrics = {each.identity for each in block.selection.metrics}

    def first(self) -> int:
        """How many texts the first round takes: as many as a look takes that holds all those measured before."""
        entry = self.store.manifest().get("datasets", {}).get(self.dataset.identity)
        if entry is None or "split_texts" not in entry:
            return min(START, self.limit or START)
        there = max(entry.get("texts", 0), self._measured())
        return self._next(there - 1, entry["split_texts"])

    def after(self, texts: int, console: Console | None) -> int | None:
        """How many texts the next round takes, now that so many are measured; None where this is enough.

        Looks if there is to be a look at so many; says what it came to, and writes it down.
        """
        data = self.store.manifest().get("datasets", {}).get(self.dataset.identity)
        if data is None:  # no metric of the plan can measure a model on it
            return None
        total, planned = data["split_texts"], looks(data["split_texts"])
        texts, most = min(texts, total), min(self.limit or total, total)
        if texts < most and texts not in planned:
            return self._next(texts, total)
        before = self.store.manifest().get("until", {}).get(self.dataset.identity)
        before = before if before is not None and before["fingerprint"] == data["fingerprint"] else None
        taken = [] if before is None else before["looks"]
        watch = Watch(planned, texts, tuple(each["texts"] for each in taken if not each["planned"]))
        found = [each for each in self._leading(watch) if each.is_near]
        width = max((each.width for each in found), default=math.inf)
        look: Look = {"texts": texts, "level": watch.level(), "width": _finite(width), "planned": texts in planned}
        entry: UntilEntry = {
            "fingerprint": data["fingerprint"],
            "until": self.until,
            "split_texts": total,
            "planned": len(planned),
            "looks": [*(each for each in taken if each["texts"] != texts), look],
            "ended": "narrow" if width <= self.until else "" if texts < most else "limit" if most < total else "split",
            "leading": [*self._others(before), *(_entry(each) for each in found if math.isfinite(each.width))],
        }
        self._write(entry)
        say(console, f"{self.dataset.label}: {looked(entry)}")
        return None if entry["ended"] else self._next(texts, total)

    def _next(self, texts: int, total: int) -> int:
        """The number of texts at the first look with more than so many, or the most that may be measured."""
        most = min(self.limit or total, total)
        return next((n for n in looks(total) if texts < n < most), most)

    def _records(self) -> pd.DataFrame:
        """Of what the plan asks for on this data set, and of the weights and data that the run is about."""
        frame = read([self.store.folder])
        frame = frame[(frame["dataset"] == self.dataset.identity) & frame["explainer"].isin(self.explainers)]
        frame = frame[frame["metric"].isin(self.metrics)]
        frame = frame[named(frame, [self.store.folder], strictly=True)]
        mine = frame["model"].isin(self.models)
        return frame[mine] if mine.any() else frame  # a model of the hub may be recorded by another name

    def _measured(self) -> int:
        """On how many texts something was measured."""
        try:
            return int(self._records()["unit"].nunique())
        except UserError:  # nothing yet
            return 0

    def _leading(self, watch: Watch) -> Iterator[Leading]:
        for panel in panels(self._records(), predicted=predicted_classes([self.store.folder])):
            yield from leading(panel, watch)

    def _others(self, before: UntilEntry | None) -> list[LeadingEntry]:
        """What was known of leaders of which this plan says nothing, as another plan of the folder may have."""
        leaders = [] if before is None else before["leading"]
        return [each for each in leaders if each["model"] not in self.models or each["metric"] not in self.metrics]

    def _write(self, entry: UntilEntry) -> None:
        def change(manifest: Manifest) -> None:
            manifest.setdefault("until", {})[self.dataset.identity] = entry

        self.store.change_manifest(change)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _entry(found: Leading) -> LeadingEntry:
    return {
        "model": found.model,
        "metric": found.metric,
        "leader": found.leader,
        "other": found.other,
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
    }
