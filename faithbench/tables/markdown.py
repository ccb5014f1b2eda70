"""Tables for people: models first, then explainers against metrics, a table for each kind of metric."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from faithbench.records.results import FAITHFULNESS, TRUTH, higher_is_better, kind_order, labels

HEADINGS = {
    TRUTH: "ground truth: is what is known to decide found?",
    FAITHFULNESS: "faithfulness: does the model use what the explanation names?",
    "plausibility": "plausibility: agreement with people, not faithfulness",
    "simplicity": "simplicity: how short the explanation is",
}
LOPSIDED = 1.2  # an interval whose longer arm exceeds the other by so much is written out


Part = str | pd.DataFrame  # a paragraph or a grid; `**…**` is bold, `*…*` italic


def document(frame: pd.DataFrame, models: pd.DataFrame, notes: Sequence[str]) -> list[Part]:
    """A frame of `tables.table` for people, with the models, and sentences that go below."""
    parts: list[Part] = []
    names, data_names = labels("model", frame["model"]), labels("dataset", frame["dataset"])
    if not models.empty:
        parts.append(models.dropna(axis=1, how="all"))
    for (dataset, model), states in frame.groupby(["dataset", "model"], sort=False):
        for (data, weights), group in states.groupby(["dataset_fingerprint", "model_fingerprint"], sort=False):
            ofm = f" (weights {weights})" if states["model_fingerprint"].nunique() > 1 else ""
            ofd = f" (content {data})" if states["dataset_fingerprint"].nunique() > 1 else ""
            title = f"**{names[str(model)]}**{ofm} on {data_names[str(dataset)]}{ofd}"
            if "seeds" in frame:
                title = f"{title}, {_number(group['seeds'].max(), 'training')}"
            for target, share in group.groupby("target") if "target" in frame else [("", group)]:
                where = f", class explained: {target}" if "target" in frame else ""
                parts += [f"{title}{where}", *_grids(share)]
    return [*parts, *notes, *_legend(frame)]


def markdown(parts: Iterable[Part]) -> str:
    """Paragraphs and grids as Markdown."""
    return "\n\n".join(part if isinstance(part, str) else _written(part) for part in parts) + "\n"


def _written(grid: pd.DataFrame) -> str:
    if grid.columns.nlevels > 1:  # Markdown has one line of headings
        grid = grid.set_axis([" ".join(filter(None, map(str, levels))) for levels in grid.columns], axis=1)
    if grid.select_dtypes("number").empty:  # cells that are made already
        return grid.to_markdown(index=False, disable_numparse=True)
    return grid.to_markdown(index=False, floatfmt=".2f", intfmt=",", missingval="")


def _grids(group: pd.DataFrame) -> list[Part]:
    """A table for each kind of metric, with its heading, and the number of texts."""
    kinds = sorted(set(group["kind"]), key=kind_order)
    texts = int((group["n"] + group["undefined"] + group["failed"]).max())
    grids = [(f"*{HEADINGS.get(name, name)}*", _grid(group[group["kind"] == name], texts)) for name in kinds]
    return [*(part for pair in grids for part in pair), f"{_number(texts, 'text')}."]


def _grid(group: pd.DataFrame, texts: int) -> pd.DataFrame:
    """Explainers down, metrics across; cells that were measured on fewer texts than others say so."""
    columns, explainers, metrics = {}, labels("explainer", group["explainer"]), labels("metric", group["metric"])
    for metric, column in group.groupby("metric"):
        places = places_of(column["high"] - column["low"])
        several = (column["n"] > 0).sum() > 1
        names = [explainers[name] for name in column["explainer"]]
        cells = [_cell(row, places, several, texts) for row in column.itertuples()]
        columns[metrics[str(metric)]] = pd.Series(cells, index=names)
    return pd.DataFrame(columns).sort_index().sort_index(axis=1).fillna("").rename_axis("explainer").reset_index()


def places_of(widths: Iterable[float]) -> int:
    """1 decimal where half of the narrowest interval still shows a digit then, 2 otherwise."""
    halves = [width / 2 for width in widths if width > 0]
    return 1 if halves and min(halves) >= 0.1 else 2


def shown(value: float, places: int) -> str:
    """A number without the sign of a zero."""
    return f"{round(value, places) + 0.0:.{places}f}"


def with_interval(mean: float, low: float, high: float, places: int) -> str:
    """`52.9 ± 0.8`, or `52.9 (51.8, 54.4)` if lopsided, or the number alone if there is no interval."""
    number = shown(mean, places)
    if not math.isfinite(low):
        return number
    arms = sorted([mean - low, high - mean])
    if arms[1] > LOPSIDED * arms[0] + 0.5 * 10**-places:
        return f"{number} ({shown(low, places)}, {shown(high, places)})"
    return f"{number} ± {(high - low) / 2:.{places}f}"


def _cell(row: Any, places: int, several: bool, texts: int) -> str:
    """`52.9 ± 0.8`, or `52.9 (51.8, 54.4)` if lopsided; bold if tied with the best; how many texts, what is missing."""
    asked = row.n + row.undefined + row.failed
    notes = [f"{count} {what}" for count, what in ((row.failed, "failed"), (row.undefined, "undefined")) if count]
    notes = [f"of {asked:,} texts"] * (asked < texts) + notes
    number = ""
    if row.n:
        number = with_interval(row.mean, row.low, row.high, places)
        if several and row.tied_with_best is not pd.NA and row.tied_with_best:
            number = f"**{number}**"
        deviation = getattr(row, "seed_deviation", math.nan)
        number += f"; seeds ± {deviation:.{places}f}" if math.isfinite(deviation) else ""
    return f"{number} ({', '.join(notes)})".strip() if notes else number


def _legend(frame: pd.DataFrame) -> list[str]:
    """What the cells mean, and which way each metric goes."""
    ways: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for metric, name in labels("metric", sorted(set(frame["metric"]))).items():
        ways[higher_is_better(metric)].append(name)
    words = {True: "Higher is better", False: "Lower is better", None: "No better or worse"}
    lines = [
        "Means over texts with 95 % bootstrap intervals: ± half the width, or (low, high) where one is lopsided. Bold: "
        "the best of a column, and those of which paired tests on the texts that both have (Holm-corrected, 5 %) do "
        "not show that they differ.",
        " ".join(f"{words[way]}: {', '.join(names)}." for way, names in ways.items() if names),
    ]
    if "seeds" in frame:
        lines.append(
            "Models that differ in their seed alone are put together: means over trainings. The interval is over "
            "texts; seeds ± is the standard deviation of the trainings' means."
        )
    return lines


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
