"""Where the number of a cell comes from: records, the report of a training, times. One small class for each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

import numpy as np
import pandas as pd

from faithbench.datasets.seqpg import PUBLISHED as SEGMENTS
from faithbench.paper.cell_records import Claim, only, twice
from faithbench.paper.matching import but_seed, name_of, same, setting, source_of, value_of
from faithbench.paper.run_data import RunData
from faithbench.plugins import spec
from faithbench.records.results import label
from faithbench.records.seeds import without_seed
from faithbench.statistics.intervals import intervals

DECIDING = ("variant", "contrastive")  # parameters that make an explainer another one; others are said below the table
STRICT_PROTOCOL, PAPER_PROTOCOL = "protocol=strict", "protocol=paper"
ONLY_STRICT = "only strict"


@dataclass(frozen=True)
class Subject:
    """What a row of a table speaks of, as specs; `*` in a model stands for the backbone.

    `explainer` has the published settings, and `name` is what the paper calls it.
    """

    model: str
    explainer: str
    dataset: str
    name: str = ""


@dataclass(frozen=True)
class Cell:
    """A number with its interval over `n` texts; NaN if there is none.

    `written` is how it is shown where a number does not say all. `remarks` go below the table, once each. `entries` are
    the records, attributions or trainings that it was made of.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    deviation: float = math.nan
    written: str = ""
    remarks: tuple[str, ...] = ()
    lack: str = ""
    entries: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)


class Source(Protocol):
    """Looks up a cell."""

    has_interval: ClassVar[bool]

    def __call__(self, run_data: RunData, subject: Subject) -> Cell: ...


@dataclass(frozen=True)
class Mean:
    """The mean of a metric over texts; on `documents` of the Sequence Pointing Game if it needs them."""

    metric: str
    documents: bool = False
    has_interval: ClassVar[bool] = True

    def __call__(self, run_data: RunData, subject: Subject) -> Cell:
        claim = only(self._claims(run_data, subject, self.metric))
        if claim is None:
            strict = self.metric.replace(PAPER_PROTOCOL, STRICT_PROTOCOL)
            missed = strict != self.metric and self._claims(run_data, subject, strict)
            return Cell(lack=ONLY_STRICT if missed else "")
        cell = cell_of(claim, tuple(_remarks(claim, subject, self.documents, run_data.model("conv-*"))))
        return replace(cell, entries=run_data.claimed(claim)) if cell.n else cell

    def _claims(self, run_data: RunData, subject: Subject, metric: str) -> list[Claim]:
        wanted = subject.explainer
        return run_data.claims(
            subject.model,
            subject.dataset,
            self.documents,
            lambda full: same("explainer", full, wanted, DECIDING.__contains__),
            metric,
        )


def cell_of(claim: Claim, remarks: tuple[str, ...] = ()) -> Cell:
    """What a claim says."""
    seeds, found, (explainer, metric) = claim.group.seeds, claim.group.intervals, claim.place
    flat, n = explainer * len(seeds.panel.metrics) + metric, claim.texts
    if n == 0:
        return Cell(lack=f"{label('explainer', claim.explainer)} has no value on any text (failed or undefined)")
    trained = int(seeds.count[explainer, metric])
    return Cell(
        float(seeds.panel.means[explainer, metric]),
        float(found.low[flat]),
        float(found.high[flat]),
        n,
        float(seeds.deviation[explainer, metric]),
        remarks=remarks + (_several(claim.group.model, trained),) * (trained > 1),
    )


def _several(model: str, trainings: int) -> str:
    return (
        f"{label('model', model)}: means over {trainings} trainings that differ in their seed; seeds ± is the standard "
        "deviation of their means."
    )


def _remarks(claim: Claim, subject: Subject, documents: bool, judge: str) -> list[str]:
    """Settings of the explainer and of the documents that are not the published ones."""
    found = [setting("explainer", claim.explainer, subject.explainer, but_seed)]
    if documents:
        published = spec.write("seqpg", {"segment": SEGMENTS.get(name_of(subject.dataset), 0)})
        counting = ("segment", "segments", "documents", "confidence")
        found.append(setting("dataset", claim.group.dataset, published, counting.__contains__))
    names = (subject.name, f"SeqPG on {subject.dataset}")
    told = [f"{name}: {each[0]}; the paper: {each[1]}." for name, each in zip(names, found, strict=False) if each]
    named = value_of("dataset", claim.group.dataset, "judge") if documents else None
    if isinstance(named, str) and named and not same("model", named, judge, but_seed):
        told.append(
            f"SeqPG on {subject.dataset}: the texts were judged by {label('model', named)}; the paper: {judge}."
        )
    return told


@dataclass(frozen=True)
class Reported:
    """A number that the training reported, such as the test accuracy in percent: mean over trainings."""

    keys: tuple[str, ...]
    has_interval: ClassVar[bool] = False

    def __call__(self, run_data: RunData, subject: Subject) -> Cell:
        values = run_data.reported(subject.model, subject.dataset, *self.keys)
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        models = [without_seed(each.model) for each in run_data.trained(subject.model, subject.dataset)]
        remarks = tuple(_several(model, len(values)) for model in models[:1] if len(values) > 1)
        entries = _trainings(run_data, subject) if values else pd.DataFrame()
        return Cell(_mean(values), deviation=deviation, remarks=remarks, entries=entries)


@dataclass(frozen=True)
class Steps:
    """Thousands of steps to the best validation accuracy, such as 3.67; of two phases, such as 1+4.33."""

    has_interval: ClassVar[bool] = False

    def __call__(self, run_data: RunData, subject: Subject) -> Cell:
        model, dataset = subject.model, subject.dataset
        reported = [run_data.reported(model, dataset, *keys) for keys in (("start", "best_step"), ("best_step",))]
        phases = [round(_mean(steps) / 1000, 2) for steps in reported]
        if math.isnan(phases[-1]):
            return Cell()
        told = [phase for phase in phases if not math.isnan(phase)]
        written = "+".join(f"{phase:g}" for phase in told)
        return Cell(sum(told), written=written, entries=_trainings(run_data, subject))


def _trainings(run_data: RunData, subject: Subject) -> pd.DataFrame:
    """What identifies the trainings that reported a number."""
    trained = run_data.trained(subject.model, subject.dataset)
    rows = [(source_of(each.dataset), each.model, each.fingerprint or None) for each in trained]
    return pd.DataFrame(rows, columns=["dataset", "model", "model_fingerprint"])


@dataclass(frozen=True)
class Seconds:
    """Mean seconds of an explanation over all attributions that the runs computed for one model."""

    model: str
    has_interval: ClassVar[bool] = True

    def __call__(self, run_data: RunData, subject: Subject) -> Cell:
        frame = run_data.times
        frame = frame[_chosen(frame["model"], lambda full: run_data.is_model(full, self.model))]
        wanted = subject.explainer
        frame = frame[_chosen(frame["explainer"], lambda full: same("explainer", full, wanted, DECIDING.__contains__))]
        explainers = sorted(set(frame["explainer"]))
        if len(explainers) > 1:
            raise twice(*(f"seconds of {label('explainer', each)}" for each in explainers[:2]))
        frame = frame[np.isfinite(pd.to_numeric(frame["seconds"]).to_numpy(dtype=np.float64))]
        values = frame["seconds"].to_numpy(dtype=np.float64)
        if len(values) == 0:
            return Cell()
        apart = setting("explainer", explainers[0], wanted, but_seed)
        remarks = [f"Seconds are over texts of {', '.join(sorted({label('dataset', d) for d in frame['dataset']}))}."]
        remarks += [f"{subject.name}: {apart[0]}; the paper: {apart[1]}."] if apart else []
        found = intervals(values[:, None], np.ones((len(values), 1)))
        low, high = float(found.low[0]), float(found.high[0])
        return Cell(_mean(values), low, high, len(values), remarks=tuple(remarks), entries=frame)


def _chosen(column: "pd.Series[str]", fits: Callable[[str], bool]) -> "pd.Series[bool]":
    return column.map({name: fits(name) for name in column.unique()}).astype(bool)


@dataclass(frozen=True)
class Unmeasured:
    """What runs do not measure."""

    has_interval: ClassVar[bool] = False

    def __call__(self, run_data: RunData, subject: Subject) -> Cell:
        return Cell()


def _mean(values: "Sequence[float] | np.ndarray") -> float:
    finite = [float(value) for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
