"""What runs have measured: records read and checked, set out as arrays; directions and kinds of metrics."""

import functools
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from faithbench.errors import UserError
from faithbench.interfaces import Traits
from faithbench.paths import as_paths
from faithbench.plugins import spec
from faithbench.records.columns import PLACE
from faithbench.records.fingerprints import precision_of
from faithbench.records.manifest import Predicted, predictions
from faithbench.records.parts import as_categories, as_frame, together
from faithbench.records.settled import Codes, joined, numbered, repeats
from faithbench.records.store import Store
from faithbench.statistics.intervals import Intervals, clean, intervals, weighted_mean
from faithbench.statistics.stratified import Strata, stratified_intervals

CELL = [*PLACE, "explainer", "metric"]
UNIT = ["unit", "target", "against"]  # what a record of a cell is of
NEEDED = ("value", "weight")  # by tables, besides identity and error
TOLERANCE = 1e-3  # what rounding in another batch may change, in the metrics' units (percent, nats)
COARSE = 0.5  # the same in mixed precision, in which a row depends on what it shares a batch with
FAITHFULNESS = Traits().kind
TRUTH = "ground truth"
KINDS = (TRUTH, FAITHFULNESS, "plausibility", "simplicity")


@dataclass(frozen=True)
class Panel:
    """The records of one model on one data set: what was measured on the same texts and can be paired.

    `values` are NaN where there is no value, `weights` 0. `present` marks the records, `failed` those with an error.
    `strata` are the classes that were explained, with their shares of the split; None where these are not known.
    """

    key: dict[str, str]
    texts: tuple[str, ...]
    explainers: tuple[str, ...]
    metrics: tuple[str, ...]
    values: Float[np.ndarray, "texts explainers metrics"]
    weights: Float[np.ndarray, "texts explainers metrics"]
    present: Bool[np.ndarray, "texts explainers metrics"]
    failed: Bool[np.ndarray, "texts explainers metrics"]
    strata: Strata | None = None

    @functools.cached_property
    def counted(self) -> Bool[np.ndarray, "texts explainers metrics"]:
        """The texts that stand for their class: measured, be their value undefined or not."""
        return self.present & ~self.failed

    def without(self, gone: Bool[np.ndarray, "#explainers #metrics"]) -> "Panel":
        """The panel as if nothing had been measured in these cells."""
        if not gone.any():
            return self
        return replace(
            self,
            values=np.where(gone, np.nan, self.values),
            weights=np.where(gone, 0.0, self.weights),
            present=self.present & ~gone,
            failed=self.failed & ~gone,
        )

    @functools.cached_property
    def stratified(self) -> Bool[np.ndarray, "explainers metrics"]:
        """Of which cells the means are post-stratified."""
        if self.strata is None:
            return np.zeros(self.present.shape[1:], dtype=bool)
        return self.strata.usable(self.counted.reshape(len(self.texts), -1)).reshape(self.present.shape[1:])

    @functools.cached_property
    def adjusted(self) -> Float[np.ndarray, "texts explainers metrics"]:
        """The weights with which texts count in means: those of a class as much as the class has of the split."""
        return self.weights if self.strata is None else self.weights * self.strata.factors(self.counted)

    @property
    def means(self) -> Float[np.ndarray, "explainers metrics"]:
        """The mean of each cell: weighted, and post-stratified by the class that was explained where that can be."""
        return weighted_mean(self.values, self.adjusted)

    @property
    def raw_means(self) -> Float[np.ndarray, "explainers metrics"]:
        """The weighted mean over the texts that were measured, of each cell."""
        return weighted_mean(self.values, self.weights)

    def intervals(self, places: Int[np.ndarray, "cells 2"]) -> Intervals:
        """The intervals of the means of some cells.

        Args:
            places: explainer and metric of each cell.
        """
        values, weights, counted = (
            each[:, places[:, 0], places[:, 1]] for each in (self.values, self.weights, self.counted)
        )
        found = intervals(values, weights)
        chosen = np.flatnonzero(self.stratified[places[:, 0], places[:, 1]])
        if self.strata is None or not len(chosen):
            return found
        better = stratified_intervals(values[:, chosen], weights[:, chosen], counted[:, chosen], self.strata)
        low, high, method = found.low.copy(), found.high.copy(), np.array(found.method, dtype=object)
        low[chosen], high[chosen], method[chosen] = better.low, better.high, better.method
        return Intervals(low, high, tuple(method))


def read(folders: Sequence[Path | str], slim: bool = False) -> pd.DataFrame:
    """The records of runs, one for each cell and text, of each component's latest version.

    Args:
        folders: of the runs.
        slim: only what tables need (`NEEDED`), in little memory: texts are categories.

    Raises:
        UserError: a folder is no run, or two runs hold different records of one identity.
    """
    columns = NEEDED if slim else None
    tables = [_records(folder, columns) for folder in as_paths("folders", folders)]
    table = joined("records", together(tables))
    del tables
    frame = _latest((as_categories if slim else as_frame)("records", table, columns))
    del table
    pa.default_memory_pool().release_unused()
    keys = [*CELL, *UNIT]
    if not any_twice(frame, keys):
        return frame
    twice = frame.duplicated(keys, keep=False)
    again = frame[twice & frame["error"].isna()].groupby(keys, dropna=False, observed=True)["value"].agg(["min", "max"])
    coarse = [bool(precision_of(str(key))) for key in again.index.get_level_values("model_fingerprint")]
    apart = again[(again["max"] - again["min"]).abs() > np.where(coarse, COARSE, TOLERANCE)]
    if not apart.empty:
        cell = dict(zip(keys, apart.index[0], strict=True))
        raise UserError(
            f"the runs hold two different records of {cell['metric']} of {cell['explainer']} on text "
            f"{cell['unit']!r}: {apart['min'].iloc[0]:.6g} and {apart['max'].iloc[0]:.6g}."
        )
    frame = frame.loc[frame["error"].isna().sort_values(kind="stable").index]  # what failed once may have worked
    return frame.drop_duplicates(keys, keep="last")


def any_twice(frame: pd.DataFrame, names: Sequence[str]) -> bool:
    """Whether two entries are the same in these columns; in less memory than pandas needs."""
    return len(frame) > 1 and repeats(numbered(_codes(frame[name]) for name in names))


def _codes(column: "pd.Series[Any]") -> Codes:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy() + np.int64(1), len(column.cat.categories) + 1
    codes, distinct = pd.factorize(column)
    return codes + 1, len(distinct) + 1


class Earlier(NamedTuple):
    """Records of a version of an explainer or metric that is not the one installed."""

    component: str
    identity: str
    then: int
    now: int
    records: int


def earlier_versions(frame: pd.DataFrame) -> list[Earlier]:
    """The records that components as they are now would not give; entries of other kinds say nothing.

    A record's version is the explainer's and the metric's (see `faithbench.running.scoring`).
    """
    changes: dict[tuple[str, str, int, int], int] = {}
    if not {"explainer", "metric", "version"} <= set(frame):
        return []
    counts = frame.groupby(["explainer", "metric", "version"], observed=True).size().reset_index()
    for *pair, version, records in counts.itertuples(index=False, name=None):
        for component, name, then in zip(("explainer", "metric"), pair, map(int, version.split(".")), strict=True):
            built = installed(component, name)
            if built is not None and built.version != then:
                key = component, name, then, built.version
                changes[key] = changes.get(key, 0) + int(records)
    return [Earlier(*key, records) for key, records in changes.items()]


def named(frame: pd.DataFrame, folders: Sequence[Path | str], strictly: bool = False) -> Bool[np.ndarray, "entries"]:
    """Which records or attributions are of the weights and data that the runs' manifests name.

    Args:
        frame: records or attributions of these runs.
        folders: of the runs.
        strictly: not of a model or data set either of which the manifests say nothing.
    """
    fingerprints: dict[str, set[str]] = {}
    for folder in folders:
        manifest = Store(Path(folder)).manifest()
        models, datasets = manifest.get("models", {}), manifest.get("datasets", {})
        found = {f"models {name}": entry["fingerprint"] for name, entry in models.items()}
        found |= {f"datasets {name}": entry["fingerprint"] for name, entry in datasets.items()}
        for name, fingerprint in found.items():
            fingerprints.setdefault(name, set()).add(fingerprint)
    places = frame.groupby(PLACE, observed=True, dropna=False, sort=False)
    told = []
    for dataset, data, model, weights in places.size().index:
        pairs = ((f"models {model} on {dataset}", weights), (f"datasets {dataset}", data))
        told.append(all(has in fingerprints.get(key, () if strictly else (has,)) for key, has in pairs))
    return np.array(told, dtype=bool)[places.ngroup()]


def predicted_classes(folders: Sequence[Path | str]) -> dict[tuple[str, ...], Predicted]:
    """How often models predict each class, as the manifests of runs say: by data set and model with fingerprints."""
    found: dict[tuple[str, ...], Predicted] = {}
    for folder in folders:
        manifest = Store(Path(folder)).manifest()
        for name, entry in manifest.get("models", {}).items():
            for dataset, data in manifest.get("datasets", {}).items():
                for fingerprint, said in predictions(entry).items() if name.endswith(f" on {dataset}") else ():
                    model = name.removesuffix(f" on {dataset}")
                    key = dataset, data["fingerprint"], model, fingerprint
                    found[key] = max(found.get(key, said), said, key=itemgetter("texts"))
    return found


def panels(
    frame: pd.DataFrame, by_class: bool = False, predicted: Mapping[tuple[str, ...], Predicted] | None = None
) -> Iterator[Panel]:
    """The records as arrays, a panel for each data set and model, with their fingerprints, in alphabetical order.

    Args:
        frame: records.
        by_class: a panel for each class that was explained.
        predicted: how often models predict each class (`predicted_classes`); means are post-stratified by it.
    """
    columns = [*PLACE, "target"] if by_class else PLACE
    numbers = numbered((codes, len(known)) for codes, known in (_distinct(frame[name]) for name in columns))
    for number in np.unique(numbers):
        own = numbers == number
        group = frame if own.all() else frame[own]
        del own
        key = {name: str(group[name].iloc[0]) for name in columns}
        shares = None if by_class else (predicted or {}).get(tuple(key.values()))
        panel = _panel(key, group, shares)
        del group  # while whoever asks works at the panel
        yield panel


def _panel(key: dict[str, str], group: pd.DataFrame, shares: Predicted | None) -> Panel:
    place, shape, names = np.zeros(1, dtype=np.int64), list[int](), list[tuple[str, ...]]()
    for column in (unit_names(group), group["explainer"], group["metric"]):
        codes, known = _distinct(column)
        names.append(tuple(map(str, known)))
        shape.append(len(known))
        place = place * len(known) + codes
    values, weights = np.full(shape, np.nan), np.zeros(shape)
    present, failed = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    failures = group["error"].notna().to_numpy()
    measured = np.where(failures, np.nan, group["value"].to_numpy(dtype=np.float64))
    given = pd.to_numeric(group["weight"]).to_numpy(dtype=np.float64, na_value=np.nan)
    _, counted = clean(measured, given)
    del given
    np.put(values, place, np.where(counted > 0, measured, np.nan))
    for array, found in ((weights, counted), (present, True), (failed, failures)):
        np.put(array, place, found)
    texts, explainers, metrics = names
    strata = None if shares is None else _strata(group, texts, shares)
    return Panel(key, texts, explainers, metrics, values, weights, present, failed, strata)


def _distinct(column: "pd.Series[Any]") -> tuple[Int[np.ndarray, "entries"], Sequence[Any]]:
    """The different values of a column in order, and the number of each entry's; of categories in little memory."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        codes, known = pd.factorize(column, sort=True)
        return codes, list(known)
    numbers, categories = column.cat.codes.to_numpy(), column.cat.categories
    used = np.unique(numbers)
    places = np.zeros(len(categories), dtype=np.int32)
    places[used] = np.arange(len(used))
    return places[numbers], list(categories[used])


def _strata(group: pd.DataFrame, texts: Sequence[str], shares: Predicted) -> Strata | None:
    """The class that was explained of each text, with the shares; None where that is not one class a text."""
    worked = group[group["error"].isna()]
    targets = worked.groupby("unit", observed=True)["target"].agg(["min", "max"])
    if worked["against"].notna().any() or (targets["min"] != targets["max"]).any():
        return None
    classes = {int(name): place for place, name in enumerate(shares["classes"])}
    explained = dict(zip(map(str, targets.index), targets["min"], strict=True))
    of_texts = np.array([classes.get(explained.get(text, -1), -1) for text in texts])
    counts = np.array(list(shares["classes"].values()), dtype=np.float64)
    return Strata(of_texts, counts / counts.sum(), int(counts.sum()))


def unit_names(group: pd.DataFrame) -> "pd.Series[str]":
    """What stands on the axis of units: their names, with the target where a unit has several of them."""
    if not any_twice(group, ["explainer", "metric", "unit"]):
        return group["unit"]
    return group["unit"].astype(str) + " [" + group["target"].astype(str) + "]"


def _records(folder: Path, columns: Collection[str] | None) -> pa.Table:
    if not (folder / "records").is_dir():
        raise UserError(f"{folder} is not a run: it has no records.")
    table = Store(folder).entries("records", columns=columns)
    if not len(table):
        raise UserError(f"{folder} holds no records yet.")
    return table


def _latest(frame: pd.DataFrame) -> pd.DataFrame:
    """The records of each cell's latest version."""
    numbers = sorted(frame["version"].unique(), key=lambda version: tuple(map(int, version.split("."))))
    if len(numbers) == 1:
        return frame
    order = frame["version"].map({version: i for i, version in enumerate(numbers)}).astype(int)
    return frame[order == order.groupby([frame[name] for name in CELL], observed=True).transform("max")]


def higher_is_better(metric: str) -> bool | None:
    """The direction of a metric, as it states it itself; None: no better or worse, or not installed."""
    found = installed("metric", metric)
    return None if found is None else found.traits.higher_is_better


def kind(metric: str) -> str:
    """What a metric is about, one of `KINDS` or a word of its own; faithfulness if it does not say."""
    found = installed("metric", metric)
    return FAITHFULNESS if found is None else found.traits.kind


def kind_order(name: str) -> tuple[int, str]:
    """For sorting kinds of metrics: the known ones as in `KINDS`, then others by name."""
    return known_first(name, KINDS)


def known_first(name: str, known: Sequence[str]) -> tuple[int, str]:
    """For sorting: known names in their order, then others by name."""
    return (known.index(name) if name in known else len(known), name)


def degrades(explainer: str) -> tuple[str, float] | None:
    """The explainer that this one is a degraded copy of, and the share; None if it is none, or not installed."""
    found = installed("explainer", explainer)
    return None if found is None else found.traits.degrades


def label(component: str, identity: str) -> str:
    """The identity without parameters that have their default, if the component is installed; nothing is made."""
    return _short(component, identity, tuple(sys.path))


@functools.cache
def _short(component: str, identity: str, path: tuple[str, ...]) -> str:
    """Kept, since tables ask often, and looking takes time."""
    return spec.label(component, identity)


def installed(component: str, identity: str) -> spec.Component | None:
    """The component of an identity, if it can be had from where packages are looked for."""
    return _component(component, identity, tuple(sys.path))


@functools.cache
def _component(component: str, identity: str, path: tuple[str, ...]) -> spec.Component | None:
    """Kept, since tables ask often, and looking takes time."""
    try:
        return spec.build(component, identity)
    except UserError:
        return None


def labels(component: str, identities: Iterable[str]) -> dict[str, str]:
    """What to call components that stand side by side: their labels, unless one would be the name of two."""
    found = {identity: label(component, identity) for identity in dict.fromkeys(identities)}
    counts = Counter(found.values())
    return {identity: name if counts[name] == 1 else identity for identity, name in found.items()}
