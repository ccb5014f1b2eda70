"""A map of rank agreement, with metrics that rank alike side by side; readable in black and white.

Few metrics have their values in the cells. Of many each cell is a square, the larger the stronger the agreement: filled
for the same ranking, hollow for the reverse. What has no value is hatched.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from faithbench.comparing.likeness import arranged
from faithbench.tables.drawing import put_caption, save, short, style

INCHES, SMALL = 0.5, 0.27  # a cell with its value, and one without
MARGIN = 2.6  # what the names need
WIDE = 6  # metrics below which words do not fit side by side below the map
MOST_VALUES = 14  # metrics whose values fit into cells
HOLLOW: Mapping[str, Any] = {"fill": False, "edgecolor": "#a02020", "linewidth": 1.1}
COLOURS = colormaps["RdBu"]


def draw(matrix: pd.DataFrame, truth: Sequence[bool], caption: str, path: Path) -> None:
    """Draws a matrix of values between −1 and 1 into a file of the kind that its name says.

    Args:
        matrix: symmetric, NaN where there is no value.
        truth: which of its rows are of the ground truth: their names are bold.
        caption: what stands below.
        path: of the file.
    """
    order, groups = arranged(matrix.to_numpy(dtype=float))
    found = matrix.to_numpy(dtype=float)[np.ix_(order, order)]
    inches = INCHES if len(order) <= MOST_VALUES else SMALL
    with style():
        side = inches * len(order)
        figure = Figure(figsize=(side + MARGIN + 0.8, side + 0.6), layout="constrained")
        axes = figure.add_subplot()
        axes.set(xlim=(-0.5, len(order) - 0.5), ylim=(len(order) - 0.5, -0.5), aspect="equal")
        for i, row in enumerate(found):
            for j, value in enumerate(row):
                if i != j:
                    _cell(axes, i, j, value, len(order) <= MOST_VALUES)
        _boundaries(axes, groups)
        names = [short(str(matrix.index[i]), 60) for i in order]
        _name(axes, names, [truth[i] for i in order])
        _scale(figure, axes)
        put_caption(figure, caption)
        save(figure, matrix, path)


def _cell(axes: Axes, i: int, j: int, value: float, written: bool) -> None:
    if not math.isfinite(value):
        axes.add_patch(
            Rectangle((j - 0.45, i - 0.45), 0.9, 0.9, fill=False, edgecolor="0.75", hatch="////", linewidth=0)
        )
        return
    colour = COLOURS((value + 1) / 2)
    if written:
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=colour, linewidth=0))
        words = f"{value:.2f}".replace("-", "−")
        axes.text(j, i, words, ha="center", va="center", fontsize=7, color="white" if abs(value) > 0.7 else "black")
        return
    side = 0.9 * math.sqrt(abs(value))
    look: Mapping[str, Any] = {"facecolor": colour, "edgecolor": "0.4", "linewidth": 0.4} if value > 0 else HOLLOW
    axes.add_patch(Rectangle((j - side / 2, i - side / 2), side, side, **look))


def _boundaries(axes: Axes, groups: Int[np.ndarray, "n"]) -> None:
    """A frame around each group of several metrics, and thin lines between all groups."""
    for group in np.unique(groups):
        places = np.flatnonzero(groups == group)
        begin, count = places[0] - 0.5, len(places)
        if begin > 0:
            axes.axhline(begin, color="0.8", linewidth=0.6, zorder=0)
            axes.axvline(begin, color="0.8", linewidth=0.6, zorder=0)
        if count > 1:
            axes.add_patch(Rectangle((begin, begin), count, count, fill=False, edgecolor="black", linewidth=1.4))


def _name(axes: Axes, names: Sequence[str], truth: Sequence[bool]) -> None:
    """Names at the left, and their numbers above, so that nothing stands askew."""
    axes.set_yticks(range(len(names)), [f"{name}  {i}" for i, name in enumerate(names, 1)])
    axes.set_xticks(range(len(names)), list(map(str, range(1, len(names) + 1))))
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_color("0.8")  # black is the frame of a group
    for label, is_truth in zip(axes.get_yticklabels(), truth, strict=True):
        label.set_fontweight("bold" if is_truth else "normal")


def _scale(figure: Figure, axes: Axes) -> None:
    shades = ScalarMappable(Normalize(-1, 1), COLOURS)
    bar = figure.colorbar(shades, ax=axes, location="bottom", fraction=0.04, shrink=0.6, pad=0.02)
    if axes.get_xlim()[1] - axes.get_xlim()[0] < WIDE:  # words below the bar would stand in each other
        bar.set_ticks([-1, 0, 1], labels=["−1", "0", "1"])
        bar.set_label("rank agreement, Kendall's τ_b\n−1 reverse, 0 unrelated, 1 same ranking")
        return
    bar.set_ticks([-1, -0.5, 0, 0.5, 1], labels=["−1\nreverse", "−0.5", "0\nunrelated", "0.5", "1\nsame ranking"])
    bar.set_label("rank agreement, Kendall's τ_b")
