"""One data set of a plan with its components loaded, checked before anything runs."""

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from faithbench import plugins, spec
from faithbench.datasets.build import build_dataset
from faithbench.errors import UserError
from faithbench.plan import Plan
from faithbench.spec import Component
from faithbench.types import Example


@dataclass(frozen=True)
class Grid:
    """The components of a plan for one data set, and the examples to score."""

    dataset: Component
    explainers: tuple[Component, ...]
    metrics: tuple[Component, ...]
    examples: tuple[Example, ...]
    fingerprint: str
    left_out: tuple[str, ...] = ()  # why components that were not named cannot be used


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
    explainers, unusable = _build("explainer", plan.explainers, common)
    metrics, useless = _build("metric", plan.metrics, common)
    fitting = [metric for metric in metrics if not _lacks(metric, examples)]
    if plan.metrics and len(fitting) < len(metrics):
        metric = next(metric for metric in metrics if metric not in fitting)
        raise UserError(f"metric {metric.short!r} needs {_lacks(metric, examples)}, which {component.full} lacks.")
    return Grid(component, tuple(explainers), tuple(fitting), examples, fingerprint(every), (*unusable, *useless))


def _build(kind: str, texts: Sequence[str], common: Mapping[str, Any]) -> tuple[list[Component], list[str]]:
    """The components named, or all that run without being named; and why some of those cannot."""
    if texts:
        return [spec.build(kind, text, common) for text in texts], []
    built, problems = [], []
    for name, plugin in plugins.find(kind).items():
        try:
            if _runs_unnamed(plugin.load()):
                built.append(spec.build(kind, name, common))
        except UserError as error:
            problems.append(f"left out: {error}")
    return built, problems


def _runs_unnamed(factory: Any) -> bool:
    """Not what must be told something, and not what wants to be asked for by name."""
    needs = any(p.default is p.empty for p in inspect.signature(factory).parameters.values())
    return not needs and not getattr(factory, "on_request", False)


def fingerprint(examples: Sequence[Example]) -> str:
    """A hash of ids, texts, labels and marks."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(repr(example).encode())
    return digest.hexdigest()[:16]


def _lacks(metric: Component, examples: Sequence[Example]) -> str | None:
    needs: Sequence[str] = getattr(metric.object, "needs", ())
    return next((need for need in needs if all(getattr(e, need, None) is None for e in examples)), None)
