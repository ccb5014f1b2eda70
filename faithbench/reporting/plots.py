"""Drawings as inline SVG: what they say is said in words beside them, and colour is never the only difference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from faithbench.tables.wording import MINUS

MARGIN = 2.0  # percent at both ends of a strip
CURVE = (120, 56)  # width and height of a small curve
BARS = (600, 160)  # of the differences of two explainers
BAND = Markup('<rect class="band" x="{:.2f}%" y="0" width="{:.2f}%" height="100%"/>')
UPRIGHT = Markup('<line class="{0}" x1="{1:.2f}%" x2="{1:.2f}%" y1="0" y2="100%"/>')
INTERVAL = Markup('<line class="interval" x1="{:.2f}%" x2="{:.2f}%" y1="50%" y2="50%"/>')
SQUARE = Markup('<rect class="dot square" x="{:.2f}%" y="50%" width="8" height="8" transform="translate(-4 -4)"/>')
DOT = Markup('<circle class="dot {}" cx="{:.2f}%" cy="50%" r="5.5"/>')
TICK = Markup(
    '<line class="tick" x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="5"/><text x="{0:.2f}%" y="20" text-anchor="middle">{1}'
    "</text>"
)


@dataclass(frozen=True)
class Scale:
    """Values as places from left to right, in percent."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return MARGIN + (100 - 2 * MARGIN) * min(max(share, 0.0), 1.0)

    @property
    def ticks(self) -> list[float]:
        """Round numbers, about five of them."""
        span = self.high - self.low
        if not span > 0:
            return [self.low]
        raw = span / 5
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= raw)
        first = math.ceil(self.low / step - 1e-9)
        return [step * i for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def scale_of(values: Sequence[float]) -> Scale:
    """One that holds all values that are known, with a little room."""
    known = [value for value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = 0.04 * (high - low) or 1.0
    return Scale(low - room, high + room)


def strip(
    scale: Scale,
    mean: float,
    low: float,
    high: float,
    kind: str,
    band: tuple[float, float] | None = None,
    best: float = math.nan,
) -> Markup:
    """A line of a dot plot: a dot with its interval, the band of random scores and a tick for the best found order.

    Args:
        scale: of all lines.
        mean: where the dot is.
        low: of the interval; NaN for none.
        high: likewise.
        kind: the dot's class: `solid`, `hollow` or `square`.
        band: from where to where random scores lie.
        best: the best found order; NaN if it is not known.
    """
    marks = list[Markup]()
    if band is not None and all(map(math.isfinite, band)):
        left, right = scale(band[0]), scale(band[1])
        right = max(right, left + 0.4)
        marks += [BAND.format(left, right - left), *(UPRIGHT.format("edge", end) for end in (left, right))]
    if scale.low < 0 < scale.high:
        marks.append(UPRIGHT.format("zero", scale(0)))
    if math.isfinite(best):
        marks.append(UPRIGHT.format("best", scale(best)))
    if math.isfinite(low) and math.isfinite(high):
        marks.append(INTERVAL.format(scale(low), scale(high)))
    marks.append(SQUARE.format(scale(mean)) if kind == "square" else DOT.format(kind, scale(mean)))
    return Markup('<svg class="strip" width="100%" height="34" aria-hidden="true">{}</svg>').format(
        Markup("").join(marks)
    )


def axis(scale: Scale) -> Markup:
    """The line of numbers below a dot plot."""
    ticks = scale.ticks
    places = max((_places(b - a) for a, b in pairwise(ticks)), default=1)
    marks = [TICK.format(scale(tick), _number(tick, places)) for tick in ticks]
    return Markup('<svg class="axis" width="100%" height="24" aria-hidden="true">{}</svg>').format(
        Markup("").join(marks)
    )


def bars(gaps: Float[np.ndarray, "texts"]) -> tuple[str, float]:
    """The path of a bar for each text, largest first, and what the upper edge stands for.

    `report.js` draws another pair likewise.
    """
    width, height = BARS
    ordered = np.sort(gaps[np.isfinite(gaps)])[::-1]
    limit = float(np.abs(ordered).max(initial=0.0)) or 1.0
    step = width / max(1, len(ordered))
    middle = height / 2
    pieces = [
        f"M{(i + 0.5) * step:.1f} {middle:g}V{middle - gap / limit * (middle - 4):.1f}" for i, gap in enumerate(ordered)
    ]
    return "".join(pieces), limit


def curve(values: Sequence[float], at: Sequence[float], low: float, high: float) -> str:
    """The path of a small curve through values, from the left edge to the right one.

    Args:
        values: NaN is left out.
        at: where each stands, rising.
        low: the value of the lower edge.
        high: that of the upper edge.
    """
    width, height = CURVE
    span, reach = high - low or 1.0, at[-1] - at[0] or 1.0
    points = [
        f"{(place - at[0]) / reach * width:.0f} {height - (value - low) / span * height:.0f}"
        for place, value in zip(at, values, strict=True)
        if math.isfinite(value)
    ]
    return f"M{'L'.join(points)}" if points else ""


def _places(step: float) -> int:
    return max(0, min(6, -math.floor(math.log10(step) + 1e-9) + (1 if f"{step:.0e}"[0] != f"{step:.1e}"[0] else 0)))


def _number(value: float, places: int) -> str:
    shown = f"{value + 0.0:.{places}f}"
    return (shown[1:] if shown.startswith("-") and float(shown) == 0 else shown).replace("-", MINUS)
