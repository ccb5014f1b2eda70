"""The work of a run in pieces: cut so that it balances, dearest first, and dealt again where a worker is lost.

Each piece is a share of what is left (guided self-scheduling, Polychronopoulos and Kuck 1987): large at first, so that
batches are full, small at the end, so that all workers end at about the same time.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from faithbench.plugins.spec import Component
from faithbench.running.remaining import Cell
from faithbench.types import Attribution, Record, Target, Text

SHARE = 4  # a piece is one part of so many for each worker, of what is left
MOST_TEXTS = 256  # of a piece
SHORTEST, LONGEST = 1.0, 60.0  # seconds that a piece is to take, once it is known what work takes
DEATHS = 3  # of a worker at a cell, after which the cell is given up


class Stored(Mapping[str, Mapping[Target, Attribution]]):
    """What explainers have said of a text already, read when it is asked for.

    Args:
        explainers: which.
        text_id: of the text.
        read: gives what one has said of a text, by target.
    """

    def __init__(
        self,
        explainers: Collection[str],
        text_id: str,
        read: Callable[[str, str], Mapping[Target, Attribution]],
    ) -> None:
        self._explainers, self._text_id, self._read = explainers, text_id, read

    def __getitem__(self, explainer: str) -> Mapping[Target, Attribution]:
        return self._read(explainer, self._text_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._explainers)

    def __len__(self) -> int:
        return len(self._explainers)


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

    def without(self, finished: Collection[tuple[str, Cell]]) -> "Work":
        """What is left of it when these cells of texts are finished."""
        return replace(self, cells=tuple(cell for cell in self.cells if (self.text.id, cell) not in finished))

    def of(self, explainers: Collection[str]) -> "Work":
        """The part of it that is these explainers'."""
        return replace(self, cells=tuple(cell for cell in self.cells if cell[0] in explainers))


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
        return replace(self, works=tuple(map(_packed, self.works)))

    def unpacked(self, job: Job) -> "Piece":
        """As it was before it was packed; nobody can write into its arrays."""
        return replace(self, works=tuple(_unpacked(work, job.vocabulary) for work in self.works))


def _packed(work: Work) -> Work:
    known = {name: dict(found) for name in work.explainers if (found := work.known.get(name))}
    return replace(work, text=replace(work.text, vocabulary=None), known=known)


def _unpacked(work: Work, vocabulary: Int[np.ndarray, "_"] | None) -> Work:
    known = {name: {t: replace(found) for t, found in of.items()} for name, of in work.known.items()}
    return replace(work, text=replace(work.text, vocabulary=vocabulary), known=known)


@dataclass(frozen=True)
class Scored:
    """What came of some of the work on one text: of whole cells, for all targets; and rows since the last.

    One of no text ("") says only how many rows there were.

    Args:
        text_id: which.
        attributions: rows of the store.
        records: of these cells.
        asked: rows that components asked for.
        run: rows that the model ran.
        opened: by how many the rows that wait for the model have become more; less, if it is below 0.
    """

    text_id: str
    attributions: list[dict[str, Any]]
    records: list[Record]
    asked: int = 0
    run: int = 0
    opened: int = 0


NOTED = ("explainer", "text_id", "target", "against", "notes", "error")


class Took(NamedTuple):
    """What one explanation took, or one measurement: for all targets, and in full where others asked the same rows."""

    explainer: str
    metric: str | None  # None of an explanation
    seconds: float
    rows: int


@dataclass(frozen=True)
class Summary:
    """What is known of the work on a text once it is in the store.

    Args:
        text_id: which; "" for none.
        took: explanations and measurements that have ended.
        failed: of the measurements.
        noted: the columns `NOTED` of the attributions.
        asked: rows, since the last.
        run: rows, since the last.
        opened: rows that have come to wait for the model, since the last.
    """

    text_id: str
    took: Sequence[Took] = ()
    failed: int = 0
    noted: Sequence[Mapping[str, Any]] = ()
    asked: int = 0
    run: int = 0
    opened: int = 0

    @property
    def cells(self) -> list[Cell]:
        """Those that were worked at."""
        return [(each.explainer, each.metric) for each in self.took if each.metric is not None]


def summaries(scored: Iterable[Scored]) -> list[Summary]:
    """What the parent of workers must know of what has been scored: one value for each text."""
    texts: dict[str, list[Scored]] = {}
    for each in scored:
        texts.setdefault(each.text_id, []).append(each)
    return [_summary(text_id, parts) for text_id, parts in texts.items()]


def _summary(text_id: str, parts: Sequence[Scored]) -> Summary:
    rows = [row for part in parts for row in part.attributions]
    records = [record for part in parts for record in part.records]
    took: dict[tuple[str, str | None], list[float]] = {}
    for row in rows:
        _add(took, (row["explainer"], None), row["seconds"], row["rows"])
    for record in records:
        _add(took, (record.explainer, record.metric), record.seconds, record.rows)
    return Summary(
        text_id,
        tuple(Took(*name, seconds, int(count)) for name, (seconds, count) in took.items()),
        len({(record.explainer, record.metric) for record in records if record.error is not None}),
        [{name: row[name] for name in NOTED} for row in rows],
        *(sum(getattr(part, name) for part in parts) for name in ("asked", "run", "opened")),
    )


def _add(took: dict[tuple[str, str | None], list[float]], name: tuple[str, str | None], *numbers: float) -> None:
    before = took.get(name, (0.0, 0))
    took[name] = [one + more for one, more in zip(before, numbers, strict=True)]


def cells_of_each(works: Iterable[Work]) -> dict[str, Counter[str]]:
    """How many cells each explainer has of each text; most texts have the same."""
    distinct: dict[int, Counter[str]] = {}
    found = {}
    for work in works:
        if id(work.cells) not in distinct:
            distinct[id(work.cells)] = Counter(explainer for explainer, _ in work.cells)
        found[work.text.id] = distinct[id(work.cells)]
    return found


class Deal:
    """Hands out the work of a job in pieces.

    Args:
        works: all that is left to do.
        workers: among how many; may change.
    """

    def __init__(self, works: Iterable[Work], workers: int = 1) -> None:
        self._left = deque(sorted(works, key=lambda work: work.units * len(work.explainers), reverse=True))
        self.workers, self.pieces = workers, 0
        self._open = Counter[str]()  # units of each explainer: to hand out
        self._worked: defaultdict[str, float] = defaultdict(float)  # and done
        self._seconds: defaultdict[str, float] = defaultdict(float)  # that these took
        self._cells = cells_of_each(self._left)
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
        for took in summary.took:
            self._seconds[took.explainer] += took.seconds
            if took.metric is not None:
                cells = self._cells[summary.text_id][took.explainer]
                self._worked[took.explainer] += self._units[summary.text_id] / cells

    def again(self, piece: Piece, finished: Collection[tuple[str, Cell]] = (), blamed: bool = True) -> list[Work]:
        """Takes back what a lost worker has not finished; what was lost at often is returned, and given up.

        It is dealt last: each text by itself, and when that has not helped, each explainer.

        Args:
            piece: the worker's.
            finished: cells of texts, by these texts' ids, that it has finished.
            blamed: whether the piece may have been the cause.
        """
        left = [work.without(finished) for work in piece.works]
        told = [replace(work, deaths=work.deaths + blamed) for work in left if work.cells]
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
        if worked := self._worked.get(explainer):
            return self._seconds[explainer] / worked
        return sum(self._seconds.values()) / sum(self._worked.values()) if self._worked else 1.0

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
