"""Cells in words, the same for all writers: how many decimals, how an interval is said, what is set off."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from faithbench.shown import visible
from faithbench.tables.parts import Cell, Lines, Number, Several, Words

MINUS = "\u2212"
LOPSIDED = 1.2  # an interval whose longer arm exceeds the other by so much is written out


@dataclass(frozen=True)
class Span:
    """A piece of a line, which a writer escapes and sets; `is_mark` if it is a sign of ours that needs no escape."""

    text: str
    bold: bool = False
    link: str = ""
    is_mark: bool = False


def lines(cell: Cell, minus: str = "-") -> tuple[tuple[Span, ...], ...]:
    """A cell as lines of spans; usually one line."""
    if isinstance(cell, Lines):
        return tuple(tuple(_spans(item, minus)) for item in cell.items)
    return (tuple(_side_by_side(cell, minus)),)


def places_of(widths: Iterable[float]) -> int:
    """1 decimal where half of the narrowest interval still shows a digit then, 2 otherwise."""
    halves = [width / 2 for width in widths if width > 0]
    return 1 if halves and min(halves) >= 0.1 else 2


def shown(value: float, places: int) -> str:
    """A number without the sign of a zero; whole ones in full."""
    return f"{value:,}" if isinstance(value, int) else f"{round(value, places) + 0.0:.{places}f}"


def with_interval(number: Number) -> str:
    """`52.9 ± 0.8`, or `52.9 (51.8, 54.4)` if lopsided, or the number alone if there is no interval."""
    places, low, high = number.places, number.low, number.high
    alone = "+" * (number.signed and round(number.value, places) > 0) + shown(number.value, places)
    if not math.isfinite(low):
        return alone
    arms = sorted([number.value - low, high - number.value])
    if number.bounds or arms[1] > LOPSIDED * arms[0] + 0.5 * 10**-places:
        return f"{alone} ({shown(low, places)}, {shown(high, places)})"
    return f"{alone} ± {(high - low) / 2:.{places}f}"


def _side_by_side(cell: Number | Words | Several, minus: str) -> Iterator[Span]:
    if not isinstance(cell, Several):
        yield from _spans(cell, minus)
        return
    for i, item in enumerate(cell.items):
        if i:
            yield Span(cell.between)
        yield from _spans(item, minus)


def _spans(item: Number | Words, minus: str) -> Iterator[Span]:
    """A number, `; seeds ± 0.3`, `(3 failed, of 80 texts)` and what else is said of it behind it."""
    label, main, seeds, behind = "", Span(""), "", ""
    if isinstance(item, Words):
        label, main = item.label, Span(visible(item.text), link=item.link)
    elif math.isfinite(item.value):
        label, main = item.label, Span(with_interval(item).replace("-", minus), item.bold)
        behind = f"; {visible(item.behind)}" if item.behind else ""
        seeds = f"; seeds ± {shown(item.deviation, item.places)}" if math.isfinite(item.deviation) else ""
    remarks = f"({', '.join(_remarks(item.remarks, minus))})" if item.remarks else ""
    gap = " " * bool(remarks and main.text)
    last = (Span(seeds), Span(gap + remarks), Span(behind))
    spans = (Span(label + " " * bool(label)), main, Span(item.mark, is_mark=True), *last)
    yield from (span for span in spans if span.text)


def _remarks(remarks: Sequence[str | Number], minus: str) -> Iterator[str]:
    for remark in remarks:
        yield visible(remark) if isinstance(remark, str) else with_interval(remark).replace("-", minus)


def p_value(p: float) -> str:
    """Corrected p: three decimals, and no more."""
    if math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
