"""Differences of explainers by one metric, text by text: as `faithbench compare` finds them, all pairs at once."""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from faithbench.records.results import Panel
from faithbench.statistics.intervals import ROUNDING, intervals, standard_errors, weighted_mean
from faithbench.statistics.paired_tests import detectable, pair_weights
from faithbench.statistics.verdicts import ALPHA
from faithbench.tables.ranking import Ranking, direction


@dataclass(frozen=True)
class Differences:
    """The first explainer of each pair less the second, over the texts where both have a value.

    `p` is the table's, Holm-corrected over all pairs of the metric; NaN where the table does not compare the two.
    `detects` is the smallest true difference that such a sample would have shown 8 times in 10.
    """

    pairs: Int[np.ndarray, "pairs 2"]
    mean: Float[np.ndarray, "pairs"]
    low: Float[np.ndarray, "pairs"]
    high: Float[np.ndarray, "pairs"]
    p: Float[np.ndarray, "pairs"]
    n: Int[np.ndarray, "pairs"]
    detects: Float[np.ndarray, "pairs"]
    direction: int

    def of(self, a: int, b: int) -> "Difference | None":
        """That of a less b; None if they have no text in common."""
        for sign, pair in ((1, (a, b)), (-1, (b, a))):
            place = np.flatnonzero((self.pairs == pair).all(axis=1))
            if len(place) and self.n[place[0]]:
                i = int(place[0])
                ends = sorted((sign * float(self.low[i]), sign * float(self.high[i])))
                return Difference(
                    sign * float(self.mean[i]), ends[0], ends[1], float(self.p[i]), int(self.n[i]), self.direction
                )
        return None


@dataclass(frozen=True)
class Difference:
    """One explainer less another by a metric: mean with its 95 % interval, corrected p, and on how many texts."""

    mean: float
    low: float
    high: float
    p: float
    n: int
    direction: int

    @property
    def is_shown(self) -> bool:
        """Whether the two are shown to differ."""
        return self.p < ALPHA

    @property
    def is_better(self) -> bool:
        """Whether the first is shown to be the better one."""
        return self.is_shown and self.direction * self.mean > 0

    @property
    def is_worse(self) -> bool:
        """Whether it is shown to be the worse one."""
        return self.is_shown and self.direction * self.mean < 0


def differences(panel: Panel, metric: int, ranks: Ranking) -> Differences:
    """All pairs of the explainers that have values by a metric.

    Args:
        panel: one model on one data set.
        metric: its place in the panel.
        ranks: the panel's.
    """
    values, weights = panel.values[:, :, metric], panel.adjusted[:, :, metric]
    there = np.flatnonzero((weights > 0).any(axis=0))
    pairs = np.array(list(combinations(there, 2)), dtype=np.int64).reshape(-1, 2)
    gaps, shares = paired(values, weights, pairs)
    found, n = intervals(gaps, shares), (shares > 0).sum(axis=0)
    spread = standard_errors(gaps, shares) * np.sqrt(n)
    alpha = ALPHA / max(1, int(ranks.pairs[metric]))
    detects = [detectable(int(k), float(s), alpha) for k, s in zip(n, spread, strict=True)]
    return Differences(
        pairs,
        weighted_mean(gaps, shares) if len(pairs) else np.zeros(0),
        found.low,
        found.high,
        ranks.p[pairs[:, 0], pairs[:, 1], metric],
        n,
        np.array(detects, dtype=np.float64),
        direction(panel.metrics[metric]),
    )


def paired(
    values: Float[np.ndarray, "texts explainers"],
    weights: Float[np.ndarray, "texts explainers"],
    pairs: Int[np.ndarray, "pairs 2"],
) -> tuple[Float[np.ndarray, "texts pairs"], Float[np.ndarray, "texts pairs"]]:
    """The differences of each text and their weights, which are 0 where one of the two has no value."""
    left, right = pairs.T
    shares = pair_weights(weights, pairs)
    a, b = np.where(shares > 0, values[:, left], 0.0), np.where(shares > 0, values[:, right], 0.0)
    return np.where(np.abs(a - b) <= ROUNDING * (np.abs(a) + np.abs(b)), 0.0, a - b), shares


def typical(found: Differences, ranked: frozenset[int]) -> float:
    """What differences of the explainers that are ranked could be seen: the median over their pairs."""
    chosen = [i for i, pair in enumerate(found.pairs) if ranked.issuperset(map(int, pair))]
    known = found.detects[chosen][np.isfinite(found.detects[chosen]) & (found.detects[chosen] > 0)]
    return float(np.median(known)) if len(known) else math.nan
