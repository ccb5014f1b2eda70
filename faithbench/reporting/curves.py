"""What records say at each step of taking tokens away: the parts of comprehensiveness and its like, as curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from faithbench.records.results import Panel, installed, labels
from faithbench.reporting.plots import curve
from faithbench.statistics.intervals import weighted_mean
from faithbench.tables.wording import MINUS

WHAT = {  # the parts of metrics at rising shares of the tokens, in words
    "comprehensiveness": "fall of the probability as {} of the tokens go, the highest scores first",
    "sufficiency": "fall of the probability as only {} of the tokens are kept, the highest scores",
    "log_odds": "change of the log probability as {} of the tokens go, the highest scores first",
    "f_fidelity": "fall of the probability as a few random tokens of the first {} go, or of the others",
}
OTHER = "parts of its value at {} of the tokens"
USUAL = "comprehensiveness"


@dataclass(frozen=True)
class Curves:
    """The values of one metric at the shares `at` of the tokens, NaN where there are none.

    `low` and `high` are the ends of the axis of single texts.
    """

    metric: str
    label: str
    at: tuple[float, ...]
    values: Float[np.ndarray, "texts explainers steps"]
    low: float
    high: float

    def means(self, panel: Panel) -> Float[np.ndarray, "explainers steps"]:
        """Over the texts, weighted as tables do."""
        weights = panel.adjusted[:, :, panel.metrics.index(self.metric)]
        return np.stack([weighted_mean(self.values[:, :, step], weights) for step in range(len(self.at))], axis=1)


@dataclass(frozen=True)
class MeanCurve:
    """The mean curve of an explainer: its path, that of random scores, and the values at three ratios in words."""

    explainer: str
    path: str
    random: str
    told: str


@dataclass(frozen=True)
class MeanCurves:
    """The mean curves of all explainers by a metric, from `low` to `high`: `what` they are, and over `n` texts."""

    label: str
    what: str
    low: str
    high: str
    n: int
    curves: tuple[MeanCurve, ...]


def curves_of(panel: Panel, records: pd.DataFrame) -> list[Curves]:
    """Those of each metric of a panel that has parts at steps; comprehensiveness first.

    Args:
        panel: one model on one data set.
        records: of the panel, with their parts.
    """
    shares, names = {name: _shares(name) for name in panel.metrics}, labels("metric", panel.metrics)
    found = [_of_metric(panel, name, names[name], at, records) for name, at in shares.items() if at]
    known = [each for each in found if np.isfinite(each.values).any()]
    return sorted(known, key=lambda each: (each.metric.partition("(")[0] != USUAL, len(each.label), each.label))


def _shares(metric: str) -> tuple[float, ...]:
    found = installed("metric", metric)
    return () if found is None else found.traits.parts_at


def _of_metric(panel: Panel, metric: str, label: str, at: tuple[float, ...], records: pd.DataFrame) -> Curves:
    values = np.full((len(panel.texts), len(panel.explainers), len(at)), np.nan)
    rows = {text: i for i, text in enumerate(panel.texts)}
    columns = {name: i for i, name in enumerate(panel.explainers)}
    own = records[records["metric"] == metric]
    for unit, explainer, parts in zip(own["unit"], own["explainer"], own["parts"], strict=True):
        if parts is not None and len(parts) == len(at) and unit in rows:
            values[rows[unit], columns[explainer]] = parts
    known = values[np.isfinite(values)]
    low, high = (float(min(0.0, known.min())), float(max(0.0, known.max()))) if len(known) else (0.0, 1.0)
    return Curves(metric, label, at, values, low, high)


def of_text(curves: Curves | None, text: int, explainer: int) -> tuple[str, str]:
    """The path of an explainer's curve on a text, and what it says in words; "" where there is none."""
    if curves is None or not np.isfinite(curves.values[text, explainer]).any():
        return "", ""
    values = list(map(float, curves.values[text, explainer]))
    return curve(values, curves.at, curves.low, curves.high), _told(values, curves.at)


def mean_curves(found: Curves, panel: Panel, order: Mapping[int, str], random: int | None) -> MeanCurves:
    """The mean curves for a page.

    Args:
        found: of one metric.
        panel: whose they are.
        order: the explainers' places and labels, best first.
        random: the place of random scores, if they were measured.
    """
    means = found.means(panel)
    known = means[np.isfinite(means)]
    low, high = float(min(0.0, known.min(initial=0.0))), float(max(0.0, known.max(initial=0.0)))
    paths = {
        place: curve(list(map(float, means[place])), found.at, low, high)
        for place in order
        if np.isfinite(means[place]).any()
    }
    shown = tuple(
        MeanCurve(
            label, paths[place], paths.get(random, "") if random is not None else "", _told(means[place], found.at)
        )
        for place, label in order.items()
        if place in paths and place != random
    )
    what, n = _what(found), int(np.isfinite(found.values).any(axis=(1, 2)).sum())
    return MeanCurves(found.label, what, _shown(low), _shown(high), n, shown)


def _what(found: Curves) -> str:
    """What the parts are, and at which shares."""
    ends = dict.fromkeys(_percent(share, unit="") for share in (found.at[0], found.at[-1]))
    return WHAT.get(found.metric.partition("(")[0], OTHER).format(f"{' to '.join(ends)} %")


def _told(values: Sequence[float], at: Sequence[float]) -> str:
    """The values at the first, the middle and the last share."""
    places = dict.fromkeys((0, len(at) // 2, len(at) - 1))
    return ", ".join(f"{_shown(values[i])} at {_percent(at[i])}" for i in places if np.isfinite(values[i]))


def _percent(share: float, unit: str = " %") -> str:
    return f"{100 * share:.3g}{unit}"


def _shown(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}".replace("-", MINUS)
