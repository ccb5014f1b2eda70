"""Metric cards: what each metric measures, which way is better, its range and its paper, from the metric itself."""

import inspect
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from faithbench.plugins.spec import Component
from faithbench.records.results import installed, kind, kind_order, labels
from faithbench.tables.wording import MINUS

WAYS = {True: "higher is better", False: "lower is better", None: "no better or worse"}


@dataclass(frozen=True)
class Card:
    """What is to be known of a metric; `paper` and `paragraphs` are those of its module and class."""

    label: str
    identity: str
    kind: str
    way: str
    range: str
    paper: str
    paragraphs: tuple[str, ...]


def cards(metrics: Iterable[str]) -> list[Card]:
    """A card for each metric, by kinds."""
    names = labels("metric", metrics)
    return [_card(name, names[name]) for name in sorted(names, key=lambda name: (kind_order(kind(name)), names[name]))]


def _card(metric: str, label: str) -> Card:
    found = installed("metric", metric)
    if found is None:
        return Card(label, metric, kind(metric), "not known", "not known", "", ("It is not installed here.",))
    module = inspect.getdoc(sys.modules.get(type(found.object).__module__)) or ""
    told = (inspect.getdoc(type(found.object)) or "").split("\nArgs:\n")[0]
    paragraphs = tuple(" ".join(each.split()) for each in told.split("\n\n") if each.strip())
    return Card(
        label,
        metric,
        kind(metric),
        WAYS[found.traits.higher_is_better],
        _range(found),
        module.split("\n")[0],
        paragraphs,
    )


def _range(found: Component) -> str:
    limits = found.traits.range
    if limits is None:
        return "not stated"
    if all(map(math.isinf, limits)):
        return "any number"
    return " to ".join("no limit" if math.isinf(each) else f"{each:g}".replace("-", MINUS) for each in limits)
