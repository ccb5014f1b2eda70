"""Means by explainer, curves over shares of tokens, and costs: the data of figures of runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from faithbench.errors import UserError
from faithbench.figures.choosing import PLACES, Choice, few_panels, leading, line_of
from faithbench.plugins import spec
from faithbench.records.columns import PLACE
from faithbench.records.results import CELL, Panel, installed, label, named, panels, predicted_classes, read
from faithbench.records.store import Store
from faithbench.tables.table import table

SHOWN = [*CELL, "mean", "low", "high", "n", "rank_group", "tied_with_best"]
Told = tuple[pd.DataFrame, tuple[str, ...]]  # data, and sentences on what is not in it
COSTS = ("rows", "seconds")


def scores(folders: Sequence[Path | str], choice: Choice) -> Told:
    """The numbers of `faithbench.table`, and for each metric the mean that the best orders found have (`best`)."""
    every = table(folders)
    frame = choice.of(every)[SHOWN]
    frame = frame[frame["n"] > 0]
    if frame.empty:
        raise UserError("there is nothing to draw: no explainer has a value by the metrics that are meant.")
    frame, notes = few_panels(frame, PLACES[line_of(frame)])
    knows_best = not {_normalised(str(name)) for name in every["metric"]}.isdisjoint(frame["metric"])
    best = _best(folders, frame) if knows_best else np.nan
    return frame.assign(best=best).reset_index(drop=True), notes


def _best(folders: Sequence[Path | str], frame: pd.DataFrame) -> list[float]:
    """What the best order found of each row's metric comes to, from records of `normalised(…)`; NaN without."""
    wanted = set(frame["metric"])
    every = read(folders)
    inner = {name: _normalised(str(name)) for name in every["metric"].unique()}
    kept = every[every["metric"].map(inner).isin(wanted) & (every["parts"].map(_count) == 3)]
    found: dict[tuple[str, ...], float] = {}
    if not kept.empty:
        kept = kept.assign(value=[parts[2] for parts in kept["parts"]], weight=1.0)
        for panel in panels(kept, predicted=predicted_classes(folders)):
            for column, metric in enumerate(panel.metrics):
                most = int((panel.weights[:, :, column] > 0).sum(axis=0).argmax())
                found[(*panel.key.values(), str(inner[metric]))] = float(panel.means[most, column])
    keys = frame[[*PLACE, "metric"]].itertuples(index=False, name=None)
    return [found.get(key, np.nan) for key in keys]


def _normalised(metric: str) -> str | None:
    """The metric inside of one that says how near to the best order found an explanation is."""
    if not metric.startswith("normalised(") or installed("metric", metric) is None:
        return None
    return str(spec.parse(metric)[2].get("metric", ""))


def _count(parts: object) -> int:
    return len(parts) if isinstance(parts, (list, tuple, np.ndarray)) else 0


def curves(folders: Sequence[Path | str], choice: Choice) -> Told:
    """The mean part of each metric whose parts are a curve, by the `share` of tokens, with its interval over texts.

    Raises:
        UserError: the records hold no such parts.
    """
    every = choice.of(read(folders))
    shares = {str(name): _shares(str(name)) for name in every["metric"].unique()}
    counts = every["parts"].map(_count)
    kept = every[(counts > 0) & (counts == every["metric"].map({name: len(at) for name, at in shares.items()}))]
    if kept.empty:
        names = [label("metric", name) for name, at in shares.items() if at]
        raise UserError(
            f"there is no curve to draw: records of {min(names, key=len)} hold no parts, as published boards may not."
            if names
            else "there is no curve to draw: comprehensiveness and sufficiency are curves, these metrics are none."
        )
    kept, notes = few_panels(kept)
    rows = [row for metric, group in kept.groupby("metric") for row in _curve(folders, group, shares[str(metric)])]
    return pd.DataFrame(rows).sort_values([*CELL, "share"], ignore_index=True), notes


def _shares(metric: str) -> tuple[float, ...]:
    found = installed("metric", metric)
    return () if found is None else found.traits.parts_at


def _curve(
    folders: Sequence[Path | str], records: pd.DataFrame, shares: Sequence[float]
) -> Iterator[dict[str, object]]:
    """The rows of one metric: means as tables make them, of each part in place of the value."""
    parts = np.stack([np.asarray(each, dtype=np.float64) for each in records["parts"]])
    metric = str(records["metric"].iloc[0])
    for place, share in enumerate(shares):
        for panel in panels(records.assign(value=parts[:, place], weight=1.0), predicted=predicted_classes(folders)):
            for explainer, mean, low, high, n in _means(panel):
                row = {**panel.key, "explainer": explainer, "metric": metric, "share": share}
                yield {**row, "mean": mean, "low": low, "high": high, "n": n}


def _means(panel: Panel) -> Iterator[tuple[str, float, float, float, int]]:
    """Of a panel with one metric."""
    places = np.argwhere(panel.present.any(axis=0))
    found = panel.intervals(places)
    for number, (explainer, metric) in enumerate(places):
        mean, n = panel.means[explainer, metric], (panel.weights[:, explainer, metric] > 0).sum()
        yield panel.explainers[explainer], float(mean), float(found.low[number]), float(found.high[number]), int(n)


def costs(folders: Sequence[Path | str], choice: Choice, by: str) -> Told:
    """The scores of the leading metric of each place, and what an explanation cost, in `rows` or `seconds` a text.

    Raises:
        UserError: the runs hold no attributions, or not what they cost.
    """
    if by not in COSTS:
        raise UserError(f"cost by {by!r} is not known; use {' or '.join(COSTS)}.")
    spent = _spent(folders, by)
    frame = choice.of(table(folders))[SHOWN]
    frame = frame[frame["n"] > 0].merge(spent, on=[*PLACE, "explainer"])
    if frame.empty:
        raise UserError(
            f"the runs do not say what explanations cost in {by}: they hold no attributions, as boards do not."
        )
    notes: tuple[str, ...] = ()
    if not choice.metrics:
        first = frame.groupby(PLACE)["metric"].transform(lambda names: min(set(names), key=leading))
        frame = frame[frame["metric"] == first]
    frame, more = few_panels(frame)
    return frame.reset_index(drop=True), notes + more


def _spent(folders: Sequence[Path | str], by: str) -> pd.DataFrame:
    """The mean cost of an explanation of each explainer on each place."""
    frames = [frame for folder in folders if not (frame := Store(Path(folder)).read("attributions")).empty]
    if not frames:
        return pd.DataFrame(columns=[*PLACE, "explainer", "cost"])
    frame = pd.concat(frames, ignore_index=True)
    frame = frame[frame["error"].isna() & named(frame, folders)]
    frame = frame.assign(cost=pd.to_numeric(frame[by]))
    return frame.dropna(subset=["cost"]).groupby([*PLACE, "explainer"])["cost"].mean().reset_index()
