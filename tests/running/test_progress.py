"""What a run says while it works: numbers by a clock that stands still, an honest time left, and lines that fit."""

import io

import numpy as np
import pytest
from rich.console import Console

from faithbench.running import progress
from faithbench.running.forecast import Forecast
from faithbench.running.pieces import Summary, Took, Work
from faithbench.running.progress import Tracker, duration, fitted
from faithbench.types import Text

METRICS = ("entropy", "gini")


def text(number: int, tokens: int) -> Text:
    ids = np.arange(tokens) + 2
    return Text(f"text-{number}", ids, np.zeros(tokens, dtype=bool), np.arange(tokens), tuple(map(str, ids)), 1)


def work(number: int, *explainers: str, tokens: int = 10) -> Work:
    return Work(text(number, tokens), tuple((e, m) for e in explainers for m in METRICS))


def explained(name: str, explainer: str, seconds: float, rows: int = 0) -> Summary:
    return Summary(name, [Took(explainer, None, seconds, rows)], run=rows)


def measured(name: str, explainer: str, seconds: float = 0.0) -> Summary:
    return Summary(name, [Took(explainer, metric, seconds / len(METRICS), 0) for metric in METRICS])


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def logged(works: list[Work], clock: Clock) -> tuple[Tracker, io.StringIO]:
    said = io.StringIO()
    return Tracker("m on d", len(works), Forecast(works), Console(file=said, width=200), clock), said


def test_a_log_has_a_line_every_half_minute_with_what_was_done(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    tracker, said = logged([work(i, "occlusion") for i in range(4)], clock)
    with tracker:
        clock.now += 10
        tracker.heard(Summary("", run=500))
        assert said.getvalue() == ""
        clock.now += 30
        tracker.heard(explained("text-0", "occlusion", 40.0, rows=1500))
        tracker.heard(measured("text-0", "occlusion"))
        clock.now += 10
        tracker.heard(Summary("", run=500))
        clock.now += 30
        tracker.heard(explained("text-1", "occlusion", 40.0))
    lines = said.getvalue().splitlines()
    assert lines == [
        "m on d: 0 of 4 texts, 1 explanation, 50 rows/s",
        "m on d: 1 of 4 texts, 2 results, 31 rows/s, 80 s left",
    ]


def test_rows_that_wait_are_a_bound_before_anything_has_ended():
    forecast = Forecast([work(0, "lime")])
    assert forecast.left(5.0) is None
    forecast.learn(Summary("", asked=1000, run=100, opened=900))
    assert forecast.left(5.0) == pytest.approx(45.0)
    forecast.learn(Summary("", run=300, opened=-300))
    assert forecast.left(20.0) == pytest.approx(600 / 400 * 20)


def test_what_is_expected_counts_until_something_is_known():
    forecast = Forecast([work(i, "lime") for i in range(100)], expected=300.0)
    assert forecast.left(1.0) == pytest.approx(299.0)
    for i in range(10):
        forecast.learn(explained(f"text-{i}", "lime", 1.0))
        forecast.learn(measured(f"text-{i}", "lime"))
    assert forecast.left(10.0) == pytest.approx(90.0)


def test_the_time_left_is_honest_where_dear_and_cheap_explainers_and_texts_are_mixed():
    """From a tenth of the work on, it is within a factor of what it then took; and from the half on, much nearer."""
    generator = np.random.default_rng(0)
    lengths = sorted(generator.integers(10, 200, 60), reverse=True)
    works = [work(i, "lime", "random", "occlusion", tokens=n) for i, n in enumerate(lengths)]
    takes = {"lime": 3.0, "random": 0.02, "occlusion": 0.6}
    steps = [
        (w, name, takes[name] * w.units / 1e4 * generator.uniform(0.7, 1.4)) for w in works for name in w.explainers
    ]
    whole, elapsed, forecast = sum(step[2] for step in steps), 0.0, Forecast(works)
    for w, name, seconds in steps:
        elapsed += seconds
        forecast.learn(explained(w.text.id, name, 0.8 * seconds))
        forecast.learn(measured(w.text.id, name, 0.2 * seconds))
        left, true = forecast.left(elapsed), whole - elapsed
        if 0.1 * whole < elapsed < 0.95 * whole:
            assert true / 1.5 < left < 1.5 * true
    assert forecast.left(elapsed) == pytest.approx(0.0, abs=1e-6)
    assert (forecast.texts, forecast.results) == (60, 360)


def test_workers_side_by_side_are_as_fast_as_they_are():
    works = [work(i, "lime") for i in range(8)]
    forecast = Forecast(works)
    for i in range(4):  # two at a time, a second each
        forecast.learn(explained(f"text-{i}", "lime", 1.0))
        forecast.learn(measured(f"text-{i}", "lime"))
    assert forecast.left(2.0) == pytest.approx(2.0)


PARTS = ("1,003 of 12,000 texts", "104,000 results", "12,345 rows/s", "2 h 5 min left")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_what_does_not_fit_is_left_out_and_nothing_is_folded(width: int):
    title, bar, parts = fitted("bcos-bert(b=2.0) on file(path='/data/reviews.csv')", PARTS, width)
    shown = len(title) + (2 + bar if bar else 0) + 2 + len("  ".join(parts))
    assert shown <= width
    assert bar >= progress.BAR[0] or width < 40
    if width >= 40:
        assert PARTS[3] in parts, "the time left stays longest"
    if width >= 120:
        assert tuple(parts) == PARTS


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_live_line_is_one_line(width: int, encoding: str):
    clock, screen = Clock(), io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    works = [work(i, "lime") for i in range(3)]
    tracker = Tracker("bcos-tiny on planted", 3, Forecast(works), console, clock)
    clock.now += 2.0
    tracker.heard(Summary("", run=100, opened=900))
    clock.now += 1.0
    with console.capture() as capture:
        console.print(tracker)
    (line,) = capture.get().splitlines()
    assert len(line.rstrip()) <= width
    assert "17 s left" in line, "of 18 when it was last known, a second ago"
    assert ("50 rows/s" in line) == (width > 40)
    assert 0 < tracker.state.share < 0.2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (99, "99 s"), (120, "2 min"), (5900, "98 min"), (6030, "1 h 40 min"), (7500, "2 h 5 min")],
)
def test_time_is_said_in_two_units_at_most(seconds: float, words: str):
    assert duration(seconds) == words
