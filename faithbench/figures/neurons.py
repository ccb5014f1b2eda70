"""Scores of neurons by layer and by how often they fire, and against the length of descriptions: data of figures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from faithbench.errors import UserError
from faithbench.figures.choosing import Choice, few_panels, leading
from faithbench.records.columns import PLACE
from faithbench.records.results import CELL
from faithbench.statistics.density import DECILES, decile_edges, deciles, in_deciles, means_by_decile
from faithbench.statistics.intervals import intervals
from faithbench.tables.comparing_neurons import CONTROL, Neurons, neurons_of
from faithbench.tables.comparing_neurons import NUMBERS as TOLD
from faithbench.tables.table import table

PANEL = ["dataset", "explainer", "metric"]
MOST = 6  # panels of lines
NUMBERS = ["mean", "low", "high", "n"]
Told = tuple[pd.DataFrame, tuple[str, ...]]  # data, and sentences on what is not in it


def layers(folders: Sequence[Path | str], choice: Choice) -> Told:
    """The means of `faithbench.table` apart for each `layer`.

    Raises:
        UserError: the runs hold no neurons, or nothing of what is named.
    """
    frame = _scores(choice.of(table(folders, by_layer=True)), choice)
    return _few(frame[[*CELL, "layer", *NUMBERS]])


def lengths(folders: Sequence[Path | str], choice: Choice) -> Told:
    """The scores of describers, and how many bits their descriptions have on average (`cost`, 1 for none).

    Raises:
        UserError: the runs hold no neurons, or do not say how long descriptions are.
    """
    frame = table(folders)
    if "bits" not in frame or frame["bits"].isna().all():
        raise UserError("the runs hold no descriptions of neurons, or do not say how long these are.")
    shown = [*CELL, *NUMBERS, "rank_group", "tied_with_best", "cost"]
    frame = _scores(choice.of(frame.assign(cost=frame["bits"].clip(lower=1))), choice)
    if not choice.metrics:
        first = frame.groupby(PLACE)["metric"].transform(lambda names: min(set(names), key=leading))
        frame = frame[frame["metric"] == first]
    frame, notes = few_panels(frame[frame["cost"].notna()][shown])
    return frame.reset_index(drop=True), notes


def by_density(folders: Sequence[Path | str], choice: Choice) -> Told:
    """Means by `decile` of how often neurons fire, from 1, whose median `density` is in percent of tokens.

    Models that differ in their seed alone are one, and deciles are of all models that are no controls.

    Raises:
        UserError: the runs hold no neurons, or do not say how often each fires.
    """
    rows = [row for dataset, neurons in neurons_of(folders) for row in _deciles(dataset, neurons)]
    if not rows:
        raise UserError("the runs hold no neurons of which it is known how often each fires.")
    return _few(_scores(choice.of(pd.DataFrame(rows)), choice))


def _deciles(dataset: str, neurons: Neurons) -> Iterator[dict[str, object]]:
    own = neurons.records[neurons.records["control"] == ""]
    density = own.drop_duplicates(["model", "model_fingerprint", "unit"])["density"].fillna(0.0)
    edges = decile_edges(density.to_numpy(dtype=np.float64))
    if not len(edges):
        return
    for (model, metric, explainer), group in own.groupby(["bare", "metric", "explainer"], observed=True):
        fires, values, weights = (group[name].to_numpy(dtype=np.float64) for name in TOLD)
        places = deciles(np.nan_to_num(fires), edges)
        means, counts = means_by_decile(values, places, weights)
        found = intervals(in_deciles(values, places), np.repeat(weights[:, None], DECILES, axis=1))
        for decile in np.flatnonzero(counts):
            yield {
                "dataset": dataset,
                "model": str(model),
                "explainer": str(explainer),
                "metric": str(metric),
                "kind": CONTROL if metric not in neurons.scores else "",
                "decile": int(decile) + 1,
                "density": float(100 * np.median(fires[places == decile])),
                "mean": float(means[decile]),
                "low": float(found.low[decile]),
                "high": float(found.high[decile]),
                "n": int(counts[decile]),
            }


def _scores(frame: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """What has values; scores that judge others only where they are named."""
    kept = frame[(frame["n"] > 0) & ((frame["kind"] != CONTROL) | bool(choice.metrics))]
    if kept.empty:
        raise UserError("there is nothing to draw: no neuron has a value by the scores that are meant.")
    return kept


def _few(frame: pd.DataFrame) -> Told:
    """No more panels than a figure can hold, and a sentence on the others."""
    every = frame[PANEL].drop_duplicates()
    order = sorted(every.itertuples(index=False, name=None), key=lambda key: (leading(str(key[2])), *map(str, key)))
    if len(order) <= MOST:
        return frame.reset_index(drop=True), ()
    kept = pd.MultiIndex.from_frame(frame[PANEL].astype(str)).isin(order[:MOST])
    note = f"{MOST} of {len(order)} panels are drawn; choose others with --metric, --explainer or --dataset."
    return frame[kept].reset_index(drop=True), (note,)
