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
from faithbench.tables.parts import EMPTY, Column, Grid, Heading, Number, Part, Words
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
    return frame.assign(model=frame["model"].map(lambda name: without_seed(str(name))))


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
    """A grid of the cells in which some neurons have no value, with all three ways to say the mean, and the reasons.

    Args:
        group: rows of a frame of `tables.table` with `ADDED`, of one model on one data set.
    """
    some = group[(group["undefined"] > 0) & (group["kind"] != "control")]
    if some.empty:
        return
    names = {kind: labels(kind, some[kind]) for kind in ("explainer", "metric")}
    places = places_of(group["high"] - group["low"])
    yield Heading("undefined: the mean over defined values, the mean with 0 for undefined ones, and why they are")
    heads = ("score", "describer", "defined", "with 0", "undefined", "%", *CONSTANT.values())
    yield Grid(
        tuple(Column(head, right=number > 1) for number, head in enumerate(heads)),
        tuple(
            (
                Words(names["metric"][str(row.metric)]),
                Words(names["explainer"][str(row.explainer)]),
                Number(row.mean, places) if row.n else EMPTY,
                Number(row.mean_with_zeros, places),
                Number(int(row.undefined)),
                Number(row.undefined_share, 1),
                *(Number(int(getattr(row, name))) if getattr(row, name) >= 0 else EMPTY for name in CONSTANT),
            )
            for row in _rows(some)
        ),
        keys=2,
    )


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    yield from frame.sort_values(["metric", "explainer"]).itertuples()


def length_of(group: pd.DataFrame) -> dict[str, float]:
    """The mean length in bits of each describer's descriptions, where it is known."""
    known = group[group["bits"].notna()]
    return dict(zip(map(str, known["explainer"]), map(float, known["bits"]), strict=True))
