"""What tables say of neurons besides means: undefined correlations with their reasons, and lengths of descriptions."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faithbench.activations import reason
from faithbench.records.results import CELL, labels, read
from faithbench.records.seeds import without_seed
from faithbench.records.units import lengths, of_neurons
from faithbench.tables.parts import EMPTY, Cell, Column, Grid, Heading, Number, Part, Words
from faithbench.tables.wording import places_of

CONSTANT = {"activations_constant": "activations constant", "simulation_constant": "simulation constant"}
ADDED = ("mean_with_zeros", "undefined_share", *CONSTANT, "bits")
HEADINGS = {
    "faithfulness": "simulation: does the description predict what the neuron does?",
    "control": "controls: what nothing, or learning by heart, comes to",
}


def with_neurons(frame: pd.DataFrame, folders: Sequence[Path | str], over_seeds: bool = False) -> pd.DataFrame:
    """A frame of `tables.table` with what is to be said of neurons; of texts alone it stays as it is.

    Columns: `mean_with_zeros`, the mean with 0 for what is undefined; `undefined_share`, in percent of the neurons that
    did not fail; of the undefined ones how many had `activations_constant`, and failing that a `simulation_constant`,
    in all windows that were scored (`faithbench.activations.reason`); and `bits`, the mean length of the descriptions.
    """
    if of_neurons(frame).empty:
        return frame
    keys = ["target", *CELL] if "target" in frame else list(CELL)
    records, described = of_neurons(read(folders)), lengths(folders)
    if over_seeds:
        records, described = (_one_model(each) for each in (records, described))
        keys.remove("model_fingerprint")
    told = records.assign(target=records["target"].astype(int)).groupby(keys, observed=True).apply(_told).reset_index()
    by = [key for key in keys if key not in ("metric", "target")]
    bits = described.groupby(by, observed=True)["bits"].mean().reset_index()
    return frame.merge(told, on=keys, how="left").merge(bits, on=by, how="left")


def _one_model(frame: pd.DataFrame) -> pd.DataFrame:
    """Models that differ in their seed alone have one name."""
    return frame.assign(model=frame["model"].map(without_seed))


def _told(group: pd.DataFrame) -> "pd.Series[Any]":
    """What a cell says of the neurons without a value."""
    tried = group[group["error"].isna()]
    values = tried["value"].to_numpy(dtype=np.float64)
    weights = pd.to_numeric(tried["weight"]).fillna(1.0).to_numpy(dtype=np.float64)
    lost = ~(np.isfinite(values) & (weights > 0)) if len(tried) else np.zeros(0, dtype=bool)
    total = weights.sum()
    mean = float((weights[~lost] * values[~lost]).sum() / total) if total > 0 and len(tried) else math.nan
    reasons = [reason([] if parts is None else list(parts)) for parts in tried.loc[lost, "parts"]]
    found = {"mean_with_zeros": mean, "undefined_share": 100 * lost.mean() if len(tried) else math.nan}
    return pd.Series({**found, **{name: reasons.count(words) for name, words in CONSTANT.items()}})


def undefined(group: pd.DataFrame) -> Iterator[Part]:
    """A grid of the describers that have no value for some neurons: how many, why, and each mean with 0 for these.

    Where this is the same by several scores, they share a row.

    Args:
        group: rows of a frame of `tables.table` with `ADDED`, of one model on one data set.
    """
    some = group[(group["undefined"] > 0) & (group["kind"] != "control")]
    if some.empty:
        return
    names = {kind: labels(kind, some[kind]) for kind in ("explainer", "metric")}
    places, scores = places_of(group["high"] - group["low"]), sorted(map(str, some["metric"].unique()))
    yield Heading("undefined: how many neurons, and why; and by each score the mean with 0 for these")
    heads = ("undefined", *CONSTANT.values(), *(names["metric"][name] for name in scores))
    same = ["explainer", "undefined", "undefined_share", *CONSTANT]
    some = some.fillna(dict.fromkeys(CONSTANT, -1))
    yield Grid(
        (Column("describer"), *(Column(head, right=True) for head in heads)),
        tuple(
            (
                Words(names["explainer"][str(first.explainer)]),
                Number(int(first.undefined), remarks=(f"{first.undefined_share:.1f} %",)),
                *(Number(int(first[name])) if first[name] >= 0 else EMPTY for name in CONSTANT),
                *_with_zeros(cells, scores, places),
            )
            for first, cells in ((cells.iloc[0], cells) for _, cells in some.groupby(same))
        ),
    )


def _with_zeros(cells: pd.DataFrame, scores: Sequence[str], places: int) -> Iterator[Cell]:
    """The means with 0 by some scores, where the cells are of them."""
    means = dict(zip(map(str, cells["metric"]), map(float, cells["mean_with_zeros"]), strict=True))
    yield from (Number(means[name], places) if name in means else EMPTY for name in scores)


def length_of(group: pd.DataFrame) -> dict[str, float]:
    """The mean length in bits of each describer's descriptions, where it is known."""
    known = group[group["bits"].notna()]
    return dict(zip(map(str, known["explainer"]), map(float, known["bits"]), strict=True))
