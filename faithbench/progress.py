"""Progress for people: a live bar on a terminal, a line now and then in a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_SECONDS = 30.0


class Tracker:
    """`with Tracker(…) as tracker: tracker.done(…)`: texts, cells, rows per second and the time left.

    Args:
        title: what is being done.
        texts: how many there are to do.
        cells: explainer × metric results a text.
        console: None to say nothing.
    """

    def __init__(self, title: str, texts: int, cells: int, console: Console | None) -> None:
        self.title, self.texts, self.cells, self.console = title, texts, cells, console
        self.finished = self.rows = 0
        self.start = self.said = time.monotonic()
        self._bar = _bar(console) if console and console.is_terminal else None
        self._task = self._bar.add_task(title, total=texts, rate="") if self._bar else None

    def __enter__(self) -> "Tracker":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def done(self, texts: int, rows: int) -> None:
        """So many texts are finished, with so many rows run until now."""
        self.finished, self.rows = texts, rows
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=texts, rate=self._rate())
        elif self.console and time.monotonic() - self.said > LOG_SECONDS:
            self.said = time.monotonic()
            left = (self.said - self.start) / max(1, texts) * (self.texts - texts)
            self.console.print(f"{self.title}: {texts:,} of {self.texts:,} texts, {self._rate()}, {left:,.0f} s left")

    def _rate(self) -> str:
        seconds = max(1e-9, time.monotonic() - self.start)
        return f"{self.finished * self.cells:,} cells, {self.rows / seconds:,.0f} rows/s"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("texts, {task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
    )
