"""Scores of neurons apart for each layer, beside what is known of it: how many units fire at all, and how often."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faithbench.errors import UserError
from faithbench.records.results import kind_order, labels
from faithbench.records.seeds import without_seed
from faithbench.records.units import FACTS, of_neurons, sites
from faithbench.tables.parts import EMPTY, Cell, Column, Grid, Heading, Number, Part, Title, Words
from faithbench.tables.wording import places_of

MODEL = ["dataset", "model", "model_fingerprint"]
KNOWN = ["site", *FACTS, "dead", "tokens"]
CONTROL = "control"
LEGEND = (
    "Of each layer: units that there are, and so many of them drawn at random; alive: of these, those that fire "
    "(activation above 0) at one token or more of the documents that are scored, and dead the others; density: the "
    "share of its units that are active at a token, on average, and L0 their number. Where activations are not "
    "rectified, as of GELU, above 0 is counted all the same."
)


def check_layers(records: pd.DataFrame) -> pd.DataFrame:
    """The records of neurons, which have layers.

    Raises:
        UserError: there are none.
    """
    found = of_neurons(records)
    if found.empty:
        raise UserError("the runs hold no neurons, so there are no layers to show; --by class tells classes apart.")
    return found


def with_sites(frame: pd.DataFrame, folders: Sequence[Path | str], over_seeds: bool = False) -> pd.DataFrame:
    """A frame of `tables.table` apart for each layer, with what manifests say of these; missing where they do not.

    Columns: `site`, the module; `units` of it, `chosen` of them, of which `alive` and `dead` ones; `l0` and `density`
    of all units, at a token, on average over `tokens`. Over trainings they are means.
    """
    known, keys = sites(folders), [*MODEL, "layer"]
    known = known.assign(dead=pd.to_numeric(known["chosen"]) - pd.to_numeric(known["alive"]))
    if over_seeds:
        keys.remove("model_fingerprint")
        known = known.assign(model=known["model"].map(without_seed))
        numbers = [name for name in KNOWN if name != "site"]
        known[numbers] = known[numbers].apply(pd.to_numeric)
        known = known.groupby(keys).agg({"site": "first"} | dict.fromkeys(numbers, "mean")).reset_index()
    known = known.assign(layer=known["layer"].astype("int64")).drop_duplicates(keys)
    return frame.merge(known[[*keys, *KNOWN]], on=keys, how="left")


def numbers(frame: pd.DataFrame) -> Iterator[Part]:
    """For each model and data set what is known of its layers, and a grid for each score: layers down.

    Args:
        frame: of `tables.table` with `by_layer`.
    """
    names, data_names = labels("model", frame["model"]), labels("dataset", frame["dataset"])
    for (dataset, model, weights), group in frame.groupby(MODEL, sort=False):
        several = frame[(frame["dataset"] == dataset) & (frame["model"] == model)]["model_fingerprint"].nunique() > 1
        of = f" (weights {weights})" * several
        yield Title(names[str(model)], f"{of} on {data_names[str(dataset)]}, by layer")
        if group["units"].notna().any():
            yield Heading("units")
            yield _units(group.drop_duplicates("layer"))
        metrics = labels("metric", group["metric"])
        kinds = dict(zip(group["metric"], group["kind"], strict=True))
        for metric in sorted(
            metrics, key=lambda name: (kinds[name] == CONTROL, kind_order(kinds[name]), metrics[name])
        ):
            yield Heading(metrics[metric])
            yield _scores(group[group["metric"] == metric])


def _units(group: pd.DataFrame) -> Grid:
    """What is known of each layer."""
    heads = ("layer", "module", "units", "drawn", "alive", "dead", "density", "L0")
    rows = tuple(
        (
            Number(int(row.layer)),
            Words("" if pd.isna(row.site) else str(row.site)),
            *(_whole(value) for value in (row.units, row.chosen, row.alive, row.dead)),
            Number(_float(row.density), 4),
            Number(_float(row.l0), 1),
        )
        for row in _rows(group)
    )
    return Grid(tuple(Column(head, right=head != "module") for head in heads), rows)


def _scores(group: pd.DataFrame) -> Grid:
    """Layers down, describers across."""
    describers, places = labels("explainer", group["explainer"]), places_of(group["high"] - group["low"])
    cells = {(int(row.layer), str(row.explainer)): _cell(row, places) for row in _rows(group)}
    order = sorted(describers, key=lambda name: describers[name])
    rows = tuple(
        (Number(layer), *(cells.get((layer, name), EMPTY) for name in order)) for layer in sorted(set(group["layer"]))
    )
    return Grid((Column("layer", right=True), *(Column(describers[name]) for name in order)), rows)


def _cell(row: Any, places: int) -> Cell:
    """A mean with its interval over so many neurons; how many have no value, and the mean with 0 for these."""
    remarks: list[str | Number] = [f"{row.n:,}"]
    remarks += [f"{row.undefined:,} undefined, with 0 {row.mean_with_zeros:.{places}f}"] * bool(row.undefined)
    remarks += [f"{row.failed:,} failed"] * bool(row.failed)
    if not row.n:
        return Words("", remarks=tuple(remarks[1:]))
    return Number(
        row.mean, places, row.low, row.high, deviation=getattr(row, "seed_deviation", np.nan), remarks=tuple(remarks)
    )


def _whole(value: Any) -> Cell:
    if pd.isna(value):
        return EMPTY
    return Number(int(value)) if float(value).is_integer() else Number(float(value), 1)


def _float(value: Any) -> float:
    return float("nan") if pd.isna(value) else float(value)


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    yield from frame.sort_values("layer").itertuples()
