"""Drawings of scores of neurons: a panel for each score and describer, in it a line for each model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from faithbench.records.results import label, labels
from faithbench.tables.drawing import looks, short, style

PANEL = ["dataset", "explainer", "metric"]
ACROSS = 3  # panels of a row
ASIDE = 0.04  # of a step: how far lines stand apart, so that intervals can be told


def draw_layers(data: pd.DataFrame) -> Figure:
    """Means by layer; a model of one layer is a dot."""
    figure, every = _figure(data)
    names = _names(data)
    for axes, (_, panel) in zip(every, data.groupby(PANEL, sort=False), strict=False):
        _lines(axes, panel, "layer", names, ASIDE)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("layer")
    return figure


def draw_density(data: pd.DataFrame) -> Figure:
    """Means over the density of neurons, in percent of tokens, on a logarithmic axis."""
    figure, every = _figure(data)
    names = _names(data)
    for axes, (_, panel) in zip(every, data.groupby(PANEL, sort=False), strict=False):
        axes.set_xscale("log")
        few_ticks(axes)
        _lines(axes, panel, "density", names)
        axes.set_xlabel("fires on % of tokens, median of a decile")
    return figure


def few_ticks(axes: Axes) -> None:
    """Numbers at 1, 2 and 5 of each decade of a logarithmic axis, without powers of ten."""
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _figure(data: pd.DataFrame) -> tuple[Figure, list[Axes]]:
    """An empty figure with axes for all panels, their titles, and a legend of the models at the right."""
    keys, models = (
        [tuple(map(str, key)) for key in data[PANEL].drop_duplicates().to_numpy()],
        list(_names(data).values()),
    )
    across = min(ACROSS, len(keys))
    down = -(-len(keys) // across)
    figure = Figure(figsize=(3.0 * across + 2.0, max(2.5 * down, 0.17 * (len(models) + 1))), layout="constrained")
    every = list(np.atleast_1d(figure.subplots(down, across, squeeze=False).ravel()))
    several = data["dataset"].nunique() > 1
    for axes, (dataset, explainer, metric) in zip(every, keys, strict=False):
        where = f"\n{short(label('dataset', dataset))}" * several
        axes.set_title(f"{short(label('metric', metric))}, {short(label('explainer', explainer))}{where}")
        axes.title.set_fontsize(8)
        axes.set_ylabel("mean score, %")
        axes.grid(color="0.92", linewidth=0.5)
    for axes in every[len(keys) :]:
        axes.set_visible(False)
    figure.legend(handles=_handles(models), loc="outside right upper", fontsize=7, frameon=False)
    return figure, every


def _names(data: pd.DataFrame) -> dict[str, str]:
    """What to call each model, in their order."""
    return dict(sorted(labels("model", data["model"]).items()))


def _handles(models: list[str]) -> list[Any]:
    """A line of each model's look with its name."""
    with style():
        axes = Figure().add_subplot()
        return [axes.plot([], [], label=short(name, 36), **_look(look))[0] for name, look in _of(models).items()]


def _of(models: list[str]) -> dict[str, Mapping[str, Any]]:
    return dict(zip(models, looks(), strict=False))


def _look(look: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"linewidth": 1.1, "markerfacecolor": "white", **look}


def _lines(axes: Axes, panel: pd.DataFrame, across: str, names: Mapping[str, str], aside: float = 0.0) -> None:
    """A line with intervals for each model, which has the same look in all panels."""
    looks_of = _of(list(names.values()))
    for number, (model, name) in enumerate(names.items()):
        line = panel[panel["model"] == model].sort_values(across)
        if line.empty:
            continue
        arms = np.nan_to_num(np.stack([line["mean"] - line["low"], line["high"] - line["mean"]])).clip(min=0)
        axes.errorbar(line[across] + aside * number, line["mean"], arms, elinewidth=0.6, **_look(looks_of[name]))
