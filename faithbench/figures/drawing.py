"""Drawings of scores, curves and costs, readable in black and white: marks, dashes and hatches tell apart, not colours.

A row of panels for each data set with a model, and names where the lines end, so that no legend has to be looked up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import blended_transform_factory

from faithbench.figures.choosing import PLACES, data_names, is_random, leading, line_of, place_names, rows_of
from faithbench.figures.neuron_drawing import draw_density, draw_layers, few_ticks
from faithbench.records.results import higher_is_better, labels
from faithbench.tables.drawing import STYLE, looks, put_caption, save, short, spread, style

ACROSS = 3  # panels of a row
BAND: Mapping[str, Any] = {"facecolor": "0.9", "edgecolor": "0.65", "hatch": "////", "linewidth": 0.0, "zorder": 0}
WAYS = {True: "higher is better", False: "lower is better", None: "no better or worse"}
ROOM = {"explainer": 44, "model": 80}  # letters of a name
BITS = "bits"  # what descriptions of neurons cost
LINE = 0.17  # inches of a line of text
LETTER = 0.062  # inches of a letter
NAMES = 1.6  # inches at the left of panels
Panel = tuple[str, pd.DataFrame]  # a metric's name, and its rows


def draw(of: str, data: pd.DataFrame, caption: str, path: Path) -> None:
    """Draws the data of a figure, with its caption below, into a file of the kind that its name says."""
    with style():
        figure = DRAWERS[of](data)
        put_caption(figure, caption)
        save(figure, data, path)


def _rows(data: pd.DataFrame, across: int = ACROSS, of: str = "explainer") -> Iterator[tuple[str, list[Panel]]]:
    """The panels of each place, the leading metrics first, so many a row; only the first row has a title."""
    titles, names = place_names(data) if of == "explainer" else data_names(data), labels("metric", data["metric"])
    for key, place in data.groupby(PLACES[of], sort=False):
        groups = dict(iter(place.groupby("metric", sort=False)))
        metrics = iter(sorted(groups, key=lambda name: leading(str(name))))
        title = titles[tuple(map(str, key))]
        while row := [(names[str(metric)], groups[metric]) for metric in islice(metrics, across)]:
            yield title, row
            title = ""


def _framed(
    rows: Sequence[tuple[str, list[Panel]]], heights: Sequence[float], wide: float, names: float = NAMES
) -> tuple[Figure, Any]:
    """An empty figure, and for each row its title's part and the axes of its panels."""
    across = max(len(panels) for _, panels in rows)
    figure = Figure(figsize=(wide * across + names, sum(heights)), layout="constrained")
    parts = np.atleast_1d(np.asarray(figure.subfigures(len(rows), 1, height_ratios=list(heights))))
    return figure, zip(parts, rows, strict=True)


def _axes(part: SubFigure, title: str, panels: Sequence[Panel], across: int, sharey: bool) -> list[Axes]:
    if title:
        part.suptitle(short(title, 90), fontsize=9, x=0.005, ha="left")
    every = list(np.atleast_1d(part.subplots(1, across, sharey=sharey)))
    for axes in every[len(panels) :]:
        axes.set_visible(False)
    return every[: len(panels)]


def _scores(data: pd.DataFrame) -> Figure:
    """A dot for each mean with its interval; random as a band, the best order found as a dashed line."""
    of = line_of(data)
    rows = list(_rows(data, of=of))
    heights = [LINE * len(_in_order(panels, of)) + 0.75 + 0.2 * bool(title) for title, panels in rows]
    across = max(len(panels) for _, panels in rows)
    longest = max(len(short(name, ROOM[of])) for name in labels(of, data[of].unique()).values())
    figure, parts = _framed(rows, heights, 2.2, NAMES if of == "explainer" else max(NAMES, LETTER * longest))
    for part, (title, panels) in parts:
        order = _in_order(panels, of)
        names = labels(of, order)
        for axes, (metric, rows_) in zip(_axes(part, title, panels, across, True), panels, strict=True):
            _dots(axes, rows_, order, of)
            axes.set_yticks(range(len(order)), [short(names[name], ROOM[of]) for name in order])
            axes.set_ylim(len(order) - 0.4, -0.6)
            axes.set_xlabel(f"{short(metric)}\n{WAYS[higher_is_better(str(rows_['metric'].iloc[0]))]}")
            axes.grid(axis="x", color="0.92", linewidth=0.5)
            axes.label_outer()
            axes.tick_params(axis="x", labelbottom=True)
    return figure


def _in_order(panels: Sequence[Panel], of: str) -> list[str]:
    """The explainers, or models, of a row, best first by its first metric, then those that only others measured."""
    found: dict[str, None] = {}
    for _, rows in panels:
        rising = higher_is_better(str(rows["metric"].iloc[0])) is False
        found |= dict.fromkeys(map(str, rows.sort_values("mean", ascending=rising)[of]))
    return list(found)


def _dots(axes: Axes, rows: pd.DataFrame, order: Sequence[str], of: str) -> None:
    _band(axes, rows)
    best = rows["best"].dropna()
    if len(best):
        axes.axvline(float(best.iloc[0]), color="0.25", linestyle=(0, (4, 2)), linewidth=0.9, zorder=1)
    most = int(rows["n"].max())
    for row in rows_of(rows):
        y = order.index(str(getattr(row, of)))
        fill = "black" if row.tied_with_best is not pd.NA and bool(row.tied_with_best) else "white"
        axes.plot([row.low, row.high], [y, y], color="black", linewidth=1.0, zorder=2, solid_capstyle="butt")
        axes.plot([row.mean], [y], "o", color="black", markerfacecolor=fill, markersize=4.5, zorder=3)
        if row.n < most:
            at = row.high if np.isfinite(row.high) else row.mean
            axes.annotate(f"n={row.n}", (at, y), (3, 0), textcoords="offset points", va="center", fontsize=6)

    if (rows["n"] < most).any():
        left, right = axes.get_xlim()
        axes.set_xlim(left, right + 0.14 * (right - left))


def _band(axes: Axes, rows: pd.DataFrame) -> None:
    """The interval of random scores, across the panel."""
    for row in rows_of(rows[[is_random(str(name)) for name in rows["explainer"]]]):
        if np.isfinite(row.low):
            axes.axvspan(row.low, row.high, **BAND)
            axes.axvline(row.mean, color="0.65", linewidth=0.8, zorder=0.5)


def _curves(data: pd.DataFrame) -> Figure:
    """A line over the shares of tokens for each explainer, with its name at its end; random as a band."""
    rows = list(_rows(data, 2))
    across = max(len(panels) for _, panels in rows)
    heights = [max(2.3, LINE * data["explainer"].nunique() + 0.9) + 0.2 * bool(title) for title, _ in rows]
    figure, parts = _framed(rows, heights, 3.9)
    look = dict(zip(sorted(map(str, data["explainer"].unique())), looks(), strict=False))
    for part, (title, panels) in parts:
        for axes, (metric, rows_) in zip(_axes(part, title, panels, across, False), panels, strict=True):
            ends = {}
            names = labels("explainer", rows_["explainer"])
            for name, line in rows_.groupby("explainer", sort=True):
                ends[names[str(name)]] = _line(axes, line.sort_values("share"), str(name), look[str(name)])
            axes.set_xlabel("share of tokens (%)")
            axes.set_ylabel(f"drop, parts of\n{short(metric)}")
            axes.grid(color="0.92", linewidth=0.5)
            _at_the_right(axes, ends)
    return figure


def _line(axes: Axes, line: pd.DataFrame, name: str, look: Mapping[str, Any]) -> tuple[float, float, str]:
    """Draws a curve; returns where it ends, and its colour."""
    x, y = 100 * line["share"], line["mean"]
    if is_random(name):
        axes.fill_between(x, line["low"], line["high"], **BAND)
        axes.plot(x, y, color="0.4", linewidth=0.8)
        return float(x.iloc[-1]), float(y.iloc[-1]), "0.3"
    arms = np.nan_to_num(np.stack([y - line["low"], line["high"] - y])).clip(min=0)
    axes.errorbar(x, y, arms, linewidth=1.1, elinewidth=0.6, markerfacecolor="white", **look)
    return float(x.iloc[-1]), float(y.iloc[-1]), str(look["color"])


def _at_the_right(axes: Axes, ends: Mapping[str, tuple[float, float, str]]) -> None:
    """Names in a column at the right, none over another, each with a thin line to its point."""
    across = blended_transform_factory(axes.transAxes, axes.transData)
    low, high = axes.get_ylim()
    least = (high - low) * LINE * 0.75 / max(0.5, _inches(axes))
    places = spread([y for _, y, _ in ends.values()], least)
    left, right = axes.get_xlim()
    for (name, (x, y, colour)), place in zip(ends.items(), places, strict=True):
        at = _share(axes, x, left, right)
        axes.plot([at, 1.04], [y, place], transform=across, color=colour, linewidth=0.4, clip_on=False)
        axes.text(1.05, place, short(name), transform=across, color=colour, fontsize=7, va="center")
    axes.set_ylim(min(low, *places), max(high, *places)) if ends else None
    axes.set_xlim(left, right)


def _inches(axes: Axes) -> float:
    """How high it is, about: the layout is not known before all is drawn."""
    return float(axes.bbox.height / STYLE["figure.dpi"])


def _share(axes: Axes, x: float, left: float, right: float) -> float:
    """Where a value is across the panel, from 0 to 1, on whatever scale."""
    forward = axes.get_xaxis().get_transform().transform
    begin, end, here = forward(np.array([left, right, x]))
    return float((here - begin) / (end - begin))


def _costs(data: pd.DataFrame) -> Figure:
    """Scores against what an explanation costs, on a logarithmic axis; random as a band."""
    rows = list(_rows(data, 2))
    across = max(len(panels) for _, panels in rows)
    heights = [max(2.3, LINE * data["explainer"].nunique() + 0.9) + 0.2 * bool(title) for title, _ in rows]
    figure, parts = _framed(rows, heights, 3.6)
    by = str(data["by"].iloc[0])
    for part, (title, panels) in parts:
        for axes, (metric, rows_) in zip(_axes(part, title, panels, across, False), panels, strict=True):
            _points(axes, rows_, by)
            axes.set_xlabel(f"{by} of a description" if by == BITS else f"{by} that an explanation of a text takes")
            way = WAYS[higher_is_better(str(rows_["metric"].iloc[0]))]
            axes.set_ylabel(f"{short(metric)}\n({way})")
            axes.grid(color="0.92", linewidth=0.5)
    return figure


def _points(axes: Axes, rows: pd.DataFrame, by: str) -> None:
    for row in rows_of(rows[[is_random(str(name)) for name in rows["explainer"]]]):
        if np.isfinite(row.low):
            axes.axhspan(row.low, row.high, **BAND)
            axes.axhline(row.mean, color="0.65", linewidth=0.8, zorder=0.5)
    names, ends = labels("explainer", rows["explainer"]), {}
    axes.set_xscale("symlog", linthresh=1) if by == "rows" else axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if by == BITS:
        few_ticks(axes)
    for row, look in zip(rows_of(rows.sort_values("explainer")), looks(), strict=False):
        fill = "black" if row.tied_with_best is not pd.NA and bool(row.tied_with_best) else "white"
        arms = np.nan_to_num([[row.mean - row.low], [row.high - row.mean]]).clip(min=0)
        mark: Mapping[str, Any] = {"marker": look["marker"], "color": "black", "markerfacecolor": fill, "markersize": 5}
        axes.errorbar([row.cost], [row.mean], arms, elinewidth=0.7, linestyle="none", **mark)
        ends[names[str(row.explainer)]] = (float(row.cost), float(row.mean), "black")
    _at_the_right(axes, ends)


DRAWERS: Mapping[str, Callable[[pd.DataFrame], Figure]] = {
    "scores": _scores,
    "curves": _curves,
    "cost": _costs,
    "length": _costs,
    "layers": draw_layers,
    "density": draw_density,
}
