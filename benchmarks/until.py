"""How many texts does `--until` save? From the records of the boards alone; no model is needed.

    python benchmarks/until.py [--until 2 4] [--repetitions 40]

The records of each data set of a board stand for all texts of its kind: splits as large as the real one, or of 2,000
texts, are drawn from them with replacement, the same draw for all models, and a run with `--until` is made on each: all
metrics and models of the data set together, as the command does, and each column (a metric of a model) by itself, as a
run with that metric alone. Beside it two who do not look, and correct for pairs alone:

- `one n`: all data sets (columns) are given the texts that the hardest of them needs, or the whole split where that is
  less. It is what a plan must take that has one limit and must be sure of all, and nobody knows it before.
- `own n`: each data set (column) is given just what it needs, 100 at least, as if that had been known. No rule can do
  with less; what `--until` takes beyond it is the price of not knowing.

All three have the same width at the end, where the split is large enough. Printed are the texts of all data sets
together, medians with the range over repetitions; a text costs the same rows in all three. `holds`: in how many percent
of the columns all intervals of the leading differences hold what is true of all records.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from faithbench.comparing.leading import Leading, leading
from faithbench.records.manifest import read_manifest
from faithbench.records.results import Panel, panels, predicted_classes, read
from faithbench.statistics.intervals import weighted_mean
from faithbench.statistics.sequential import START, Watch, looks
from faithbench.statistics.verdicts import ALPHA

BOARDS_FOLDER = Path(__file__).parents[1] / "leaderboards"
BOARDS = ("table2-minilm", "ablations-minilm")
FEWEST = 80  # records of a column, to stand for others
MOST = 2000  # texts of a split here, to be quick


@dataclass(frozen=True)
class Unit:
    """What stops together: panels of one data set, and the size of its split."""

    name: str
    panels: tuple[Panel, ...]
    split: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", type=float, nargs="+", default=(2.0, 4.0))
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--tiny", action="store_true", help="a reduced form that only shows that it works")
    arguments = parser.parse_args()
    repetitions, boards = (1, BOARDS[1:]) if arguments.tiny else (arguments.repetitions, BOARDS)
    print("| board | apart | until | units | one n | --until, of one n | own n, of one n | --until, of own n | holds |")
    print("|:--|:--|--:|--:|--:|--:|--:|--:|--:|")
    for board in boards:
        whole = units(BOARDS_FOLDER / board)
        for name, several in (("data sets", whole), ("columns", [one for unit in whole for one in columns(unit)])):
            for width in arguments.until:
                print(line(board, name, several, width, repetitions), flush=True)


def units(folder: Path) -> list[Unit]:
    """The data sets of a board."""
    datasets = read_manifest(folder).get("datasets", {})
    found: dict[str, list[Panel]] = {}
    for panel in panels(read([folder]), predicted=predicted_classes([folder])):
        if len(panel.texts) >= FEWEST:
            found.setdefault(panel.key["dataset"], []).append(panel)
    return [
        Unit(name, tuple(several), min(MOST, datasets[name].get("split_texts", MOST)))
        for name, several in found.items()
    ]


def columns(unit: Unit) -> Iterator[Unit]:
    """Each metric of each model by itself."""
    for panel in unit.panels:
        for metric in range(len(panel.metrics)):
            mine = {name: getattr(panel, name)[:, :, [metric]] for name in ("values", "weights", "present", "failed")}
            yield Unit(unit.name, (replace(panel, metrics=(panel.metrics[metric],), **mine),), unit.split)


def line(board: str, apart: str, several: Sequence[Unit], until: float, repetitions: int) -> str:
    own = np.array([needed(unit, until) for unit in several])
    one = np.minimum(own.max(), [unit.split for unit in several])
    ends = [[stopped(unit, until, seed) for unit in several] for seed in range(repetitions)]
    texts = np.array([[n for n, _ in each] for each in ends])
    held = np.mean([one for each in ends for _, told in each for one in told])
    shares, price = texts.sum(axis=1) / one.sum(), texts.sum(axis=1) / own.sum()
    cells = (
        board,
        apart,
        f"{until:g}",
        f"{len(several)}",
        f"{own.max():,.0f}",
        spread(shares),
        f"{own.sum() / one.sum():.2f}",
        spread(price),
        f"{100 * held:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def spread(values: np.ndarray) -> str:
    return f"{np.median(values):.2f} ({values.min():.2f} to {values.max():.2f})"


def drawn(unit: Unit, seed: int) -> list[Panel]:
    """A split of texts like those of the records."""
    found = []
    for panel in unit.panels:
        rows = np.random.default_rng([seed, len(panel.texts)]).integers(len(panel.texts), size=unit.split)
        found.append(first(panel, rows))
    return found


def first(panel: Panel, rows: np.ndarray) -> Panel:
    mine = {name: getattr(panel, name)[rows] for name in ("values", "weights", "present", "failed")}
    strata = None if panel.strata is None else panel.strata.of(rows)
    return replace(panel, texts=tuple(map(str, range(len(rows)))), strata=strata, **mine)


def near(several: Sequence[Panel], watch: Watch) -> list[tuple[Panel, Leading]]:
    return [(panel, each) for panel in several for each in leading(panel, watch) if each.is_near]


def needed(unit: Unit, until: float) -> float:
    """As many texts as make the leading differences just so narrow, corrected for pairs alone; of the split at most."""
    once = Watch((unit.split,), unit.split, (), 2 * ALPHA)  # a plan of one look keeps half for others
    widths = [each.width for _, each in near(drawn(unit, 0), once)]
    return min(unit.split, max(START, unit.split * (max(widths, default=0.0) / until) ** 2))


def stopped(unit: Unit, until: float, seed: int) -> tuple[int, list[bool]]:
    """After how many texts a run stops, and of each column whether its intervals hold the truth."""
    several, planned = drawn(unit, seed + 1), looks(unit.split)
    for n in planned:
        now = [first(panel, np.arange(n)) for panel in several]
        found = near(now, Watch(planned, n))
        if max((each.width for _, each in found), default=0.0) <= until:
            break
    truths = {id(shown): panel for shown, panel in zip(now, unit.panels, strict=True)}
    told: dict[tuple[int, str], bool] = {}
    for panel, each in found:
        key = id(panel), each.metric
        told[key] = told.get(key, True) and holds(truths[id(panel)], each)
    return n, list(told.values())


def holds(panel: Panel, found: Leading) -> bool:
    """Whether an interval holds the mean difference, or mean, of all records."""
    metric, leader = panel.metrics.index(found.metric), panel.explainers.index(found.leader)
    values, weights = panel.values[:, leader, metric], panel.adjusted[:, leader, metric]
    if found.other is not None:
        other = panel.explainers.index(found.other)
        both = (weights > 0) & (panel.adjusted[:, other, metric] > 0)
        weights = np.where(both, (weights + panel.adjusted[:, other, metric]) / 2, 0.0)
        values = values - panel.values[:, other, metric]
    truth = float(weighted_mean(values, weights))
    return found.low - 1e-9 <= truth <= found.high + 1e-9


if __name__ == "__main__":
    main()
