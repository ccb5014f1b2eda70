"""The work of a run in pieces: cut so that it balances, dearest first, and dealt again where a worker is lost.

Each piece is a share of what is left (guided self-scheduling, Polychronopoulos and Kuck 1987): large at first, so that
batches are full, small at the end, so that all workers end at about the same time.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from faithbench.plugins.spec import Component
from faithbench.running.remaining import Cell
from faithbench.types import Attribution, Record, Target, Text

SHARE = 4  # a piece is one part of so many for each worker, of what is left
MOST_TEXTS = 256  # of a piece
SHORTEST, LONGEST = 1.0, 60.0  # seconds that a piece is to take, once it is known what work takes
DEATHS = 3  # of a worker at a cell, after which the cell is given up


@dataclass(frozen=True)
class Work:
    """What is left to do of one text.

    Args:
        text: which.
        cells: explainers, each with a metric.
        known: what explainers have said of it already, by target.
        deaths: workers that have been lost at it.
    """

    text: Text
    cells: tuple[Cell, ...]
    known: Mapping[str, Mapping[Target, Attribution]] = field(default_factory=dict)
    deaths: int = 0

    @property
    def explainers(self) -> tuple[str, ...]:
        """Those of the cells, each once."""
        return tuple(dict.fromkeys(explainer for explainer, _ in self.cells))

    @property
    def units(self) -> int:
        """What one explainer costs, roughly: a longer text has more rows, and dearer ones."""
        return len(self.text) * (100 + len(self.text))

    def of(self, explainers: Collection[str]) -> "Work":
        """The part of it that is these explainers'."""
        known = {name: found for name, found in self.known.items() if name in explainers}
        return replace(self, cells=tuple(cell for cell in self.cells if cell[0] in explainers), known=known)


@dataclass(frozen=True)
class Job:
    """What the pieces of one model on one data set have in common. Can be pickled if its components can.

    Args:
        identity: what all entries have in common.
        explainers: by identity.
        metrics: by identity.
        most_seconds: that a component may take for one text and target; None for any time.
        vocabulary: content tokens of the data, to draw from.
    """

    identity: Mapping[str, str]
    explainers: Mapping[str, Component]
    metrics: Mapping[str, Component]
    most_seconds: float | None = None
    vocabulary: Int[np.ndarray, "_"] | None = None


@dataclass(frozen=True)
class Piece:
    """Some of the work of a job, which one worker does at once. A small value that can be pickled."""

    number: int
    works: tuple[Work, ...]

    def packed(self) -> "Piece":
        """Without what the job holds too."""
        return replace(self, works=tuple(replace(w, text=replace(w.text, vocabulary=None)) for w in self.works))

    def unpacked(self, job: Job) -> "Piece":
        """As it was before it was packed; nobody can write into its arrays."""
        return replace(self, works=tuple(_unpacked(work, job.vocabulary) for work in self.works))


def _unpacked(work: Work, vocabulary: Int[np.ndarray, "_"] | None) -> Work:
    known = {name: {t: replace(found) for t, found in of.items()} for name, of in work.known.items()}
    return replace(work, text=replace(work.text, vocabulary=vocabulary), known=known)


@dataclass(frozen=True)
class Scored:
    """What came of the work on one text, and the rows that were asked for and run since the last."""

    text_id: str
    attributions: list[dict[str, Any]]
    records: list[Record]
    asked: int = 0
    run: int = 0

    @property
    def summary(self) -> "Summary":
        """As much of it as the parent of workers must know."""
        cells = {(record.explainer, record.metric): True for record in self.records}
        cells |= {(record.explainer, record.metric): False for record in self.records if record.error is not None}
        seconds: defaultdict[str, float] = defaultdict(float)
        for row in self.attributions:
            seconds[row["explainer"]] += row["seconds"]
        for record in self.records:
            seconds[record.explainer] += record.seconds
        rows = [{name: row[name] for name in NOTED} for row in self.attributions]
        failed = sum(not worked for worked in cells.values())
        return Summary(self.text_id, len(cells), failed, dict(seconds), rows, self.asked, self.run)


NOTED = ("explainer", "text_id", "target", "against", "notes", "error")


@dataclass(frozen=True)
class Summary:
    """What is known of the work on a text once it is in the store.

    Args:
        text_id: which.
        cells: that were worked at.
        failed: of these.
        seconds: that each explainer took, its metrics included.
        noted: the columns `NOTED` of its attributions.
        asked: rows, since the last.
        run: rows, since the last.
    """

    text_id: str
    cells: int
    failed: int
    seconds: Mapping[str, float]
    noted: Sequence[Mapping[str, Any]]
    asked: int
    run: int


class Deal:
    """Hands out the work of a job in pieces.

    Args:
        works: all that is left to do.
        workers: among how many; may change.
    """

    def __init__(self, works: Iterable[Work], workers: int = 1) -> None:
        self._left = deque(sorted(works, key=lambda work: work.units * len(work.explainers), reverse=True))
        self.workers, self.pieces = workers, 0
        self._open, self._worked = Counter[str](), Counter[str]()  # units of each explainer: to hand out, and done
        self._seconds: defaultdict[str, float] = defaultdict(float)  # that these took
        self._units = {work.text.id: work.units for work in self._left}
        for work in self._left:
            self._open.update(dict.fromkeys(work.explainers, work.units))

    def __bool__(self) -> bool:
        """Whether something is left to be handed out."""
        return bool(self._left)

    def everything(self) -> Piece:
        """All that is left, in one piece."""
        works, self._left = tuple(self._left), deque()
        return self._piece(works)

    def next(self) -> Piece | None:
        """The next piece; None if nothing is left."""
        if not self._left:
            return None
        if self._left[0].deaths:
            return self._piece([self._alone(self._left.popleft())])
        target, works, cost = self._target(), list[Work](), 0.0
        while self._left and not self._left[0].deaths and len(works) < MOST_TEXTS:
            more = self._cost(self._left[0])
            if works and cost + more > target:
                break
            work = self._left.popleft()
            works.append(work if more <= target else self._part(work, target))
            cost += more
        return self._piece(works)

    def done(self, summary: Summary) -> None:
        """Learns what work takes."""
        for explainer, seconds in summary.seconds.items():
            self._seconds[explainer] += seconds
            self._worked[explainer] += self._units[summary.text_id]

    def again(self, piece: Piece, finished: Collection[str], blamed: bool = True) -> list[Work]:
        """Takes back what a lost worker has not finished; what was lost at often is returned, and given up.

        It is dealt last: each text by itself, and when that has not helped, each explainer.

        Args:
            piece: the worker's.
            finished: ids of the texts that it has finished.
            blamed: whether the piece may have been the cause.
        """
        left = [work for work in piece.works if work.text.id not in finished]
        told = [replace(work, deaths=work.deaths + blamed) for work in left]
        for work in told:
            if work.deaths < DEATHS:
                self._left.append(work)
                self._open.update(dict.fromkeys(work.explainers, work.units))
        return [work for work in told if work.deaths >= DEATHS]

    def _piece(self, works: Sequence[Work]) -> Piece:
        for work in works:
            self._open.subtract(dict.fromkeys(work.explainers, work.units))
        self.pieces += 1
        return Piece(self.pieces, tuple(works))

    def _target(self) -> float:
        """What the next piece is to cost."""
        share = sum(self._rate(name) * units for name, units in self._open.items()) / (SHARE * max(1, self.workers))
        return min(max(share, SHORTEST), LONGEST) if self._worked else share

    def _rate(self, explainer: str) -> float:
        """Seconds that an explainer takes for a unit; before anything is known, the same for all."""
        if worked := self._worked[explainer]:
            return self._seconds[explainer] / worked
        return sum(self._seconds.values()) / self._worked.total() if self._worked else 1.0

    def _cost(self, work: Work) -> float:
        return work.units * sum(map(self._rate, work.explainers))

    def _alone(self, work: Work) -> Work:
        """A text at which workers were lost: once more as it is, then one explainer at a time."""
        return work if work.deaths < DEATHS - 1 else self._part(work, 0.0)

    def _part(self, work: Work, target: float) -> Work:
        """As many explainers of a text as may cost so much, one at least; the others are dealt next."""
        names, cost = list[str](), 0.0
        for name in work.explainers:
            more = work.units * self._rate(name)
            if names and cost + more > target:
                break
            names.append(name)
            cost += more
        if rest := [name for name in work.explainers if name not in names]:
            self._left.appendleft(work.of(rest))
        return work.of(names)
