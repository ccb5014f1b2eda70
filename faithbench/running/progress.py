"""Progress for people: a live line on a terminal, a line now and then in a log."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from faithbench.console import say
from faithbench.running.forecast import Forecast
from faithbench.running.pieces import Summary
from faithbench.shown import fitting, visible

LOG_SECONDS = 30.0
SHOWN_SECONDS = 0.1  # that a live line stays as it is, at least
BAR = 8, 40  # characters, at least and at most
TITLE = 5  # the part of a line that it may have is one of so many
GAP = "  "
Own = TypeVar("Own", bound="Line")


@dataclass(frozen=True)
class State:
    """What there is to say at a moment; `left` seconds, None where nothing is known of it."""

    texts: str
    results: str
    rows: str
    left: float | None
    at: float = 0.0
    share: float = 0.0

    def parts(self, now: float) -> tuple[str, ...]:
        """In the order in which they are shown."""
        left = None if self.left is None else max(0.0, self.left - (now - self.at))
        return (self.texts, self.results, self.rows, "" if left is None else f"{duration(left)} left")


IMPORTANT = (3, 0, 1, 2)  # places in `State.parts`: the first stays longest where there is no room


class Line:
    """`with line: line.refresh()`: what there is to say, live on a terminal, else a line now and then.

    Args:
        title: what is being done.
        read: what there is to say now.
        console: None to say nothing.
        clock: seconds, as `time.monotonic`.
    """

    def __init__(
        self, title: str, read: Callable[[], State], console: Console | None, clock: Callable[[], float]
    ) -> None:
        self.title, self.read, self.console, self.clock = title, read, console, clock
        self.start = self.said = clock()
        self.state = read()
        live = console is not None and console.is_terminal and not console.is_dumb_terminal
        self._live = Live(self, console=console, refresh_per_second=4) if live else None

    def __enter__(self: Own) -> Own:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self.state = self.read()
            self._live.stop()

    def refresh(self) -> None:
        """Something has been done."""
        now = self.clock()
        if self._live:
            if now - self.state.at > SHOWN_SECONDS:
                self.state = self.read()
        elif self.console and now - self.said > LOG_SECONDS:
            self.said, self.state = now, self.read()
            say(self.console, f"{self.title}: {', '.join(filter(None, self.state.parts(now)))}")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title, bar, parts = fitted(self.title, self.state.parts(self.clock()), options.max_width)
        line = Table.grid(padding=(0, len(GAP), 0, 0))
        words = [Text(_fit(console, word), no_wrap=True) for word in (title, GAP.join(parts))]
        line.add_row(words[0], *([ProgressBar(1.0, self.state.share, width=bar)] if bar else []), words[1])
        yield line


class Tracker(Line):
    """`with Tracker(…) as tracker: tracker.heard(…)`: texts, results, rows per second and the time left.

    Args:
        title: what is being done.
        texts: how many there are to do.
        forecast: what is known of how long it takes.
        console: None to say nothing.
        clock: seconds, as `time.monotonic`.
    """

    def __init__(
        self,
        title: str,
        texts: int,
        forecast: Forecast,
        console: Console | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.texts, self.forecast = texts, forecast
        super().__init__(title, self._state, console, clock)

    def heard(self, summary: Summary) -> None:
        """Something has been done."""
        self.forecast.learn(summary)
        self.refresh()

    def _state(self) -> State:
        now, known = self.clock(), self.forecast
        elapsed = max(1e-9, now - self.start)
        left = known.left(elapsed)
        share = 1.0 if known.texts == self.texts else 0.0 if left is None else elapsed / (elapsed + left)
        texts, results = f"{known.texts:,} of {self.texts:,} texts", f"{known.results:,} results"
        if known.explanations and not known.results:
            results = f"{known.explanations:,} explanation{'s' * (known.explanations > 1)}"
        return State(texts, results, f"{known.rows / elapsed:,.0f} rows/s", left, now, share)


def fitted(title: str, parts: Sequence[str], width: int) -> tuple[str, int, list[str]]:
    """What of a line fits into so many characters: the title, perhaps cut, how wide the bar is, and the parts.

    Whatever does not fit is left out: first the least important parts, then the bar.
    """
    most = width // TITLE
    title = title if len(title) <= most else f"{title[: max(0, most - 3)]}..."
    room, kept = width - len(title) - 2 * len(GAP) - BAR[0], list[int]()
    for place in IMPORTANT:
        if parts[place] and len(parts[place]) + len(GAP) > room:
            break
        if parts[place]:
            kept.append(place)
            room -= len(parts[place]) + len(GAP)
    bar = min(BAR[1], BAR[0] + room) if room >= 0 else 0
    return title, bar, [parts[place] for place in sorted(kept)]


def duration(seconds: float) -> str:
    """Some time in words, in two units at most: "12 s", "3 min", "2 h 5 min"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60} min"


def _fit(console: Console, words: str) -> str:
    return visible(fitting(words, console.encoding))
