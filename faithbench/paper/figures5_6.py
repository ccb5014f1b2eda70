"""Figures 5 and 6 of the paper: what becomes of B-cos models and their explanations as B grows."""

import math
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from faithbench.paper.cell_records import most_texts, only
from faithbench.paper.figure import PaperFigure
from faithbench.paper.layouts import ACCURACY, COMP, ENTROPY, EXPLAINERS, LAYOUTS
from faithbench.paper.matching import same, value_of
from faithbench.paper.published import number
from faithbench.paper.run_data import RunData
from faithbench.paper.sources import Cell, Mean, Reported, Subject, cell_of
from faithbench.plugins import spec

RATE, SHARE = "positive_rate", "special_share"
BY_WORD, CONVENTIONAL, GOLD = "positive rate by word", "conventional", "gold"
BALANCED, SPECIAL = Reported(("test", "balanced_accuracy")), Mean(SHARE)
Quantity = Callable[[RunData, Subject], Cell]
Point = tuple[str, str, str, float, float, float, float]


def over_b(run_data: RunData) -> PaperFigure:
    """Figure 5: `value` by `panel` (accuracy, comp, entropy), `source` (ours, paper) and `b`, with its interval."""
    sources: dict[str, Quantity] = {"accuracy": ACCURACY, "comp": COMP, "entropy": ENTROPY}
    rows = [
        _point(panel, run_data.backbone, b, source(run_data, subject))
        for panel, source in sources.items()
        for b, subject in _swept(run_data).items()
    ]
    layout = LAYOUTS["table8"]
    paper = [
        (panel, "paper", layout.backbone, float(row["b"]), number(row[panel]), math.nan, math.nan)
        for panel in sources
        for row in layout.published.to_dict("records")
    ]
    return _figure("figure5", rows, tuple(sources), paper)


def of_bias(run_data: RunData) -> PaperFigure:
    """Figure 6: `value` by `panel` and `b`: rates of class 1, of texts with a word too (`series`), and others.

    Beside the B-cos models the conventional one and the labels (`gold`), which have no B and are level lines.
    """
    words = sorted(
        str(value_of("metric", metric, "word"))
        for metric in run_data.records["metric"].unique()
        if same("metric", metric, RATE, lambda key: key not in ("word", "of")) and value_of("metric", metric, "word")
    )
    wanted: dict[tuple[str, str], Quantity] = {
        ("positive rate", ""): _rate(""),
        ("balanced accuracy", ""): BALANCED,
        ("special tokens", ""): SPECIAL,
    }
    wanted |= {(BY_WORD, word): _rate(word) for word in dict.fromkeys(words)}
    swept, usual = _swept(run_data), Subject("conv-*", EXPLAINERS["B-cos"], "hatexplain", "B-cos")
    rows = [
        _point(panel, series or run_data.backbone, b, source(run_data, subject))
        for (panel, series), source in wanted.items()
        for b, subject in swept.items()
    ]
    for (panel, series), source in wanted.items():
        rows += _level(_beside(panel, CONVENTIONAL), series or CONVENTIONAL, swept, source(run_data, usual))
    for word in dict.fromkeys(["", *words]):
        gold = _of_labels(run_data, word, [*swept.values(), usual])
        rows += _level(_beside(BY_WORD if word else "positive rate", GOLD), word or GOLD, swept, gold)
    return _figure("figure6", rows, ("positive rate", "balanced accuracy", "special tokens", BY_WORD))


def _beside(panel: str, whose: str) -> str:
    """The panel of what has no B: the same, but for words, of which there are many."""
    return f"{panel}, {whose}" if panel == BY_WORD else panel


def _level(panel: str, series: str, over: Iterable[float], cell: Cell) -> list[Point]:
    """A value that is the same for every B."""
    return [_point(panel, series, b, cell) for b in over or (1.0,)]


def _of_labels(run_data: RunData, word: str, subjects: Iterable[Subject]) -> Cell:
    """The rate of class 1 among the labels: the same for all models, from the first that has it."""
    found = (_rate(word, "label")(run_data, subject) for subject in subjects)
    return next((cell for cell in found if math.isfinite(cell.value)), Cell())


def _figure(name: str, rows: Iterable[Point], panels: Sequence[str], paper: Iterable[Point] = ()) -> PaperFigure:
    ours = [row for row in rows if math.isfinite(row[4])]
    lacking = [panel for panel in panels if all(row[0] != panel for row in ours)]
    notes = (f"{name}: nothing in these runs for {', '.join(lacking)}.",) * bool(lacking)
    columns = ["panel", "source", "series", "b", "value", "low", "high"]
    return PaperFigure(name, pd.DataFrame([*ours, *paper], columns=columns), notes)


def _point(panel: str, series: str, b: float, cell: Cell) -> Point:
    return panel, "ours", series, b, cell.value, cell.low, cell.high


def _swept(run_data: RunData) -> dict[float, Subject]:
    """The B-cos models that differ from the usual one in B alone, by B."""
    usual = run_data.model("bcos-*")
    found = {
        float(b)
        for full in run_data.models
        if same("model", full, usual, lambda key: key not in ("seed", "b"))
        and isinstance(b := value_of("model", full, "b"), (int, float))
    }
    return {b: Subject(f"bcos-*(b={b})", EXPLAINERS["B-cos"], "hatexplain", "B-cos") for b in sorted(found)}


def _rate(word: str, of: str = "") -> Quantity:
    """The rate of class 1, which is the same for all explainers: from the one that ran on most texts."""
    metric = spec.write(RATE, {name: value for name, value in (("word", word), ("of", of)) if value})

    def cell(run_data: RunData, subject: Subject) -> Cell:
        claims = run_data.claims(subject.model, subject.dataset, False, lambda _: True, metric)
        claim = only(most_texts(claims))
        return Cell() if claim is None else cell_of(claim)

    return cell
