"""One data set of a plan with its components loaded, checked before anything runs."""

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from faithbench.datasets.fingerprint import fingerprint
from faithbench.errors import UserError
from faithbench.plan import Plan
from faithbench.plugins import finding, spec
from faithbench.plugins.spec import Component
from faithbench.plugins.traits import read_trait
from faithbench.types import Example

SAMPLE = 1000  # texts that stand for a split
VOCABULARY = "vocabulary"  # a need of metrics that every data set meets


@dataclass(frozen=True)
class Choice:
    """The explainers and metrics of a plan."""

    explainers: tuple[Component, ...]
    metrics: tuple[Component, ...]
    left_out: tuple[str, ...] = ()  # why components that were not named cannot be used


@dataclass(frozen=True)
class Grid:
    """The components of a plan for one data set, and the examples to score."""

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

    @property
    def wants_vocabulary(self) -> bool:
        """Whether some metric draws from the tokens of the data."""
        return any(VOCABULARY in metric.traits.needs for metric in self.metrics)


def choose(plan: Plan) -> Choice:
    """The explainers and metrics of a plan.

    Raises:
        UserError: one that is named cannot be built.
    """
    common = {} if plan.protocol is None else {"protocol": plan.protocol}
    explainers, unusable = _build("explainer", plan.explainers, common)
    metrics, useless = _build("metric", plan.metrics, common)
    return Choice(tuple(explainers), tuple(metrics), (*unusable, *useless))


def fill(plan: Plan, choice: Choice, dataset: Component) -> Grid:
    """The examples of a data set, and those of a plan's components that fit them.

    Raises:
        UserError: the examples cannot be had, or have only one class.
    """
    every = list(dataset.object.load(plan.split))
    if len(dataset.object.class_names) < 2:
        raise UserError(f"{dataset.identity} has only one class; at least two are needed.")
    order = np.random.default_rng(0).permutation(len(every))
    examples = tuple(every[i] for i in (sorted(order[: plan.limit]) if plan.limit else range(len(every))))
    offered = offers(dataset, every)
    reasons = [misfit(metric, dataset, offered) for metric in choice.metrics]
    return Grid(
        dataset,
        choice.explainers,
        tuple(metric for metric, reason in zip(choice.metrics, reasons, strict=True) if reason is None),
        examples,
        fingerprint(every),
        _passed_over(dataset, choice.metrics, reasons) if plan.metrics else (),
        tuple(every[i] for i in order[:SAMPLE]),
        offered,
        plan.split,
        len(every),
    )


def offers(dataset: Component, examples: Sequence[Example] = ()) -> frozenset[str]:
    """What a metric can find in a data set; one that is yet to be built has what it is built for."""
    if dataset.traits.for_model:
        return frozenset(name for name in [dataset.traits.only_for] if name)
    names = [field.name for field in fields(Example)]
    return frozenset(name for name in names if any(getattr(e, name) is not None for e in examples))


def misfit(metric: Component, dataset: Component, offered: Collection[str]) -> str | None:
    """Why a metric is not run on a data set; None if it is."""
    lacking = next((need for need in metric.traits.needs if need not in offered and need != VOCABULARY), None)
    if lacking is not None:
        return f"metric {metric.label!r} needs {lacking}, which {dataset.identity} lacks"
    only = dataset.traits.only_for
    if only is not None and only not in metric.traits.needs:
        return f"metric {metric.label!r} does not need {only}, and {dataset.identity} is only for metrics that do"
    return None


def check_fit(plan: Plan, choice: Choice, datasets: Sequence[tuple[Component, Collection[str]]]) -> None:
    """Every metric that is named runs on some data set, and every data set has a metric.

    Args:
        plan: whose they are.
        choice: its explainers and metrics.
        datasets: with what they offer.

    Raises:
        UserError: not so.
    """
    reasons = [[misfit(metric, *dataset) for dataset in datasets] for metric in choice.metrics]
    for mine in reasons if plan.metrics else ():
        if all(mine):
            raise UserError("; ".join(str(reason) for reason in dict.fromkeys(mine)) + ".")
    for (dataset, _), theirs in zip(datasets, zip(*reasons, strict=True), strict=False):
        if all(theirs):
            named = "of the plan" if plan.metrics else "that is installed"
            raise UserError(f"no metric {named} can be run on {dataset.identity}.")


def _build(kind: str, texts: Sequence[str], common: Mapping[str, Any]) -> tuple[list[Component], list[str]]:
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
    factory = plugin.load()
    told = any(p.default is p.empty for p in inspect.signature(factory).parameters.values())
    return not told and not read_trait(factory, "on_request", f"{plugin.kind} {plugin.name!r}")


def _passed_over(dataset: Component, metrics: Sequence[Component], reasons: Sequence[str | None]) -> tuple[str, ...]:
    names = [metric.label for metric, reason in zip(metrics, reasons, strict=True) if reason is not None]
    return (f"not run on {dataset.label}, which they do not fit: {', '.join(names)}",) if names else ()
