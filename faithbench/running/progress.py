"""Progress for people: a live bar on a terminal, a line now and then in a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from faithbench.console import say
from faithbench.shown import fitting, visible

LOG_SECONDS = 30.0


class Tracker:
    """`with Tracker(…) as tracker: tracker.done(…)`: texts, cells, rows per second and the time left.

    Args:
        title: what is being done.
        texts: how many there are to do.
        work: what they come to, in a unit that time is roughly proportional to.
        cells: explainer × metric results a text.
        console: None to say nothing.
    """

    def __init__(self, title: str, texts: int, work: float, cells: int, console: Console | None) -> None:
        self.title, self.texts, self.work, self.cells, self.console = title, texts, work, cells, console
        self.finished, self.worked = 0, 0.0
        self.start = self.said = time.monotonic()
        self._bar = _bar(console) if console and console.is_terminal and not console.is_dumb_terminal else None
        self._task = self._bar.add_task(_fit(console, title), total=work, state="") if self._bar and console else None

    def __enter__(self) -> "Tracker":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def done(self, work: float, rows: int, finished: int = 1) -> None:
        """So many texts more are finished, none if a part of one is; so many rows have been run until now."""
        self.finished, self.worked = self.finished + finished, self.worked + work
        now = time.monotonic()
        seconds = max(1e-9, now - self.start)
        texts = f"{self.finished:,} of {self.texts:,} texts, {self.finished * self.cells:,} cells"
        state = f"{texts}, {rows / seconds:,.0f} rows/s"
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self.worked, state=state)
        elif self.console and now - self.said > LOG_SECONDS:
            self.said = now
            left = seconds * (self.work / self.worked - 1)
            say(self.console, f"{self.title}: {state}, {left:,.0f} s left")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        TimeRemainingColumn(),
        console=console,
    )


def _fit(console: Console, title: str) -> str:
    return visible(fitting(title, console.encoding))
