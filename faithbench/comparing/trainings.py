"""Differences over trainings that differ in their seed alone: what the texts of one training cannot say."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from faithbench.comparing.pairs import Pair, of_explainers, of_models
from faithbench.records.results import Panel
from faithbench.records.seeds import Seeds, together
from faithbench.statistics.intervals import weighted_mean
from faithbench.statistics.paired_tests import paired_means

LEVEL = 0.95


@dataclass(frozen=True)
class OverTrainings:
    """The 95 % interval over trainings of a difference of means, in the metric's unit.

    Of two explainers it is Student's of the trainings' differences; of two models Welch's, of the means of so many
    trainings of each. NaN where there are too few.
    """

    counts: tuple[int, ...]
    low: float
    high: float

    @property
    def words(self) -> str:
        """How many trainings, such as `3 and 2 trainings`."""
        of = " and ".join(map(str, self.counts))
        return f"{of} training{'' if self.counts == (1,) else 's'}"


def of_explainers_over_seeds(seeds: Sequence[Seeds], first: str, second: str) -> Iterator[tuple[Pair, OverTrainings]]:
    """Each metric by which two explainers were measured, over the trainings in which both were."""
    for each in seeds:
        found: dict[tuple[int, ...], dict[str, Pair]] = {}
        for metric in sorted({metric for panel in each.trainings for metric in panel.metrics}):
            both = tuple(i for i, panel in enumerate(each.trainings) if _has(panel, (first, second), metric))
            if not both:
                continue
            if both not in found:
                (merged,) = together(each.trainings[i] for i in both)
                found[both] = {pair.metric: pair for pair in of_explainers([merged.ranked], first, second)}
            if (pair := found[both].get(metric)) is not None:
                ranked = len(both) == len(each.trainings)
                gaps = [_gap(each.trainings[i], first, second, metric) for i in both]
                yield pair if ranked else replace(pair, p=math.nan, tests=0), paired(gaps)


def of_models_over_seeds(seeds: Sequence[Seeds], first: str, second: str) -> Iterator[tuple[Pair, OverTrainings]]:
    """Each metric and explainer of which two models have values; their names are without seeds."""
    for pair in of_models([each.panel for each in seeds], first, second):
        both = {
            each.panel.key["model"]: each
            for each in seeds
            if (each.panel.key["dataset"], each.panel.key["dataset_fingerprint"]) == (pair.dataset, pair.fingerprint)
        }
        known = (_known_of(both[name].panel, pair.under, pair.metric) for name in (first, second))
        texts = sorted(set.intersection(*known))
        means = (
            [_mean(panel, texts, pair.under, pair.metric) for panel in both[name].trainings] for name in (first, second)
        )
        yield pair, apart(*means)


def paired(gaps: Sequence[float]) -> OverTrainings:
    """Student's interval of the trainings' differences."""
    known = _known(gaps)
    if len(known) < 2:
        return OverTrainings((len(known),), math.nan, math.nan)
    return OverTrainings((len(known),), *_interval(lambda: stats.ttest_1samp(known, 0.0)))


def apart(first: Sequence[float], second: Sequence[float]) -> OverTrainings:
    """Welch's interval of the difference of two models' means."""
    known = _known(first), _known(second)
    counts = len(known[0]), len(known[1])
    if min(counts) < 2:
        return OverTrainings(counts, math.nan, math.nan)
    return OverTrainings(counts, *_interval(lambda: stats.ttest_ind(*known, equal_var=False)))


def _interval(test: Callable[[], Any]) -> tuple[float, float]:
    """That of scipy's result; of equal values, about which it warns, it has no width."""
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = test().confidence_interval(LEVEL)
    return float(low), float(high)


def _has(panel: Panel, explainers: Sequence[str], metric: str) -> bool:
    """Whether all of these were measured by a metric."""
    if metric not in panel.metrics or not set(explainers) <= set(panel.explainers):
        return False
    columns = [panel.explainers.index(name) for name in explainers]
    return bool(panel.present[:, columns, panel.metrics.index(metric)].any(axis=0).all())


def _gap(panel: Panel, first: str, second: str, metric: str) -> float:
    """The mean difference of two explainers of one training that has both."""
    columns, i = [panel.explainers.index(name) for name in (first, second)], panel.metrics.index(metric)
    values, weights = panel.values[:, columns, i], panel.adjusted[:, columns, i]
    return float(paired_means(values, weights, np.array([[0, 1]]))[0])


def _known_of(panel: Panel, explainer: str, metric: str) -> set[str]:
    """The texts on which an explainer has a value by a metric."""
    place = slice(None), panel.explainers.index(explainer), panel.metrics.index(metric)
    known = np.isfinite(panel.values[place]) & (panel.weights[place] > 0)
    return set(np.array(panel.texts)[known])


def _mean(panel: Panel, texts: Sequence[str], explainer: str, metric: str) -> float:
    """The mean of an explainer of one training over these texts; NaN where it lacks it."""
    if not _has(panel, (explainer,), metric):
        return math.nan
    place = np.isin(panel.texts, texts), panel.explainers.index(explainer), panel.metrics.index(metric)
    return float(weighted_mean(panel.values[place], panel.adjusted[place]))


def _known(values: Sequence[float]) -> Float[np.ndarray, "trainings"]:
    found = np.array(values, dtype=float)
    return found[np.isfinite(found)]
