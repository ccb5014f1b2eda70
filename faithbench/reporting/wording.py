"""Numbers in words, the same on the whole page."""

import math

from faithbench.tables.parts import Number
from faithbench.tables.wording import MINUS, with_interval


def figure(value: float, digits: int = 2, most: int = 6) -> str:
    """A number of so many significant digits, at least, without powers of ten; `–` for none.

    Args:
        value: the number.
        digits: how many.
        most: decimals.
    """
    if not math.isfinite(value):
        return "–"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{round(value, min(places, most)) + 0.0:,.{min(places, most)}f}".replace("-", MINUS)


def interval(mean: float, low: float, high: float, places: int, signed: bool = False) -> str:
    """A mean with its interval, as in tables."""
    return with_interval(Number(mean, places, low, high, signed=signed)).replace("-", MINUS)


def probability(value: float) -> str:
    """With two decimals, which never say that it is 1 or 0 unless it is."""
    if 0.995 <= value < 1:
        return "> 0.99"
    return "< 0.01" if 0 < value < 0.005 else f"{value:.2f}"
