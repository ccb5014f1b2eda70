"""Which explainers are best by each metric of a panel: rank groups by paired tests on the same texts."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from faithbench.records.results import Panel, degrades, higher_is_better, installed
from faithbench.statistics.intervals import weighted_mean
from faithbench.statistics.paired_tests import FLIPS, corrected_pairs, flip_test, paired_means
from faithbench.statistics.verdicts import (
    ALPHA,
    common_texts,
    enough_values,
    equal_columns,
    is_negligible,
    least_texts,
    tie_groups,
    width_of,
)

AT_ONCE = 10_000_000  # differences held in memory


@dataclass(frozen=True)
class Ranking:
    """How the explainers of a panel stand by each metric.

    Args:
        groups: rank groups, from 1; 0 where there is none.
        p: of pairs of explainers, Holm-corrected over all pairs of a metric; NaN where two were not compared.
        texts: on how many the explainers of a metric are ranked; 0 where the metric has no better or worse.
        needed: the fewest texts on which a metric's tests could show anything.
        pairs: how many pairs of a metric were corrected together.
        equal_to: for each explainer the first with the same values by all metrics that rank, itself if there is none.
        equal_on: on how many texts.
        copies: which explainers are degraded copies of others, and so are not ranked.
    """

    groups: Int[np.ndarray, "explainers metrics"]
    p: Float[np.ndarray, "explainers explainers metrics"]
    texts: Int[np.ndarray, "metrics"]
    needed: Int[np.ndarray, "metrics"]
    pairs: Int[np.ndarray, "metrics"]
    equal_to: Int[np.ndarray, "explainers"]
    equal_on: Int[np.ndarray, "explainers"]
    copies: Bool[np.ndarray, "explainers"]

    def row(self, panel: Panel, explainer: int, metric: int) -> dict[str, object]:
        """What a table says of a cell."""
        ranks = bool(self.texts[metric]) and not self.copies[explainer]
        other = int(self.equal_to[explainer])
        return {
            "rank_group": int(self.groups[explainer, metric]) or pd.NA,
            "ranked_on": int(self.texts[metric]) if ranks else pd.NA,
            "texts_needed": int(self.needed[metric]) if ranks else pd.NA,
            "equal_to": panel.explainers[other] if other != explainer else "",
            "equal_on": int(self.equal_on[explainer]) if other != explainer else pd.NA,
        }


@dataclass(frozen=True)
class Field:
    """Who is ranked by a metric, and on what: `columns` are explainers, one for all that are equal.

    `pairs` are those that are tested, and `needed` the fewest texts on which these tests could show anything.
    """

    texts: Bool[np.ndarray, "texts"]
    columns: Int[np.ndarray, "ranked"]
    pairs: Int[np.ndarray, "pairs 2"]
    needed: int


def ranking(panel: Panel) -> Ranking:
    """The rank groups of a panel, and what they rest on.

    Ranked are explainers that were measured on the same texts; those with the same scores count once. All pairs of a
    metric's explainers are tested and corrected together: the best is chosen by the same data, and tests against it
    alone would find differences too often. Degraded copies of explainers judge metrics; they are not ranked.
    """
    copies = _copies(panel)
    panel = panel.without(copies[:, None])
    sizes, several, ways = widths(panel), len(panel.explainers), list(map(direction, panel.metrics))
    equal = _equal(panel, sizes)
    fields = [_field(panel, metric, equal) if way else None for metric, way in enumerate(ways)]
    groups = np.zeros((several, len(ways)), dtype=np.int64)
    p = np.full((several, several, len(ways)), np.nan)
    tested = _tested(panel, fields)
    for metric, field in enumerate(fields):
        if field is None:
            continue
        raw, gaps = tested[metric]
        raw[is_negligible(gaps, np.full(len(gaps), sizes[metric]))] = 1.0
        p[:, :, metric] = corrected_pairs(raw, field.pairs, several)
        found = _groups(panel, metric, field, p[:, :, metric], gaps)
        stand = _standing_for(panel, metric, field, equal)
        groups[:, metric] = np.where(stand >= 0, found[stand], 0)
        p[:, :, metric] = _of_members(p[:, :, metric], stand)
    return Ranking(
        groups,
        p,
        np.array([0 if field is None else field.texts.sum() for field in fields], dtype=np.int64),
        np.array([0 if field is None else field.needed for field in fields], dtype=np.int64),
        np.array([0 if field is None else len(field.pairs) for field in fields], dtype=np.int64),
        equal,
        _equal_on(panel, equal),
        copies,
    )


def ranked_columns(panel: Panel) -> list[Field]:
    """Who is, or would be, ranked by each metric, as `ranking` does; also where a metric has no better or worse."""
    panel = panel.without(_copies(panel)[:, None])
    equal = _equal(panel, widths(panel))
    return [_field(panel, metric, equal) for metric in range(len(panel.metrics))]


def _copies(panel: Panel) -> Bool[np.ndarray, "explainers"]:
    return np.array([degrades(name) is not None for name in panel.explainers], dtype=bool)


def _equal(panel: Panel, sizes: Float[np.ndarray, "metrics"]) -> Int[np.ndarray, "explainers"]:
    """For each explainer the first that is equal to it by all metrics that rank."""
    ranked = np.flatnonzero(list(map(direction, panel.metrics)))
    return equal_columns(panel.values[:, :, ranked], sizes[ranked])


def widths(panel: Panel) -> Float[np.ndarray, "metrics"]:
    """How wide each metric's range is, which says what difference is negligible."""
    found = [width_of(range_of(metric), panel.values[:, :, i]) for i, metric in enumerate(panel.metrics)]
    return np.array(found, dtype=np.float64)


def range_of(metric: str) -> tuple[float, float] | None:
    """The least and the largest value that a metric says there can be; None if it does not say, or is not installed."""
    found = installed("metric", metric)
    return None if found is None else found.traits.range


def direction(metric: str) -> int:
    """1: higher is better; −1: lower is; 0: neither."""
    return {True: 1, False: -1, None: 0}[higher_is_better(metric)]


def _field(panel: Panel, metric: int, equal: Int[np.ndarray, "explainers"]) -> Field:
    """Nobody is ranked where fewer than two were measured on the same texts, unless there is but one."""
    measured, defined = panel.present[:, :, metric], panel.weights[:, :, metric] > 0
    texts = common_texts(measured)
    columns = _one_of_each(np.flatnonzero(measured[texts].all(axis=0) & defined[texts].any(axis=0)), equal)
    needed = least_texts(len(columns) * (len(columns) - 1) // 2)
    enough = enough_values(measured[texts][:, columns], defined[texts][:, columns], needed)
    columns = columns[enough]
    if len(columns) == 1 and len(_one_of_each(np.flatnonzero(defined.any(axis=0)), equal)) > 1:
        columns = columns[:0]
    pairs = np.array(list(combinations(columns, 2)), dtype=np.int64).reshape(-1, 2)
    return Field(texts, columns, pairs, needed)


def _one_of_each(columns: Int[np.ndarray, "some"], equal: Int[np.ndarray, "explainers"]) -> Int[np.ndarray, "fewer"]:
    return columns[np.sort(np.unique(equal[columns], return_index=True)[1])]


def _tested(panel: Panel, fields: list[Field | None]) -> list[tuple[Float[np.ndarray, "pairs"], ...]]:
    """The uncorrected p and the mean differences of each metric's pairs, all tested at once."""
    n, metrics = len(panel.texts), len(panel.metrics)
    pairs = [np.zeros((0, 2), dtype=np.int64) if field is None else field.pairs for field in fields]
    texts = [np.zeros(n, dtype=bool) if field is None else field.texts for field in fields]
    flips = max(FLIPS, 40 * max(map(len, pairs), default=0) - 1)  # enough for the smallest p to survive the correction
    weights = np.where(np.stack(texts, axis=1)[:, None], panel.adjusted, 0.0).reshape(n, -1)
    values = panel.values.reshape(n, -1)
    asked = np.concatenate([each * metrics + metric for metric, each in enumerate(pairs)])
    parts = np.array_split(asked, 1 + n * len(asked) // AT_ONCE)
    p = np.concatenate([flip_test(values, weights, part, flips) for part in parts])
    gaps = np.concatenate([paired_means(values, weights, part) for part in parts])
    ends = np.cumsum([len(each) for each in pairs])[:-1]
    return list(zip(np.split(p, ends), np.split(gaps, ends), strict=True))


def _groups(
    panel: Panel,
    metric: int,
    field: Field,
    p: Float[np.ndarray, "explainers explainers"],
    gaps: Float[np.ndarray, "pairs"],
) -> Int[np.ndarray, "explainers"]:
    sign, several = direction(panel.metrics[metric]), len(panel.explainers)
    better = np.zeros((several, several))
    better[field.pairs[:, 0], field.pairs[:, 1]] = sign * gaps
    better[field.pairs[:, 1], field.pairs[:, 0]] = -sign * gaps
    scores, chosen = np.full(several, np.nan), field.columns
    rows = np.ix_(field.texts, chosen)
    scores[chosen] = sign * weighted_mean(panel.values[:, :, metric][rows], panel.adjusted[:, :, metric][rows])
    return tie_groups(scores, (p < ALPHA) & (better > 0), p >= ALPHA)


def _standing_for(
    panel: Panel, metric: int, field: Field, equal: Int[np.ndarray, "explainers"]
) -> Int[np.ndarray, "explainers"]:
    """Who is ranked in each explainer's place, itself or an equal one; −1 for nobody."""
    ranked = {int(equal[column]): int(column) for column in field.columns}
    defined = panel.weights[field.texts, :, metric] > 0
    measured = np.asarray(panel.present[field.texts, :, metric].all(axis=0) & defined.any(axis=0))
    return np.array([ranked.get(int(equal[i]), -1) if measured[i] else -1 for i in range(len(equal))], dtype=np.int64)


def _of_members(
    p: Float[np.ndarray, "explainers explainers"], stand: Int[np.ndarray, "explainers"]
) -> Float[np.ndarray, "explainers explainers"]:
    """The p of all that someone stands for; 1 for two that are equal."""
    found = p[np.ix_(stand, stand)]
    found[(stand[:, None] == stand) & (stand >= 0) & ~np.eye(len(stand), dtype=bool)] = 1.0
    found[stand < 0], found[:, stand < 0] = np.nan, np.nan
    return found


def _equal_on(panel: Panel, equal: Int[np.ndarray, "explainers"]) -> Int[np.ndarray, "explainers"]:
    """On how many texts each explainer has a value where the one to which it is equal has one."""
    defined = np.isfinite(panel.values[:, :, [direction(metric) != 0 for metric in panel.metrics]])
    return (defined & defined[:, equal]).any(axis=2).sum(axis=0)
