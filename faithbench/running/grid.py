"""What of a plan's components fits a data set, and the examples to score."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields

from faithbench.datasets.fingerprint import fingerprint
from faithbench.errors import UserError
from faithbench.plan import Plan
from faithbench.plugins import finding, spec
from faithbench.plugins.finding import KINDS
from faithbench.plugins.spec import Component
from faithbench.plugins.traits import read_trait
from faithbench.records.manifest import DatasetEntry, Sampling, sampling_of
from faithbench.running.sampling import sampled, shuffled
from faithbench.tables.cautions import left_out, skipped_entry
from faithbench.training.prepare import Prepared
from faithbench.types import Example, Skipped

SAMPLE = 1000  # texts that stand for a split
SAYS = {
    "softmax": "one class of several",
    "sigmoid": "several labels (multi-label)",
    "identity": "a value (regression)",
}
VOCABULARY = "vocabulary"  # a need of metrics that every data set meets


@dataclass(frozen=True)
class Selection:
    """The explainers and metrics of a plan."""

    explainers: tuple[Component, ...]
    metrics: tuple[Component, ...]
    left_out: tuple[str, ...] = ()  # why components that were not named cannot be used
    metrics_named: bool = True  # else all that are installed and fit


@dataclass(frozen=True)
class DatasetPlan:
    """A data set with the examples to score, and what of a selection fits it."""

    dataset: Component
    explainers: tuple[Component, ...]
    metrics: tuple[Component, ...]
    examples: tuple[Example, ...]
    fingerprint: str
    left_out: tuple[str, ...] = ()  # why components cannot be used here
    sample: tuple[Example, ...] = ()  # the same for every limit
    offers: frozenset[str] = frozenset()  # what a metric can find in the split
    split: str = "test"
    split_texts: int = 0  # before the limit
    skipped: tuple[Skipped, ...] = ()  # rows of the split that cannot be used
    sampling: Sampling = "all"
    every: tuple[Example, ...] = ()  # the split
    notes: tuple[str, ...] = ()  # of the data set, on the split

    @property
    def wants_vocabulary(self) -> bool:
        """Whether some metric draws from the tokens of the data."""
        return any(VOCABULARY in metric.traits.needs for metric in self.metrics)


def select_components(plan: Plan, unit: str = "text") -> Selection:
    """The explainers and metrics of a plan; where its data sets are of neurons, the describers and scores.

    Raises:
        UserError: one that is named cannot be built.
    """
    common = {} if plan.protocol is None else {"protocol": plan.protocol}
    kinds = KINDS[unit]
    explainers, unusable = _build(kinds["explainer"], plan.explainers, common)
    metrics, useless = _build(kinds["metric"], plan.metrics, common)
    return Selection(tuple(explainers), tuple(metrics), (*unusable, *useless), bool(plan.metrics))


def load_examples(
    dataset: Component,
    selection: Selection,
    split: str,
    limit: int | None,
    earlier: DatasetEntry | None = None,
) -> DatasetPlan:
    """The examples of a data set, and those of the components that fit them.

    Args:
        dataset: which.
        selection: explainers and metrics.
        split: of the data set.
        limit: texts; None for all.
        earlier: what the run's manifest says of the data set already; texts are drawn on as they were.

    Raises:
        UserError: the examples cannot be had, or there is none that can be used.
    """
    every = list(dataset.object.load(split))
    skipped = tuple(dataset.object.skipped(split)) if dataset.traits.skipped else ()
    if not every:
        cause = f": {left_out(skipped_entry(skipped, len(skipped)))}" if skipped else "."
        raise UserError(f"{dataset.identity} has no row that can be used in its {split} split{cause}")
    content = fingerprint(every)
    sampling = _sampling(limit, len(every), earlier if earlier and earlier["fingerprint"] == content else None)
    offered = fields_present(dataset, every)
    reasons = [why_not(metric, dataset, offered) for metric in selection.metrics]
    return DatasetPlan(
        dataset,
        selection.explainers,
        tuple(metric for metric, reason in zip(selection.metrics, reasons, strict=True) if reason is None),
        sampled(every, limit, sampling),
        content,
        _passed_over(dataset, selection.metrics, reasons) if selection.metrics_named else (),
        tuple(every[i] for i in shuffled(len(every))[:SAMPLE]),
        offered,
        split,
        len(every),
        skipped,
        sampling,
        tuple(every),
        tuple(dataset.object.notes(split)) if dataset.traits.notes else (),
    )


def _sampling(limit: int | None, count: int, earlier: DatasetEntry | None) -> Sampling:
    """How a limit takes texts of so many: a run that drew them at random goes on so."""
    if not limit or limit >= count:
        return "all"
    return "random" if earlier and sampling_of(earlier) == "random" else "stratified"


def fields_present(dataset: Component, examples: Sequence[Example] = ()) -> frozenset[str]:
    """What a metric can find in a data set; one that is yet to be built has what it is built for."""
    if dataset.traits.for_model:
        return frozenset(name for name in [dataset.traits.only_for] if name)
    names = [field.name for field in fields(Example)]
    return frozenset(name for name in names if any(getattr(e, name) is not None for e in examples))


def why_not(metric: Component, dataset: Component, offered: Collection[str]) -> str | None:
    """Why a metric is not run on a data set; None if it is."""
    lacking = next((need for need in metric.traits.needs if need not in offered and need != VOCABULARY), None)
    if lacking is not None:
        return f"metric {metric.label!r} needs {lacking}, which {dataset.identity} lacks"
    only = dataset.traits.only_for
    if only is not None and only not in metric.traits.needs:
        return f"metric {metric.label!r} does not need {only}, and {dataset.identity} is only for metrics that do"
    return None


def why_not_link(metric: Component, model: Prepared) -> str | None:
    """Why a metric is not run on a model; None if it is."""
    link = model.classifier.task.link
    if link in metric.traits.links:
        return None
    measured = " or ".join(SAYS[each] for each in metric.traits.links)
    return f"metric {metric.label!r} measures models that say {measured}, and {model.label} says {SAYS[link]}"


def check_fit(selection: Selection, datasets: Sequence[tuple[Component, Collection[str]]]) -> None:
    """Every metric that is named runs on some data set, and every data set has a metric.

    Args:
        selection: explainers and metrics.
        datasets: with what they offer.

    Raises:
        UserError: not so.
    """
    reasons = [[why_not(metric, *dataset) for dataset in datasets] for metric in selection.metrics]
    for mine in reasons if selection.metrics_named else ():
        if all(mine):
            raise UserError("; ".join(str(reason) for reason in dict.fromkeys(mine)) + ".")
    for (dataset, _), theirs in zip(datasets, zip(*reasons, strict=True), strict=False):
        if all(theirs):
            named = "of the plan" if selection.metrics_named else "that is installed"
            raise UserError(f"no metric {named} can be run on {dataset.identity}.")


def _build(kind: str, texts: Sequence[str], common: Mapping[str, object]) -> tuple[list[Component], list[str]]:
    """The components named, or all that run without being named; and why some of those cannot."""
    if texts:
        return [spec.build(kind, text, common) for text in texts], []
    built, problems = [], []
    for name, plugin in finding.find(kind).items():
        try:
            if _runs_unnamed(plugin):
                built.append(spec.build(kind, name, common))
        except UserError as error:
            problems.append(f"left out: {error}")
    return built, problems


def _runs_unnamed(plugin: finding.Plugin) -> bool:
    """Not what must be told something, and not what wants to be asked for by name."""
    told = any(p.default is p.empty for p in plugin.signature().parameters.values())
    return not told and not read_trait(plugin.load(), "on_request", f"{plugin.kind} {plugin.name!r}")


def _passed_over(dataset: Component, metrics: Sequence[Component], reasons: Sequence[str | None]) -> tuple[str, ...]:
    names = [metric.label for metric, reason in zip(metrics, reasons, strict=True) if reason is not None]
    return (f"not run on {dataset.label}, which they do not fit: {', '.join(names)}",) if names else ()
