"""The explainers of one model on one data set by one metric: what the first screen of a report rests on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.records.results import FAITHFULNESS, Panel, degrades, installed, kind, kind_order, label, labels
from faithbench.reporting.differences import Difference, Differences, differences, typical
from faithbench.tables.ranking import direction, ranking

LEADERS = ("srg", "comprehensiveness")  # the metrics by which explainers are judged first, where they were measured
RANDOM = "random"


@dataclass(frozen=True)
class Entrant:
    """An explainer with its mean by the metric, as tables have it.

    Args:
        name: its identity.
        label: what it is called.
        group: its rank group, from 1; 0 if it is not ranked.
        n: texts with a value.
        failed: texts on which it or the metric failed.
        from_random: it less random scores; None where that is not known, and of random scores.
        equal_to: the explainer with the same scores; "" if there is none.
        rows: rows of the model that its explanation of a text takes; NaN where that is not known.
        seconds: likewise.
    """

    name: str
    label: str
    place: int
    mean: float
    low: float
    high: float
    group: int
    n: int
    failed: int
    from_random: Difference | None = None
    equal_to: str = ""
    rows: float = math.nan
    seconds: float = math.nan

    @property
    def is_random(self) -> bool:
        """Whether its scores are drawn, and say nothing of the model."""
        return is_random(self.name)

    @property
    def is_copy(self) -> bool:
        """Whether it is a degraded copy of another, which judges metrics."""
        return degrades(self.name) is not None

    @property
    def beats_random(self) -> bool:
        """Whether that is shown."""
        return self.from_random is not None and self.from_random.is_better


@dataclass(frozen=True)
class Contest:
    """All explainers by one metric, best first.

    Args:
        panel: one model on one data set.
        place: of the metric in the panel.
        label: what the metric is called.
        entrants: those that have a value.
        texts: on how many they are ranked.
        needed: the fewest texts on which a test could show anything.
        found: their differences.
        best: mean of the best orders that were found by search; NaN where that is not known.
    """

    panel: Panel
    place: int
    label: str
    entrants: tuple[Entrant, ...]
    texts: int
    needed: int
    found: Differences
    best: float = math.nan

    @property
    def metric(self) -> str:
        """Its identity."""
        return self.panel.metrics[self.place]

    @property
    def direction(self) -> int:
        """1: higher is better; −1: lower is."""
        return direction(self.metric)

    @cached_property
    def random(self) -> Entrant | None:
        """Random scores; None if they were not measured."""
        return next((each for each in self.entrants if each.is_random), None)

    @property
    def judged(self) -> list[Entrant]:
        """The explainers about which something is to be said: neither random nor degraded copies of others."""
        return [each for each in self.entrants if not each.is_random and not each.is_copy]

    @cached_property
    def detects(self) -> float:
        """The smallest true difference of two of them that would have been shown 8 times in 10."""
        return typical(self.found, frozenset(each.place for each in self.entrants if each.group))


def is_random(explainer: str) -> bool:
    """Whether an explainer draws its scores."""
    return explainer.partition("(")[0] == RANDOM


def contest(
    panel: Panel, rows: pd.DataFrame, costs: Mapping[str, tuple[float, float]], best: float, metric: str | None = None
) -> Contest | None:
    """The explainers of a panel by its leading metric, or another; None if no metric ranks anybody.

    Args:
        panel: one model on one data set.
        rows: of the table, of this panel.
        costs: rows and seconds that each explainer takes for a text.
        best: mean of the best orders that were found, by the leading metric.
        metric: None: the leading one.
    """
    metric = metric or leading_metric(rows)
    if metric is None:
        return None
    ranks, place = ranking(panel), panel.metrics.index(metric)
    own = rows[(rows["metric"] == metric) & (rows["n"] > 0)]
    found = differences(panel, place, ranks)
    entrants = _entrants(panel, own, found, costs)
    sign = direction(metric)
    entrants.sort(key=lambda each: (each.is_copy, -sign * each.mean, each.label))
    return Contest(
        panel,
        place,
        labels("metric", panel.metrics)[metric],
        tuple(entrants),
        int(ranks.texts[place]),
        int(ranks.needed[place]),
        found,
        best,
    )


def _entrants(
    panel: Panel, rows: pd.DataFrame, found: Differences, costs: Mapping[str, tuple[float, float]]
) -> list[Entrant]:
    names = labels("explainer", panel.explainers)
    random = next((i for i, name in enumerate(panel.explainers) if is_random(name)), None)
    entrants = []
    for row in rows.to_dict("records"):
        name = str(row["explainer"])
        place = panel.explainers.index(name)
        entrants.append(
            Entrant(
                name,
                names[name],
                place,
                float(row["mean"]),
                float(row["low"]),
                float(row["high"]),
                0 if pd.isna(row["rank_group"]) else int(row["rank_group"]),
                int(row["n"]),
                int(row["failed"]),
                None if random is None else found.of(place, random),
                names.get(str(row["equal_to"]), ""),
                *costs.get(name, (math.nan, math.nan)),
            )
        )
    return entrants


def leading_metric(rows: pd.DataFrame) -> str | None:
    """The metric by which explainers are judged first: SRG, else comprehensiveness, else another that ranks.

    Of several forms of one the one with the fewest parameters that are not the usual ones; those of faithfulness
    before others.

    Args:
        rows: of the table, of one model on one data set.
    """
    ranked = [str(name) for name in rows.loc[rows["rank_group"].notna(), "metric"].unique()]
    measured = [str(name) for name in rows.loc[rows["n"] > 0, "metric"].unique() if direction(str(name))]
    return next(iter(sorted(ranked, key=_first)), None) or next(iter(sorted(measured, key=_first)), None)


def _first(metric: str) -> tuple[object, ...]:
    name, label = metric.partition("(")[0], labels("metric", [metric])[metric]
    known = LEADERS.index(name) if name in LEADERS else len(LEADERS)
    is_faithfulness = kind(metric) == FAITHFULNESS
    return (known, not is_faithfulness, kind_order(kind(metric)), len(label), label)


def best_found(panel: Panel, metric: str, records: pd.DataFrame) -> float:
    """The mean of the best orders that `normalised` has found for a metric; NaN where it was not measured.

    Args:
        panel: one model on one data set.
        metric: whose best orders.
        records: of the panel, with their parts.
    """
    names = [name for name in panel.metrics if _inner(name) == metric]
    known = records[
        records["metric"].isin(names) & records["parts"].map(lambda parts: parts is not None and len(parts) == 3)
    ]
    best = {str(unit): float(parts[2]) for unit, parts in zip(known["unit"], known["parts"], strict=True)}
    chosen = [i for i, text in enumerate(panel.texts) if text in best]
    if not chosen:
        return math.nan
    weights = panel.adjusted[chosen, :, panel.metrics.index(metric)].max(axis=1)
    values = np.array([best[panel.texts[i]] for i in chosen])
    return float((weights * values).sum() / weights.sum()) if weights.sum() > 0 else math.nan


def wanted(metric: str, panel: Panel) -> str:
    """The metric that would find the best orders for one; "" where they are known, or there is no such metric.

    Args:
        metric: whose best orders.
        panel: with all that was measured.
    """
    component = installed("metric", metric)
    if component is None or not component.traits.by_order or metric in map(_inner, panel.metrics):
        return ""
    return f"normalised({label('metric', metric)})"


def _inner(metric: str) -> str | None:
    """The metric that is normalised."""
    try:
        name, _, parameters = spec.parse(metric)
    except UserError:
        return None
    return str(parameters.get("metric")) if name == "normalised" else None


def costs_of(attributions: Sequence[pd.DataFrame]) -> Iterator[tuple[str, tuple[float, float]]]:
    """The rows and seconds that each explainer took for a text, on average."""
    known = [frame for frame in attributions if len(frame)]
    if not known:
        return
    frame = pd.concat(known)
    means = frame[frame["error"].isna()].groupby("explainer", observed=True)[["rows", "seconds"]].mean()
    for name, rows, seconds in means.itertuples(name=None):
        yield str(name), (float(rows), float(seconds))
