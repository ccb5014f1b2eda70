"""What explainers cost, from a text or two: every row is asked for, a few of each batch are run, and the rest is time.

A batch of rows of one kind and length takes as long as another, so the model is given a few of the rows, what it says
of them is said of all, and the clock is set forward by what the others would have taken. What components themselves
compute they compute in full, but from such answers: what they find is thrown away.
"""

import math
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from faithbench.answering.asking import Answers, Asker
from faithbench.answering.engine import Engine, rows_that_fit
from faithbench.answering.rows import Lane
from faithbench.conversations import Asking, attempt
from faithbench.interfaces import Classifier
from faithbench.limits import OverTimeError, limited
from faithbench.questions import Inside, Point
from faithbench.running.measuring import score_piece
from faithbench.running.pieces import Job, Piece, Work
from faithbench.running.progress import duration

FEW, MORE = 8, 4  # rows of a batch that are run at first, and how many times as many then
LONG = 0.05  # seconds of a batch whose rows take as long as those of a larger one
SLOW = 1.0  # seconds of a first batch that is taken for one of many
LINES = 5  # of explainers that are said
BUDGET = 3.0  # seconds, after which no other text is begun
MOST_SECONDS = 8.0  # after which what has not ended is not known; a step that takes longer is cut off
LEAST_SECONDS = 0.5  # that are given to any text


@dataclass(frozen=True)
class Cost:
    """What an explainer costs for one text: its explanations, and its metrics' measurements of them.

    Rows that several ask for are charged to each. `whole` says whether the explanations ended while they were tried;
    where the measurements did not, they are taken to cost what those of the other explainers do.
    """

    rows: float
    seconds: float
    metrics_rows: float
    metrics_seconds: float
    whole: bool = True


@dataclass(frozen=True)
class Calibration:
    """What was learnt from a few texts.

    Args:
        texts: how many.
        units: of a text (`Work.units`), on average.
        seconds: of a text, all explainers together.
        explainers: what each costs, by the labels that tables show.
    """

    texts: int
    units: float
    seconds: float
    explainers: Mapping[str, Cost]

    def expected(self, works: Sequence[Work]) -> float:
        """Seconds that works take in one process, if they are as these texts were."""
        return self.seconds * sum(work.units for work in works) / self.units

    def shares(self, seconds: float) -> dict[str, float]:
        """Seconds of each explainer, its metrics included, of so many in all; the dearest first."""
        own = {name: cost.seconds + cost.metrics_seconds for name, cost in self.explainers.items()}
        whole = sum(own.values()) or 1.0
        return {name: each / whole * seconds for name, each in sorted(own.items(), key=lambda item: -item[1])}

    def told(self, seconds: float) -> Iterator[str]:
        """What so many seconds are made of, in lines for people."""
        about = "about" if all(cost.whole for cost in self.explainers.values()) else "more than"
        yield f"{about} {duration(seconds)}, tried on {self.texts} of the texts; the dearest explainers are"
        for name, share in list(self.shares(seconds).items())[:LINES]:
            cost = self.explainers[name]
            over = "" if cost.whole else "more than "
            yield (
                f"  {name}: {over}{duration(share)}, {cost.rows:,.0f} rows and {cost.seconds:.2g} s a text, and "
                f"{cost.metrics_seconds:.2g} s for its metrics"
            )


class _Sampler(Asker):
    """Runs some of the rows and answers all; `ahead` is how many seconds the others would have taken.

    Args:
        model: answers batches.
        texts: that are worked on at once in a run, whose rows share batches.
    """

    def __init__(self, model: Classifier, texts: int = 1) -> None:
        super().__init__(model)
        self.in_flight, self.ahead, self._texts = 1, 0.0, texts
        self._known: dict[Lane, _Rate] = {}

    def now(self) -> float:
        """The time that it would be if all rows had been run once."""
        return time.perf_counter() + self.ahead

    def _ask_as_is(self, lane: Lane, rows: Sequence[Any]) -> Answers:
        if lane.kind is Inside:
            return super()._ask_as_is(lane, rows)
        start, lengths = time.perf_counter(), _lengths(rows)
        rate = self._measured(lane, rows, lengths)
        places = list({length: place for place, length in enumerate(lengths)}.values())
        found = super()._ask_as_is(lane, [rows[place] for place in places])
        self.ahead += rate.seconds * sum(lengths) - (time.perf_counter() - start)
        if isinstance(found, np.ndarray):
            return found[np.resize(np.arange(len(found)), len(rows))]
        told = {lengths[place]: answer for place, answer in zip(places, found, strict=True)}
        return [told[length] for length in lengths]

    def _measured(self, lane: Lane, rows: Sequence[Any], lengths: Sequence[int]) -> "_Rate":
        """Times ever more rows of a batch, until they are all or take long enough for the time to be one of many."""
        known, count = self._known.get(lane), FEW
        most = self._rows_of_a_batch(lane, lengths)
        if known is None:
            first = self._timed(lane, rows, lengths, min(count, most))  # longer than others: whatever is made but once
            known = first if first.took > SLOW else None
        while known is None or (known.took < LONG and known.rows < most):
            known, count = self._timed(lane, rows, lengths, min(count, most)), count * MORE
        self._known[lane] = known
        return known

    def _timed(self, lane: Lane, rows: Sequence[Any], lengths: Sequence[int], count: int) -> "_Rate":
        """So many rows, the same ones again where there are fewer."""
        places = [place % len(rows) for place in range(count)]
        some, start = [rows[place] for place in places], time.perf_counter()
        super()._ask_as_is(lane, some)
        took = time.perf_counter() - start
        return _Rate(count, took, took / sum(lengths[place] for place in places))

    def _rows_of_a_batch(self, lane: Lane, lengths: Sequence[int]) -> int:
        """How many rows would stand in a batch of the run, with those of other texts."""
        return max(len(lengths), min(self._texts * len(lengths), rows_that_fit(self.model, lane, max(lengths))))


class _Rate(NamedTuple):
    """So many rows took so long; seconds a token."""

    rows: int
    took: float
    seconds: float


def _lengths(rows: Sequence[Any]) -> list[int]:
    return [len((row.row if isinstance(row, Point) else row).ids) for row in rows]


def calibrate(job: Job, classifier: Classifier, works: Sequence[Work]) -> Calibration | None:
    """What explainers cost for texts of usual length, tried for a few seconds; None where there is no text.

    Args:
        job: explainers and metrics.
        classifier: the model, which is asked little.
        works: what is to be done.
    """
    ordered = sorted(works, key=lambda work: len(work.text))
    chosen = [ordered[int(share * len(ordered))] for share in (0.5, 0.4, 0.6)] if ordered else []
    chosen = list({work.text.id: work for work in chosen}.values())
    begun, seconds, units, tried = time.monotonic(), 0.0, 0.0, 0
    took: defaultdict[tuple[str, bool], list[tuple[float, int]]] = defaultdict(list)
    ended: defaultdict[str, int] = defaultdict(int)
    for work in chosen:
        if tried and time.monotonic() - begun > BUDGET:
            break
        seconds += _try(
            replace(job, most_seconds=None), classifier, work, begun + MOST_SECONDS, took, ended, len(works)
        )
        units, tried = units + work.units, tried + 1
    if not tried:
        return None
    cells = {name: sum(name == each for work in chosen[:tried] for each, _ in work.cells) for name in job.explainers}
    costs = {
        name: _cost(took[name, True], took[name, False], tried, bool(took[name, True] or took[name, False]))
        for name, count in cells.items()
        if count
    }
    missing = [name for name in costs if ended[name] < cells[name]]
    costs, more = _completed(costs, missing)
    explainers = {job.explainers[name].label: cost for name, cost in costs.items()}
    return Calibration(tried, units / tried, seconds / tried + more, explainers)


def tried(classifier: Classifier, asking: Asking[object], texts: int = 1) -> tuple[float, float]:
    """Rows of the model and seconds that a conversation takes, of which few rows are run; NaN where it does not end.

    Args:
        classifier: the model.
        asking: the conversation.
        texts: how many like it there will be at once.
    """
    sampler = _Sampler(classifier, texts)
    engine, start = Engine(classifier, asker=sampler, clock=sampler.now), sampler.now()
    with warnings.catch_warnings(), np.errstate(all="ignore"), suppress(OverTimeError):
        warnings.simplefilter("ignore")
        with limited(MOST_SECONDS):
            for _, outcome in engine.run([attempt(0, asking)]):
                if outcome.value is not None:
                    return float(engine.counts.run), sampler.now() - start
    return math.nan, math.nan


def _completed(costs: dict[str, Cost], missing: Sequence[str]) -> tuple[dict[str, Cost], float]:
    """Costs with the usual ones of metrics where these have not ended, and how many seconds a text that adds."""
    known = [cost for name, cost in costs.items() if name not in missing]
    if not known or not missing:
        return costs, 0.0
    rows, seconds = (
        sum(getattr(cost, name) for cost in known) / len(known) for name in ("metrics_rows", "metrics_seconds")
    )
    added = sum(max(0.0, seconds - costs[name].metrics_seconds) for name in missing)
    usual = {name: replace(costs[name], metrics_rows=rows, metrics_seconds=seconds) for name in missing}
    return {name: usual.get(name, cost) for name, cost in costs.items()}, added


def _try(
    job: Job,
    classifier: Classifier,
    work: Work,
    deadline: float,
    took: defaultdict[tuple[str, bool], list[tuple[float, int]]],
    ended: defaultdict[str, int],
    texts: int,
) -> float:
    """One text of many; gives the seconds that it would have taken, adds what each explainer took and what ended."""
    sampler = _Sampler(classifier, texts)
    engine, start = Engine(classifier, asker=sampler, clock=sampler.now), sampler.now()
    with warnings.catch_warnings(), np.errstate(all="ignore"), suppress(OverTimeError):
        warnings.simplefilter("ignore")
        with limited(max(LEAST_SECONDS, deadline - time.monotonic())):
            for scored in score_piece(job, classifier, Piece(0, (work,)), engine):
                if time.monotonic() > deadline:  # what ends from now on may have been cut off
                    break
                for row in scored.attributions:
                    took[row["explainer"], True].append((row["seconds"], row["rows"]))
                for record in scored.records:
                    took[record.explainer, False].append((record.seconds, record.rows))
                for name, _ in {(record.explainer, record.metric) for record in scored.records}:
                    ended[name] += 1
    return sampler.now() - start


def _cost(
    explanations: Sequence[tuple[float, int]], measurements: Sequence[tuple[float, int]], texts: int, whole: bool
) -> Cost:
    (seconds, rows), (more, other) = (
        (sum(each[0] for each in of) / texts, sum(each[1] for each in of) / texts)
        for of in (explanations, measurements)
    )
    return Cost(rows, seconds, other, more, whole)
