"""A heat map of rank agreement, readable in black and white: values stand in the cells, those without are hatched."""

import math
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from faithbench.shown import visible
from faithbench.tables.figure import description

INCHES, MARGIN = 0.55, 2.4  # a cell, and what the names need
DARKEST = 1.6  # what would be black: cells of different agreement still look different
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "faithbench",
    "font.size": 8,
    "text.parse_math": False,  # names are no mathematics
    "text.usetex": False,
}


def draw(matrix: pd.DataFrame, path: Path) -> None:
    """Draws a matrix of values between −1 (white) and 1 (dark) into a file of the kind that its name says."""
    side = INCHES * len(matrix) + MARGIN
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(matrix.to_numpy(dtype=float), cmap="Greys", vmin=-1, vmax=DARKEST)
        for i, row in enumerate(matrix.to_numpy(dtype=float)):
            for j, value in enumerate(row):
                if math.isfinite(value):
                    words = f"{value:.2f}".replace("-", "−")
                    axes.text(j, i, words, ha="center", va="center", color="white" if value > DARKEST / 4 else "black")
                elif i != j:
                    axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, hatch="////", linewidth=0))
        axes.set_xticks(
            range(len(matrix)), list(map(visible, matrix.columns)), rotation=45, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(matrix)), list(map(visible, matrix.index)))
        noted = {"Date": None, "Description": description(matrix)} if path.suffix == ".svg" else None
        figure.suptitle("Rank agreement of metrics, Kendall's τ_b")
        figure.savefig(path, dpi=200, bbox_inches="tight", metadata=noted)
