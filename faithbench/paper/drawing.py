"""Figures of the paper, readable in black and white: hatches, lines and markers tell apart, not colours."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from faithbench.paper.layouts import LAYOUTS
from faithbench.paper.published import PAPER as PAPER_NAME
from faithbench.tables.drawing import LINES, MARKERS, plain, put_caption, save, style

SHADES = ("black", "0.35", "0.55")
HATCHES = ("", "//", "..", "xx", "\\\\", "++")
NUMBERS = ("value", "low", "high", "paper")
FEW = 3  # lines whose names find room within a panel
FILLS = {"conv": "white", "bcos": "0.6"}
PAPER = {"color": "0.5", "linestyle": "--", "marker": "s", "markersize": 3}
UNITS = {
    "accuracy": "test accuracy (%)",
    "comp": "comprehensiveness, protocol=paper (%)",
    "entropy": "explanation entropy (nats)",
    "positive rate": "positive rate (%)",
    "balanced accuracy": "balanced accuracy (%)",
    "special tokens": "attribution on special tokens (%)",
    "positive rate by word": "positive rate of texts with the word (%)",
    "positive rate by word, conventional": "the same, conventional model (%)",
    "positive rate by word, gold": "the same, labels (%)",
}


def draw(name: str, data: pd.DataFrame, path: Path) -> None:
    """Draws the data of a figure into a file of the kind that its name says."""
    with style():
        save(FIGURES[name](data), data, path)


def _bars(data: pd.DataFrame) -> Figure:
    """A group of bars for each data set: white conventional, grey B-cos, each backbone with its own hatch."""
    datasets, models = list(data["dataset"].unique()), data[["backbone", "kind"]].drop_duplicates()
    width = 0.8 / len(models)
    figure = Figure(figsize=(1.5 + len(datasets) * (0.6 + 0.45 * len(models)), 2.8), layout="constrained")
    axes = figure.add_subplot()
    hatches = dict(zip(data["backbone"].unique(), cycle(HATCHES), strict=False))
    for i, (backbone, kind) in enumerate(models.itertuples(index=False)):
        mine = data[(data["backbone"] == backbone) & (data["kind"] == kind)]
        places = [datasets.index(each) + (i - (len(models) - 1) / 2) * width for each in mine["dataset"]]
        look = {"facecolor": FILLS[kind], "edgecolor": "black", "hatch": hatches[backbone]}
        bars = axes.bar(places, mine["accuracy"], width, label=plain(f"{kind}-{backbone}"), **look)
        axes.bar_label(bars, fmt="%.1f", padding=1, fontsize=7)
    axes.set_xticks(range(len(datasets)), [plain(each) for each in datasets])
    axes.set_ylim(0, 108)
    axes.set_ylabel(UNITS["accuracy"])
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _panels(data: pd.DataFrame) -> Figure:
    """A panel for each quantity against B, a line for each series with its intervals; the paper's dashed and grey."""
    names = list(dict.fromkeys(data["panel"]))
    most = data.groupby("panel")["series"].nunique().max()
    figure = Figure(figsize=(2.6 * len(names), 2.6 if most <= FEW else 3.4), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        panel = data[data["panel"] == name]
        looks = _looks()
        for (source, series), line in panel.groupby(["source", "series"], sort=False):
            look = PAPER if source == "paper" else next(looks)
            label = f"paper ({series})" if source == "paper" else str(series)
            arms = None if line["low"].isna().all() else _arms(line)
            axes.errorbar(line["b"], line["value"], arms, label=plain(label), capsize=2, linewidth=1, **look)
        _finish(axes, "B", UNITS[name], panel["series"].nunique() > 1)
    return figure


def _arms(line: pd.DataFrame) -> np.ndarray:
    """How far intervals reach down and up; 0 where there are none."""
    return np.nan_to_num(np.stack([line["value"] - line["low"], line["high"] - line["value"]])).clip(min=0)


def _layers(data: pd.DataFrame) -> Figure:
    """A panel for each model and data set, a line over the layers for each percentile."""
    groups = list(data.groupby(["model", "dataset"], sort=False))
    figure = Figure(figsize=(2.4 * len(groups) + 1.6, 2.6), layout="constrained")
    for axes, ((model, dataset), panel) in zip(
        np.atleast_1d(figure.subplots(1, len(groups), sharey=True)), groups, strict=True
    ):
        looks = _looks()
        for percentile, line in panel.groupby("percentile"):
            axes.plot(line["layer"], line["value"], label=f"percentile {percentile}", linewidth=1, **next(looks))
        axes.set_title(f"{plain(str(model))}\non {plain(str(dataset))}", fontsize=8)
        axes.set_xticks(sorted(panel["layer"].unique()))
        _finish(axes, "layer", "alignment of inputs and weights, |cos| (%)", False)
        axes.label_outer()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=7, frameon=False)
    return figure


def _against(data: pd.DataFrame) -> Figure:
    """A panel for each number of each group: ours with its interval, the paper's as a square, and how far it is."""
    rows = list(dict.fromkeys(data["row"]))
    groups, columns = list(dict.fromkeys(data["group"])), list(dict.fromkeys(data["column"]))
    size = (2.3 * len(columns) + 1.6, (0.17 * len(rows) + 0.6) * len(groups))
    figure = Figure(figsize=size, layout="constrained")
    every = figure.subplots(len(groups), len(columns), sharey=True, squeeze=False)
    for i, group in enumerate(groups):
        for j, column in enumerate(columns):
            axes: Axes = every[i][j]
            panel = data[(data["group"] == group) & (data["column"] == column)]
            _dumbbells(axes, panel, [rows.index(row) for row in panel["row"]])
            axes.set_yticks(range(len(rows)), [plain(row) for row in rows])
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.set_title(plain(f"{group} {column}".strip()), fontsize=8)
            axes.grid(axis="x", color="0.92", linewidth=0.5)
    texts = data["n"][data["n"] > 0]
    of = f"n = {texts.min():,} to {texts.max():,} texts. " if len(texts) else ""
    put_caption(figure, f"{of}Dots: ours, with 95 % intervals over texts; squares: {PAPER_NAME}, which states none.")
    return figure


def _dumbbells(axes: Axes, panel: pd.DataFrame, places: Sequence[int]) -> None:
    for y, value, low, high, paper in zip(places, *(panel[name] for name in NUMBERS), strict=True):
        axes.plot([value, paper], [y, y], color="0.6", linestyle=":", linewidth=1.0, zorder=1)
        axes.plot([low, high], [y, y], color="black", linewidth=1.0, zorder=2, solid_capstyle="butt")
        axes.plot([paper], [y], "s", color="0.35", markerfacecolor="white", markersize=4.5, zorder=3)
        axes.plot([value], [y], "o", color="black", markersize=4, zorder=4)


def _looks() -> Iterator[Mapping[str, object]]:
    """Lines that differ without colour: 4 × 8 × 3 before one comes again."""
    for line, marker, shade in zip(cycle(LINES), cycle(MARKERS), cycle(SHADES), strict=False):
        yield {"linestyle": line, "marker": marker, "color": shade, "markersize": 4}


def _finish(axes: Axes, across: str, upwards: str, legend: bool) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(upwards)
    axes.grid(visible=True, color="0.9", linewidth=0.5)
    if legend and len(axes.get_legend_handles_labels()[1]) > FEW:
        axes.legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    elif legend:
        axes.legend(frameon=False, fontsize=7)


FIGURES: Mapping[str, Callable[[pd.DataFrame], Figure]] = {
    "figure2": _bars,
    "figure5": _panels,
    "figure6": _panels,
    "figure13": _layers,
    **dict.fromkeys(LAYOUTS, _against),
}
