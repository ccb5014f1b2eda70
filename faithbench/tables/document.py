"""Tables for people as parts: models first, then explainers against metrics, a grid for each kind of metric."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from faithbench.activations import UNIT
from faithbench.records.results import FAITHFULNESS, TRUTH, degrades, higher_is_better, kind_order, labels
from faithbench.records.units import unit_of, units_of
from faithbench.shown import counted
from faithbench.statistics.verdicts import NEGLIGIBLE
from faithbench.tables import layers, neurons
from faithbench.tables.parts import EMPTY, Cell, Column, Grid, Heading, Note, Number, Part, Signature, Title, Words
from faithbench.tables.wording import places_of, shown

HEADINGS = {
    TRUTH: "ground truth: is what is known to decide found?",
    FAITHFULNESS: "faithfulness: does the model use what the explanation names?",
    "plausibility": "plausibility: agreement with people, not faithfulness",
    "simplicity": "simplicity: how short the explanation is",
}


def document(
    frame: pd.DataFrame, models: pd.DataFrame, notes: Sequence[str], signature: str, controls: Sequence[Part] = ()
) -> list[Part]:
    """A frame of `tables.table` for people, with the models, controls, sentences that go below, and the signature."""
    told = [*map(Note, notes), *map(Note, legend(frame))]
    rows = [*layers.numbers(frame), Note(layers.LEGEND)] if "layer" in frame else numbers(frame)
    return [*of_models(models), *rows, *controls, *told, Signature(signature)]


def of_models(models: pd.DataFrame) -> list[Part]:
    """What is known of the models, if anything is."""
    return [] if models.empty else [_models(models.dropna(axis=1, how="all"))]


def numbers(frame: pd.DataFrame) -> list[Part]:
    """The grids of each model and data set, with their titles."""
    parts: list[Part] = []
    names, data_names = labels("model", frame["model"]), labels("dataset", frame["dataset"])
    for (dataset, model), states in frame.groupby(["dataset", "model"], sort=False):
        for (data, weights), group in states.groupby(["dataset_fingerprint", "model_fingerprint"], sort=False):
            ofm = f" (weights {weights})" if states["model_fingerprint"].nunique() > 1 else ""
            ofd = f" (content {data})" if states["dataset_fingerprint"].nunique() > 1 else ""
            rest = f"{ofm} on {data_names[str(dataset)]}{ofd}"
            if "seeds" in frame:
                rest += f", {counted(group['seeds'].max(), 'training')}"
            for target, share in group.groupby("target") if "target" in frame else [("", group)]:
                where = f", class explained: {target}" if "target" in frame else ""
                parts += [Title(names[str(model)], f"{rest}{where}"), *grids(share)]
    return parts


def _models(frame: pd.DataFrame) -> Grid:
    """What is known of the models; columns of numbers stand to the right."""
    numeric = set(frame.select_dtypes("number"))
    columns = tuple(Column(str(name), right=name in numeric) for name in frame)
    return Grid(
        columns,
        tuple(tuple(map(_plain, row)) for row in frame.itertuples(index=False, name=None)),
        keys=2,
        caption="Models",
    )


def _plain(value: Any) -> Cell:
    if isinstance(value, str):
        return Words(value)
    if pd.isna(value):
        return EMPTY
    return Number(int(value) if isinstance(value, np.integer) else value)


def grids(group: pd.DataFrame) -> list[Part]:
    """A grid for each kind of metric, with its heading, and the number of texts.

    Args:
        group: rows of a frame of `tables.table`, of one model on one data set.
    """
    kinds = sorted(set(group["kind"]), key=kind_order)
    texts = int((group["n"] + group["undefined"] + group["failed"]).max())
    unit = unit_of(str(group["dataset"].iloc[0]))
    headings = HEADINGS if unit != UNIT else HEADINGS | neurons.HEADINGS
    pairs = [(Heading(headings.get(name, name)), _grid(group[group["kind"] == name], texts, unit)) for name in kinds]
    told, units = counted(texts, unit), int(group["texts"].max()) if "texts" in group else texts
    if units < texts:
        told = f"{counted(texts, 'explained output')} of {counted(units, unit)}, each counted alone"
    beside = neurons.undefined(group) if "mean_with_zeros" in group else ()
    return [*(part for pair in pairs for part in pair), *beside, Note(f"{told}.{_unranked(group, unit)}")]


def _unranked(group: pd.DataFrame, unit: str) -> str:
    """By which metrics nobody is ranked, for want of texts or neurons."""
    several = group[(group["n"] > 0) & group["ranked_on"].notna()]
    lacking = [
        (str(metric), int(column["texts_needed"].max()))
        for metric, column in several.groupby("metric")
        if len(column) > 1 and column["rank_group"].isna().all()
    ]
    if not lacking:
        return ""
    names = labels("metric", [metric for metric, _ in lacking]).values()
    who = "describers" if unit == UNIT else "explainers"
    return f" Too few {unit}s to rank {who}, which takes {max(n for _, n in lacking)}: {', '.join(names)}."


def _grid(group: pd.DataFrame, texts: int, unit: str) -> Grid:
    """Explainers down, metrics across; cells that were measured on fewer texts than others say so.

    Beside describers stands how long their descriptions are.
    """
    explainers, metrics = labels("explainer", group["explainer"]), labels("metric", group["metric"])
    columns: dict[str, dict[str, Cell]] = {}
    for metric, column in group.groupby("metric"):
        places = places_of(column["high"] - column["low"])
        several = bool(column["rank_group"].notna().sum() > 1)
        columns[metrics[str(metric)]] = {
            explainers[str(row.explainer)]: _cell(row, places, several, texts, unit) for row in column.itertuples()
        }
    bits = neurons.length_of(group) if "bits" in group else {}
    rows = tuple(
        (
            Words(name),
            *[Number(bits.get(identity, math.nan), 0)] * bool(bits),
            *(column.get(name, EMPTY) for _, column in sorted(columns.items())),
        )
        for name, identity in sorted((name, identity) for identity, name in explainers.items())
    )
    heads = (Column("describer" if unit == UNIT else "explainer"), *[Column("bits", right=True)] * bool(bits))
    return Grid((*heads, *map(Column, sorted(columns))), rows)


def _cell(row: Any, places: int, several: bool, texts: int, unit: str) -> Cell:
    """A mean with its interval, bold if tied with the best; what is missing; whether the texts are too few for a rank.

    If they are enough, or there are no ranks, it says on how many texts it rests where others have more.
    """
    asked = row.n + row.undefined + row.failed
    undefined = 0 if row.n and hasattr(row, "mean_with_zeros") else row.undefined  # which a grid of its own says
    few = bool(row.rank_group is pd.NA and row.ranked_on is not pd.NA and row.n < row.ranked_on)
    few = few and degrades(str(row.explainer)) is None
    remarks = [f"{count} {what}" for count, what in ((row.failed, "failed"), (undefined, "undefined")) if count]
    remarks = [f"of {asked:,} {unit}s"] * (asked < texts and not (few and row.n)) + remarks
    raw = shown(row.raw_mean, places)
    if not row.low <= row.raw_mean <= row.high and raw != shown(row.mean, places):
        remarks.append(f"raw {raw}")
    if not row.n:
        return Words("", remarks=tuple(remarks))
    return Number(
        row.mean,
        places,
        row.low,
        row.high,
        deviation=getattr(row, "seed_deviation", math.nan),
        bold=several and row.tied_with_best is not pd.NA and bool(row.tied_with_best),
        remarks=tuple(remarks),
        behind=f"too few {unit}s ({asked if asked < row.ranked_on else row.n:,} of {row.ranked_on:,})" if few else "",
    )


def legend(frame: pd.DataFrame) -> list[str]:
    """What the cells mean, and which way each metric goes."""
    ways: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for metric, name in labels("metric", sorted(set(frame["metric"]))).items():
        ways[higher_is_better(metric)].append(name)
    words = {True: "Higher is better", False: "Lower is better", None: "No better or worse"}
    units = units_of(frame["dataset"].unique())
    lines = [
        f"Means over {units} with 95 % bootstrap intervals: ± half the width, or (low, high) where one is lopsided.",
        *_weighed_how(frame),
        *_ranked_how(frame),
        " ".join(f"{words[way]}: {', '.join(names)}." for way, names in ways.items() if names),
    ]
    if "seeds" in frame and not (frame["seeds"] > 1).any():
        lines.append(
            "Nothing was put together over seeds: nowhere have two models that differ in their seed alone the same "
            "explainer and metric."
        )
    elif "seeds" in frame:
        lines.append(
            "Models that differ in their seed alone are put together: means over trainings. The interval is over "
            f"{units}; seeds ± is the standard deviation of the trainings' means (in CSV also their 95 % interval)."
        )
    return lines


def _weighed_how(frame: pd.DataFrame) -> Iterator[str]:
    """Which means are post-stratified, and which are not."""
    if frame["post_stratified"].any():
        yield (
            "Means and intervals are post-stratified by the predicted class, each class counting as often as it is "
            "predicted in the whole split; the raw mean over the texts measured is given where it is outside of the "
            "interval."
        )
    frame = frame[[unit_of(str(name)) != UNIT for name in frame["dataset"]]]  # neurons are of no predicted class
    if frame.empty or "target" in frame or frame["post_stratified"].all():
        return
    names = {what: labels(what, frame[what]) for what in ("model", "dataset")}
    told = [
        "some cells of " * bool(group["post_stratified"].any())
        + f"{names['model'][str(model)]} on {names['dataset'][str(dataset)]}"
        for (model, dataset), group in frame.groupby(["model", "dataset"], sort=False)
        if not group["post_stratified"].all()
    ]
    yield (
        "Raw means over the texts measured, because it is not known how often each class is predicted in the split, a "
        "class has fewer than two texts, or texts have other than one class explained: "
        f"{', '.join(told) if frame['post_stratified'].any() else 'all cells'}."
    )


def _ranked_how(frame: pd.DataFrame) -> Iterator[str]:
    """What bold means, how many texts a rank takes, and which explainers count once."""
    ranked = frame[frame["ranked_on"].notna()]
    if ranked.empty or "layer" in frame:
        return
    units = units_of(frame["dataset"].unique())
    who = {"texts": "explainers", "neurons": "describers"}.get(units, "explainers or describers")
    yield (
        f"Bold: the best of the {who} of a column that were measured on the same {units}, and those that are tied "
        "with it: paired tests (Holm-corrected over all pairs of the column, 5 %) do not show that they differ from it "
        f"or from another one in bold. A difference below 1/{round(1 / NEGLIGIBLE):,} of a metric's range is none."
    )
    if any(degrades(str(name)) is not None for name in frame["explainer"].unique()):
        yield "Degraded copies of explainers are not ranked: they show what metrics can tell."
    needed = sorted({int(n) for n in ranked["texts_needed"]} - {1})
    if needed:
        span = "" if len(needed) < 2 else f" ({needed[0]} to {needed[-1]}, the more {who} the more)"
        yield f"A test of n {units} has no p below 2^(1−n): fewer than {needed[-1]} {units}{span} could show nothing."
    equal = frame[frame["equal_to"] != ""].drop_duplicates(["dataset", "model", "model_fingerprint", "explainer"])
    names = {what: labels(what, frame[what]) for what in ("explainer", "model", "dataset")}
    told = [
        f"{names['explainer'][row['explainer']]} = {names['explainer'][row['equal_to']]} (equal on all "
        f"{counted(row['equal_on'], unit_of(row['dataset']))}) for {names['model'][row['model']]} on "
        f"{names['dataset'][row['dataset']]}"
        for _, row in equal.iterrows()
    ]
    if told:
        yield f"{who.capitalize()} with equal scores count once in ranks and tests: {'; '.join(told)}."
