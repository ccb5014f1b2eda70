"""By how much does the best explainer lead, by each metric, when one looks as texts are added? (docs/statistics.md)"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from faithbench.records.results import Panel
from faithbench.statistics.sequential import Span, Watch, lead, spans
from faithbench.tables.ranking import Field, direction, ranked_columns, widths


@dataclass(frozen=True)
class Leading:
    """The leader of a metric less another explainer, with its interval; the mean of the only one, if `other` is None.

    `is_near` says whether the two may be level: the runner-up, and whoever is not shown to be behind the leader. Where
    nothing can be said yet, the interval goes from −inf to inf.
    """

    dataset: str
    model: str
    metric: str
    leader: str
    other: str | None
    mean: float
    low: float
    high: float
    is_near: bool

    @property
    def width(self) -> float:
        """From end to end, in the metric's units."""
        return self.high - self.low


def leading(panel: Panel, watch: Watch) -> Iterator[Leading]:
    """The leading differences of each metric, post-stratified as in tables.

    Compared are those that a table ranks: on the same texts, equal ones once, no degraded copies. The intervals of a
    metric hold for all pairs of its explainers together. Of a metric by which one explainer alone was measured it is
    the mean. Nothing of a metric that has no better or worse, or of which no text has a value.

    Args:
        panel: one model on one data set.
        watch: which look it is, and how often any interval of a metric may miss the truth at any look.
    """
    sizes = widths(panel)
    for metric, field in enumerate(ranked_columns(panel)):
        there = (panel.weights[:, :, metric] > 0).any(axis=0)
        if there.any() and (direction(panel.metrics[metric]) or there.sum() == 1):
            yield from _of_metric(panel, metric, field, float(sizes[metric]), watch)


def _of_metric(panel: Panel, metric: int, field: Field, reach: float, watch: Watch) -> Iterator[Leading]:
    place = panel.key["dataset"], panel.key["model"], panel.metrics[metric]
    names = [panel.explainers[i] for i in field.columns]
    values, weights, counted = (
        each[:, field.columns, metric][field.texts] for each in (panel.values, panel.weights, panel.counted)
    )
    strata = None if panel.strata is None else panel.strata.of(field.texts)
    if not names:  # too few values so far
        yield Leading(*place, "", None, math.nan, -math.inf, math.inf, True)
    elif len(names) == 1:
        yield Leading(
            *place, names[0], None, *_row(spans(values, weights, counted, strata, reach, watch.level()), 0), True
        )
    else:
        found = lead(values, weights, counted, strata, direction(place[2]), reach, watch)
        for i, other in enumerate(found.others):
            yield Leading(*place, names[found.leader], names[other], *_row(found.span, i), bool(found.near[i]))


def _row(span: Span, place: int) -> tuple[float, float, float]:
    ends: Float[np.ndarray, "3"] = np.array([span.mean[place], span.low[place], span.high[place]])
    return float(ends[0]), float(ends[1]), float(ends[2])
