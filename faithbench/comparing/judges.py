"""Can a metric tell a good explanation? It must rate an explanation above its own degraded copies.

Diagnosticity: Chan et al. 2022 (arXiv 2204.05514), there against random explanations; see docs/statistics.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from faithbench.records.results import Panel, degrades, higher_is_better, installed, kind, kind_order, panels
from faithbench.statistics.intervals import intervals, weighted_mean

DIGITS = 9  # decimals: what differs by less is a tie


@dataclass(frozen=True)
class _Copies:
    """An explainer and its degraded copies, by their places in a panel, with the share that is spoilt of each."""

    whole: int
    copies: tuple[int, ...]
    shares: tuple[float, ...]


def judged(frame: pd.DataFrame) -> pd.DataFrame:
    """What each metric with a better and worse can tell: a row a metric; none where no explainer has degraded copies.

    `spearman` is the rank correlation of the share that is left as it was with the metric's mean, higher being better:
    1 if each step of damage lowers it. It is the mean over explainers, data sets and models, for those with at least
    two copies. `diagnosticity` is the share of texts, in percent, on which an explanation is rated above its degraded
    copy, where ties count half: 50 if the metric cannot tell; the mean over copies and explainers, with a 95 % interval
    over texts. `defined` is the share of explanations, in percent, that the metric has a value for, and `rows` what it
    asks of the model for one (`costs`), both of explainers that are no copies.
    """
    rows = []
    found = [(panel, _copies(panel)) for panel in panels(frame)]
    asked = costs(frame)
    for metric in sorted(map(str, frame["metric"].unique()), key=lambda name: (*kind_order(kind(name)), name)):
        places = [(panel, each) for panel, each in found if each and metric in panel.metrics]
        if higher_is_better(metric) is not None and places:
            rows.append(
                {"metric": metric, "kind": kind(metric), **_row(metric, places), "rows": asked.get(metric, np.nan)}
            )
    return pd.DataFrame(rows)


def costs(frame: pd.DataFrame) -> "pd.Series[float]":
    """The mean rows that each metric asks for one explanation, of explainers that are no copies and measured once."""
    own = frame[[degrades(name) is None and not _repeats(name) for name in map(str, frame["explainer"])]]
    return pd.to_numeric(own["rows"]).groupby(own["metric"]).mean()


def _repeats(explainer: str) -> bool:
    """Whether a measurement of an explainer is one of several explanations."""
    found = installed("explainer", explainer)
    return found is not None and found.traits.repeats


def _row(metric: str, places: Sequence[tuple[Panel, Sequence[_Copies]]]) -> dict[str, float]:
    falls = [_falls(_better(panel, metric), each) for panel, copies in places for each in copies]
    wins = np.concatenate([_wins(_better(panel, metric), copies) for panel, copies in places])
    wins = wins[np.isfinite(wins)][:, None]
    interval = intervals(wins, np.ones_like(wins)) if len(wins) else None
    known = [each for each in falls if np.isfinite(each)]
    return {
        "spearman": float(np.mean(known)) if known else np.nan,
        "diagnosticity": float(wins.mean()) if len(wins) else np.nan,
        "low": float(interval.low[0]) if interval else np.nan,
        "high": float(interval.high[0]) if interval else np.nan,
        "texts": len(wins),
        "defined": _defined(metric, [panel for panel, _ in places]),
    }


def _copies(panel: Panel) -> list[_Copies]:
    """The explainers of a panel that have degraded copies beside them."""
    told = [degrades(name) for name in panel.explainers]
    found = []
    for whole, name in enumerate(panel.explainers):
        copies = [(i, each[1]) for i, each in enumerate(told) if each is not None and each[0] == name]
        if copies:
            found.append(_Copies(whole, tuple(i for i, _ in copies), tuple(share for _, share in copies)))
    return found


def _better(panel: Panel, metric: str) -> tuple[Float[np.ndarray, "texts explainers"], ...]:
    """Values by a metric, turned so that higher is better, and their weights."""
    place = panel.metrics.index(metric)
    sign = 1 if higher_is_better(metric) else -1
    return sign * panel.values[:, :, place], panel.weights[:, :, place]


def _falls(better: tuple[Float[np.ndarray, "texts explainers"], ...], each: _Copies) -> float:
    """Spearman's correlation of the means with the share that is left, on the texts that all copies have."""
    values, weights = (part[:, [each.whole, *each.copies]] for part in better)
    shared = np.isfinite(values).all(axis=1)
    if len(each.copies) < 2 or not shared.any():
        return np.nan
    means = weighted_mean(values[shared], weights[shared]).round(DIGITS)
    left = [1.0, *(1 - share for share in each.shares)]
    if np.ptp(means) == 0 or np.ptp(left) == 0:
        return np.nan
    return float(np.corrcoef(stats.rankdata(means), stats.rankdata(left))[0, 1])


def _wins(
    better: tuple[Float[np.ndarray, "texts explainers"], ...], copies: Sequence[_Copies]
) -> Float[np.ndarray, "texts"]:
    """In percent, how often an explanation of a text is rated above its copies; NaN where nothing can be compared."""
    values, _ = better
    above = [values[:, [each.whole]] - values[:, list(each.copies)] for each in copies]
    won = (np.sign(np.concatenate(above, axis=1).round(DIGITS)) + 1) / 2
    known = np.isfinite(won)
    with np.errstate(invalid="ignore"):
        share: Float[np.ndarray, "texts"] = 100 * np.where(known, won, 0).sum(axis=1) / known.sum(axis=1)
    return share


def _defined(metric: str, places: Sequence[Panel]) -> float:
    """The share of what was measured without failing that has a value."""
    tried = known = 0
    for panel in places:
        own = [i for i, name in enumerate(panel.explainers) if degrades(name) is None]
        place = panel.metrics.index(metric)
        worked = panel.present[:, own, place] & ~panel.failed[:, own, place]
        tried += int(worked.sum())
        known += int((worked & np.isfinite(panel.values[:, own, place])).sum())
    return 100 * known / tried if tried else np.nan
