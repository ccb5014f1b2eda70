"""Trainings that differ in their seed alone, put together. Variance over seeds stays apart from that over texts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.records.fingerprints import precision_of
from faithbench.records.results import Panel
from faithbench.statistics.intervals import weighted_mean

MADE_OF = "model"  # the parameter that names the model another is made of


@dataclass(frozen=True)
class Seeds:
    """One panel for several trainings: a text's value is its mean over them.

    `count` trainings have a mean in a cell, and `deviation` is the standard deviation of these means (NaN for one).
    `raw` are the means over trainings of what is not post-stratified, and `stratified` says in which cells each
    training's mean is post-stratified: of several, the panel's weights are so already. `trainings` are the panels that
    were put together.
    """

    panel: Panel
    count: Int[np.ndarray, "explainers metrics"]
    deviation: Float[np.ndarray, "explainers metrics"]
    raw: Float[np.ndarray, "explainers metrics"]
    stratified: Bool[np.ndarray, "explainers metrics"]
    trainings: tuple[Panel, ...]

    @property
    def ranked(self) -> Panel:
        """The panel without what was measured on fewer trainings: means over other weights are no ranking."""
        return self.panel.without(self.count < self.count.max(axis=0, initial=0))


@lru_cache(maxsize=1024)
def without_seed(model: str) -> str:
    """The model's spec without its seed, nor that of the model it is made of, such as `calibrated(…)`.

    A folder or hub id stays as it is. Asked of every record, so remembered.
    """
    try:
        name, args, kwargs = spec.parse(model)
    except UserError:
        return model
    if args:
        return model
    kept = {key: value for key, value in kwargs.items() if key != "seed"}
    if isinstance(inner := kept.get(MADE_OF), str):
        kept[MADE_OF] = without_seed(inner)
    return spec.write(name, kept)


def together(panels: Iterable[Panel]) -> list[Seeds]:
    """Panels of one data set whose models differ in their seed alone, each group as one.

    Raises:
        UserError: two of them are of one seed and of other weights, which would pass for two trainings.
    """
    groups: dict[tuple[str, ...], list[Panel]] = {}
    for panel in panels:
        precision = precision_of(panel.key["model_fingerprint"])
        apart = {**panel.key, "model": without_seed(panel.key["model"]), "model_fingerprint": precision}
        groups.setdefault(tuple(map(str, apart.values())), []).append(panel)
    return [_merged(group) for group in groups.values()]


def _merged(group: Sequence[Panel]) -> Seeds:
    weights: dict[str, str] = {}
    for panel in group:
        model, state = panel.key["model"], panel.key["model_fingerprint"]
        if weights.setdefault(model, state) != state:
            raise UserError(
                f"the runs hold two records for one result: two trainings of {model} on {panel.key['dataset']}, "
                f"weights {weights[model]} and {state}; put together are trainings that have a seed each."
            )
    key = {
        **group[0].key,
        "model": without_seed(group[0].key["model"]),
        "model_fingerprint": "+".join(sorted({panel.key["model_fingerprint"] for panel in group})),
    }
    return _alone(replace(group[0], key=key)) if len(group) == 1 else _several(group, key)


def _alone(panel: Panel) -> Seeds:
    count = np.isfinite(panel.means).astype(np.int64)
    return Seeds(panel, count, np.full(count.shape, np.nan), panel.raw_means, panel.stratified, (panel,))


def _several(group: Sequence[Panel], key: dict[str, str]) -> Seeds:
    texts, explainers, metrics = (
        tuple(sorted({name for panel in group for name in getattr(panel, axis)}))
        for axis in ("texts", "explainers", "metrics")
    )
    shape = (len(group), len(texts), len(explainers), len(metrics))
    values, weights = np.full(shape, np.nan), np.zeros(shape)
    present, failed = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    raw, stratified = np.full((len(group), *shape[2:]), np.nan), np.ones((len(group), *shape[2:]), dtype=bool)
    for i, panel in enumerate(group):
        rows = np.searchsorted(texts, panel.texts)
        cells = np.ix_(np.searchsorted(explainers, panel.explainers), np.searchsorted(metrics, panel.metrics))
        place = (rows[:, None, None], *cells)
        values[i][place], weights[i][place] = panel.values, panel.adjusted
        present[i][place], failed[i][place] = panel.present, panel.failed
        raw[i][cells], stratified[i][cells] = panel.raw_means, panel.stratified | ~panel.present.any(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.stack([weighted_mean(*pair) for pair in zip(values, weights, strict=True)])
        shares = np.where(weights > 0, weights / weights.sum(axis=1, keepdims=True), 0.0)  # each training counts alike
        mixed = (shares * np.where(weights > 0, values, 0.0)).sum(axis=0) / shares.sum(axis=0)
        count = np.isfinite(means).sum(axis=0)
        centre = _mean_of_finite(means)
        spread = np.where(np.isfinite(means), (means - centre) ** 2, 0.0).sum(axis=0)
        deviation = np.where(count > 1, np.sqrt(spread / (count - 1)), np.nan)
        raw_mean = _mean_of_finite(raw)
    total, tried = shares.sum(axis=0), np.asarray(present.any(axis=0))
    lost = np.asarray(failed.any(axis=0)) & (total == 0)
    panel = Panel(key, texts, explainers, metrics, mixed, total, tried, lost)
    return Seeds(panel, count, deviation, raw_mean, np.asarray(stratified.all(axis=0)), tuple(group))


def _mean_of_finite(
    means: Float[np.ndarray, "trainings explainers metrics"],
) -> Float[np.ndarray, "explainers metrics"]:
    finite = np.isfinite(means)
    found: Float[np.ndarray, "explainers metrics"] = np.where(finite, means, 0.0).sum(axis=0) / finite.sum(axis=0)
    return found
