"""Rank agreement of two metrics over explainers, Kendall's τ_b (1945), on the texts as they are and on resamples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.ranks import tau_b
from faithbench.records.results import Panel, higher_is_better
from faithbench.statistics.intervals import clean, resampled_means
from faithbench.statistics.verdicts import equal_columns
from faithbench.tables.ranking import widths

LEAST = 3  # explainers that a ranking needs


@dataclass(frozen=True)
class Standing:
    """How the explainers stand on one model and data set: scores where higher is better, first as they are, then drawn.

    NaN where an explainer has no value by a metric, and where it is equal to an earlier one: `equal` holds such pairs.
    """

    dataset: str
    model: str
    explainers: tuple[str, ...]
    metrics: tuple[str, ...]
    scores: Float[np.ndarray, "draws explainers metrics"]
    equal: tuple[tuple[str, str], ...] = ()

    def of(self, metric: str, explainers: Sequence[str]) -> Float[np.ndarray, "draws chosen"]:
        """The scores of these explainers by one metric."""
        rows = [self.explainers.index(name) for name in explainers]
        return self.scores[:, rows, self.metrics.index(metric)]


@dataclass(frozen=True)
class Agreement:
    """τ_b of two metrics, the mean over the places where both ranked at least `LEAST` explainers.

    `taus` holds it for the texts as they are and then for each draw; `across` says that the two were measured on
    different data sets, under models of the same name.
    """

    a: str
    b: str
    taus: Float[np.ndarray, "draws"]
    explainers: int
    places: int
    across: bool


def standing_of(panel: Panel, draws: int, seed: int) -> Standing:
    """The explainers by each metric that has a better and worse, and on so many resamples of the texts."""
    kept = [i for i, metric in enumerate(panel.metrics) if higher_is_better(metric) is not None]
    signs = np.array([1.0 if higher_is_better(panel.metrics[i]) else -1.0 for i in kept])
    weights = np.where(_comparable(panel.present), panel.adjusted, 0.0)
    values, weights = clean(panel.values[:, :, kept], weights[:, :, kept])
    n = len(panel.texts)
    rows = np.concatenate([np.arange(n)[None], np.random.default_rng(seed).integers(0, n, (draws, n))])
    means = resampled_means(rows, values.reshape(n, -1), weights.reshape(n, -1))
    equal = equal_columns(panel.values[:, :, kept], widths(panel)[kept])
    scores = _once(signs * means.reshape(len(rows), len(panel.explainers), len(kept)), equal)
    metrics = tuple(panel.metrics[i] for i in kept)
    alike = tuple((name, panel.explainers[i]) for name, i in zip(panel.explainers, equal, strict=True))
    alike = tuple(pair for pair in alike if pair[0] != pair[1])
    return Standing(panel.key["dataset"], panel.key["model"], panel.explainers, metrics, scores, alike)


def _once(
    scores: Float[np.ndarray, "draws explainers metrics"], equal: Int[np.ndarray, "explainers"]
) -> Float[np.ndarray, "draws explainers metrics"]:
    """The scores with NaN for all but the first of explainers that are equal, which takes the place of one it lacks."""
    found = scores.copy()
    for explainer in np.flatnonzero(equal != np.arange(len(equal))):
        first = equal[explainer]
        lacks = np.isnan(found[0, first])
        found[:, first, lacks] = scores[:, explainer, lacks]
        found[:, explainer] = np.nan
    return found


def _comparable(present: Bool[np.ndarray, "texts explainers metrics"]) -> Bool[np.ndarray, "texts explainers metrics"]:
    """By each metric the texts that all explainers have: means over different texts are no ranking.

    Explainers with fewer than half of the most texts by a metric are left out of it.
    """
    counts = present.sum(axis=0)
    many = (counts > 0) & (2 * counts >= counts.max(axis=0))
    shared: Bool[np.ndarray, "texts metrics"] = (present | ~many).all(axis=1)
    return shared[:, None] & many


def agreement_of(a: str, b: str, standings: Sequence[Standing]) -> Agreement | None:
    """Where both were measured in one place; failing that, on different data sets under models of one name."""
    having = [[each for each in standings if metric in each.metrics] for metric in (a, b)]
    within = [(each, each) for each in having[0] if any(each is other for other in having[1])]
    apart = [(x, y) for x in having[0] for y in having[1] if x.model == y.model and x.dataset != y.dataset]
    for places, across in ((within, False), (apart, True)):
        found = [each for x, y in places if (each := _taus(a, b, x, y)) is not None]
        if found:
            taus = np.stack([each for each, _ in found])
            known = np.isfinite(taus)
            with np.errstate(invalid="ignore"):
                mean = np.where(known, taus, 0.0).sum(axis=0) / known.sum(axis=0)
            return Agreement(a, b, mean, min(count for _, count in found), len(found), across)
    return None


def _taus(a: str, b: str, x: Standing, y: Standing) -> tuple[Float[np.ndarray, "draws"], int] | None:
    shared = [name for name in x.explainers if name in y.explainers]
    first, second = x.of(a, shared), y.of(b, shared)
    known = np.isfinite(first[0]) & np.isfinite(second[0])
    taus = tau_b(first[:, known], second[:, known])
    return None if known.sum() < LEAST or np.isnan(taus[0]) else (taus, int(known.sum()))
