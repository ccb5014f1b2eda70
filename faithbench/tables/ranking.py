"""Which explainers are best: rank groups by paired tests on the same texts."""

from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from faithbench.records.results import Panel, higher_is_better
from faithbench.statistics.paired_tests import FLIPS, corrected_pairs, flip_test, rank_groups

ALPHA = 0.05
NEGLIGIBLE = 0.005  # differences below the decimals shown are none, whatever a test says of them
AT_ONCE = 10_000_000  # differences held in memory


def ranking(panel: Panel) -> Int[np.ndarray, "explainers metrics"]:
    """Each explainer's rank group by each metric, from 1; 0 where there is none.

    All pairs of a metric's explainers are tested and corrected together: the best is chosen by the same data, and tests
    against it alone would find differences too often. Means that look alike in a table are tied.
    """
    signs = {metric: direction(name) for metric, name in enumerate(panel.metrics) if direction(name)}
    means, columns = panel.means, len(panel.metrics)
    groups = np.zeros(means.shape, dtype=np.int64)
    pairs = {
        metric: np.array(list(combinations(np.flatnonzero(np.isfinite(means[:, metric])), 2)), dtype=np.int64)
        for metric in signs
    }
    flat = [each.reshape(-1, 2) * columns + metric for metric, each in pairs.items()]
    most = max((len(each) for each in flat), default=0)
    flips = max(FLIPS, 40 * most - 1)  # enough for the smallest possible p to stay significant when corrected
    asked, n = np.concatenate([np.empty((0, 2), dtype=np.int64), *flat]), len(panel.texts)
    values, weights = panel.values.reshape(n, -1), panel.weights.reshape(n, -1)
    parts = np.array_split(asked, 1 + n * len(asked) // AT_ONCE)
    p = np.concatenate([flip_test(values, weights, part, flips) for part in parts])
    p[np.abs(np.diff(means.reshape(-1)[asked], axis=1)[:, 0]) < NEGLIGIBLE] = 1.0
    begin = 0
    for metric, sign in signs.items():
        count = len(pairs[metric])
        found = corrected_pairs(p[begin : begin + count], pairs[metric].reshape(-1, 2), len(panel.explainers))
        groups[:, metric] = rank_groups(_scores(means[:, metric], sign), found, ALPHA)
        begin += count
    return groups


def direction(metric: str) -> int:
    """1: higher is better; −1: lower is; 0: neither."""
    return {True: 1, False: -1, None: 0}[higher_is_better(metric)]


def _scores(means: Float[np.ndarray, "explainers"], sign: int) -> Float[np.ndarray, "explainers"]:
    return np.where(np.isfinite(means), sign * means, np.nan)
