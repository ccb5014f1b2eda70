"""What all drawings share: how lines, marks and areas differ without colour, and files that are the same each time."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from faithbench.shown import visible
from faithbench.tables.figure import description

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "faithbench",
    "font.size": 8,
    "figure.dpi": 100,
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # names are no mathematics
    "text.usetex": False,
}
NO_DATE: Mapping[str, Mapping[str, object]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
LINES = ("-", "--", "-.", ":")
MARKERS = "osD^vxP*"
COLOURS = ("#000000", "#0072b2", "#d55e00", "#007a5a", "#a3447e", "#8c6d00", "#3d87b5")  # dark on white, also in grey
CAPTION = 7.0  # points
PER_INCH = 18  # characters of a caption


def save(figure: Figure, data: pd.DataFrame, path: Path) -> None:
    """Writes a figure, which notes a hash of its data but no date, into a file of the kind that its name says."""
    noted = {**NO_DATE[".svg"], "Description": description(data)} if path.suffix == ".svg" else None
    figure.savefig(path, dpi=200, bbox_inches="tight", metadata=noted or NO_DATE.get(path.suffix))


def looks() -> Iterator[Mapping[str, Any]]:
    """Lines that differ without colour: 4 × 8 × 7 before one comes again."""
    for line, marker, colour in zip(cycle(LINES), cycle(MARKERS), cycle(COLOURS), strict=False):
        yield {"linestyle": line, "marker": marker, "color": colour, "markersize": 4}


def put_caption(figure: Figure, caption: str) -> None:
    """Writes a paragraph below everything that is drawn."""
    lines = textwrap.wrap(plain(caption), max(40, int(figure.get_figwidth() * PER_INCH)))
    figure.text(0.0, -0.06 / figure.get_figheight(), "\n".join(lines), va="top", ha="left", fontsize=CAPTION)


def plain(text: str) -> str:
    """Text without what cannot be drawn."""
    return visible(text)


def short(text: str, longest: int = 44) -> str:
    """A name, without its middle if it is too long for a drawing, so that something is left of it."""
    shown = plain(text)
    end = longest // 3
    return shown if len(shown) <= longest else f"{shown[: longest - end - 1]}…{shown[-end:]}"


def style() -> AbstractContextManager[None]:
    """Within it figures look alike, whatever a user has set."""
    return mpl.rc_context(STYLE)


def spread(places: Sequence[float], least: float) -> list[float]:
    """Places at least so far apart, in the same order and near to where they were.

    Overlapping neighbours become a block that stands around the mean of where its members were.
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    blocks: list[list[int]] = []
    for i in order:
        blocks.append([i])
        while len(blocks) > 1 and _begin(places, blocks[-1], least) < _end(places, blocks[-2], least) + least:
            last = blocks.pop()
            blocks[-1] += last
    found = list(map(float, places))
    for block in blocks:
        for number, i in enumerate(block):
            found[i] = _begin(places, block, least) + number * least
    return found


def _begin(places: Sequence[float], block: Sequence[int], least: float) -> float:
    return float(np.mean([places[i] for i in block])) - least * (len(block) - 1) / 2


def _end(places: Sequence[float], block: Sequence[int], least: float) -> float:
    return _begin(places, block, least) + least * (len(block) - 1)
