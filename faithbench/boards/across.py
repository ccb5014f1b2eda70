"""One cell on several boards: are its numbers compatible, and were its texts drawn alike?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from faithbench.boards.folder import Board
from faithbench.records.columns import PLACE
from faithbench.records.manifest import DatasetEntry, sampling_of
from faithbench.records.results import Panel, label, panels, predicted_classes, read

WAYS = {"all": "all texts", "random": "texts drawn at random", "stratified": "texts drawn by label"}
Key = tuple[str, ...]  # data set and model with their fingerprints, explainer, metric


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval over so many texts, how these were drawn, and whether it is post-stratified."""

    mean: float
    low: float
    high: float
    texts: int
    drawn: str

    def __str__(self) -> str:
        return f"{self.mean:.1f} ({self.low:.1f} to {self.high:.1f}) on {self.texts:,} texts"

    def misses(self, other: "Estimate") -> bool:
        """Whether the intervals do not overlap."""
        return self.high < other.low or other.high < self.low


def compare_boards(boards: Sequence[Board]) -> Iterator[tuple[int, str]]:
    """What is to be said of cells that two boards have: the number of the second board, and a sentence."""
    estimates = _estimates(boards)
    for (i, first), (j, second) in combinations(enumerate(estimates), 2):
        shared = sorted(set(first) & set(second))
        apart = [key for key in shared if first[key].misses(second[key])]
        drawn = sorted({(first[key].drawn, second[key].drawn) for key in shared})
        told = [_apart(apart, first, second)] if apart else []
        told += [f"{one}, there; {other}, here" for one, other in drawn if one != other]
        if told:
            cells = (
                f"{len(shared):,} {'result is' if len(shared) == 1 else 'results are'} on {boards[i].folder.name} too"
            )
            yield j, f"{cells}: {'; '.join(told)}"


def _apart(keys: Sequence[Key], first: dict[Key, Estimate], second: dict[Key, Estimate]) -> str:
    """How many intervals do not overlap, and where they are farthest apart."""

    def gap(key: Key) -> float:
        one, other = first[key], second[key]
        widths = one.high - one.low + other.high - other.low
        return abs(one.mean - other.mean) / widths if widths > 0 else np.inf

    worst = max(keys, key=gap)
    data, _, model, _, explainer, metric = worst
    cell = (
        f"{label('metric', metric)} of {label('explainer', explainer)} on {label('model', model)}, "
        f"{label('dataset', data)}"
    )
    return f"the intervals of {len(keys):,} do not overlap, such as {cell}: {first[worst]} there, {second[worst]} here"


def _estimates(boards: Sequence[Board]) -> list[dict[Key, Estimate]]:
    """Of each board the cells that another one has, too."""
    found = []
    records = [read([board.folder]) for board in boards]
    seen = [set(each[[*PLACE, "explainer", "metric"]].itertuples(index=False, name=None)) for each in records]
    for i, (board, frame) in enumerate(zip(boards, records, strict=True)):
        others: set[Key] = set().union(*(keys for j, keys in enumerate(seen) if j != i))
        mine: dict[Key, Estimate] = {}
        for panel in panels(frame, predicted=predicted_classes([board.folder])):
            mine |= _shared(board, panel, others)
        found.append(mine)
    return found


def _shared(board: Board, panel: Panel, others: set[Key]) -> dict[Key, Estimate]:
    keys = {
        (explainer, metric): (*(panel.key[name] for name in PLACE), *names)
        for explainer, metric in np.argwhere((panel.weights > 0).any(axis=0)).tolist()
        if (names := (panel.explainers[explainer], panel.metrics[metric]))
    }
    places = [place for place, key in keys.items() if key in others]
    if not places:
        return {}
    found, means, texts = panel.intervals(np.array(places)), panel.means, (panel.weights > 0).sum(axis=0)
    data: DatasetEntry | None = board.manifest.get("datasets", {}).get(panel.key["dataset"])
    return {
        keys[place]: Estimate(
            float(means[place]),
            float(found.low[i]),
            float(found.high[i]),
            int(texts[place]),
            _drawn(data, bool(panel.stratified[place])),
        )
        for i, place in enumerate(places)
    }


def _drawn(entry: DatasetEntry | None, stratified: bool) -> str:
    """How the texts of a cell were drawn and weighed."""
    how = "unknown texts" if entry is None else WAYS[sampling_of(entry)]
    return f"{how}, {'post-stratified' if stratified else 'raw means'}"
