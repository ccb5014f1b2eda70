"""Do metrics agree on which explainer is better, with each other and with the ground truth? See docs/statistics.md."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faithbench.comparing.agreement import LEAST, Agreement, Standing, agreement_of, standing_of
from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.records.results import TRUTH, kind, kind_order, label, labels, panels, predicted_classes, read
from faithbench.tables.figure import write_figure
from faithbench.tables.parts import Cell, Column, Grid, Note, Number, Part, Signature, Title, Words
from faithbench.tables.signature import signature_of
from faithbench.tables.spreadsheet import csv
from faithbench.tables.wording import MINUS
from faithbench.tables.writers import WRITERS, check_format

DRAWS = 499  # resamples of the texts
MARK = "*"  # of two metrics that were never measured on one data set


@dataclass(frozen=True)
class MetaEvaluation:
    """Rank agreement of all pairs of metrics; which of them predict the ground truth; whether operators matter.

    The intervals are over texts: of explainers and models there are too few to speak of others.
    """

    metrics: tuple[str, ...]
    pairs: pd.DataFrame
    truth: pd.DataFrame
    operators: pd.DataFrame
    signature: str = ""
    equal: tuple[str, ...] = ()

    def matrix(self) -> pd.DataFrame:
        """The agreements as a symmetric matrix under the metrics' short names; NaN where two have none."""
        found = np.full((len(self.metrics), len(self.metrics)), np.nan)
        for a, b, tau in zip(self.pairs["metric_a"], self.pairs["metric_b"], self.pairs["tau"], strict=True):
            i, j = self.metrics.index(a), self.metrics.index(b)
            found[i, j] = found[j, i] = tau
        names = list(labels("metric", self.metrics).values())
        return pd.DataFrame(found, index=names, columns=names)

    def _matrix(self) -> Grid:
        """The matrix for people: a number for each metric, a mark where two were never measured on one data set."""
        apart = self.pairs[self.pairs["across"]]
        across = {frozenset(pair) for pair in zip(apart["metric_a"], apart["metric_b"], strict=True)}
        found = self.matrix()
        rows: list[tuple[Cell, ...]] = []
        for i, (a, name) in enumerate(zip(self.metrics, found.index, strict=True)):
            marks = [MARK * (frozenset((a, b)) in across) for b in self.metrics]
            taus = zip(found.iloc[i], marks, strict=True)
            rows.append((Words(f"{i + 1} {name}"), *(Number(tau, mark=mark) for tau, mark in taus)))
        columns = [Column(str(i)) for i in range(1, len(self.metrics) + 1)]
        return Grid((Column("metric"), *columns), tuple(rows), minus=MINUS)

    def render(self, format: str = "markdown") -> str:
        """As `markdown`, `latex` or for a `terminal`, or the pairs tidy as `csv`.

        Raises:
            UserError: another format.
        """
        check_format(format)
        if format == "csv":
            return csv(self.pairs)
        return WRITERS[format](self.document())

    def document(self) -> list[Part]:
        """The tables for people."""
        found: list[Part] = [Title("Do metrics rank explainers alike?", " Kendall's τ_b"), self._matrix()]
        if not self.truth.empty:
            found += [Title("Which metric predicts the ground truth?"), _listed(self.truth)]
        if not self.operators.empty:
            found += [Title("Does the ranking survive the perturbation operator?"), _listed(self.operators)]
        return [*found, *_legend(self.pairs, self.equal), Signature(self.signature)]

    def plot(self, path: Path | str) -> Path:
        """Draws the matrix as a heat map.

        Raises:
            UserError: the file's ending is not that of a figure, matplotlib is not there, or it cannot be written.
        """
        return write_figure("faithbench.comparing.heatmap:draw", path, self.matrix())


def meta_evaluation(folders: Sequence[Path | str], draws: int = DRAWS, seed: int = 0) -> MetaEvaluation:
    """Compares the metrics of runs by how they rank the explainers; metrics without better or worse are left out.

    Raises:
        UserError: no two metrics ranked the same three explainers on models of the same name.
    """
    frame = read(folders)
    standings = [standing_of(panel, draws, seed) for panel in panels(frame, predicted=predicted_classes(folders))]
    found = {metric for standing in standings for metric in standing.metrics}
    metrics = tuple(sorted(found, key=lambda metric: (*kind_order(kind(metric)), metric)))
    agreements = [each for a, b in combinations(metrics, 2) if (each := agreement_of(a, b, standings)) is not None]
    if not agreements:
        raise UserError(
            f"no two metrics with a better and worse ranked the same {LEAST} explainers; the runs hold {len(metrics)} "
            f"such metrics and {len({name for standing in standings for name in standing.explainers})} explainers."
        )
    costs = pd.to_numeric(frame["rows"]).groupby(frame["metric"]).mean()
    return MetaEvaluation(
        metrics,
        pd.DataFrame([_row(each) for each in agreements]),
        _truth(agreements, metrics, costs),
        _operators(agreements),
        signature_of(frame[frame["metric"].isin(metrics)], folders),
        tuple(_equal(standings)),
    )


def _equal(standings: Sequence[Standing]) -> Iterator[str]:
    """Which explainers count once, and where."""
    for each in standings:
        for names in each.equal:
            pair = " = ".join(label("explainer", name) for name in names)
            yield f"{pair} for {label('model', each.model)} on {label('dataset', each.dataset)}"


def _row(each: Agreement) -> dict[str, object]:
    names = {"metric_a": each.a, "metric_b": each.b, "kind_a": kind(each.a), "kind_b": kind(each.b)}
    return {**names, **_numbers(each), "places": each.places, "across": each.across}


def _numbers(each: Agreement) -> dict[str, object]:
    """τ_b with its interval, and over how many explainers."""
    low, high = np.nanpercentile(each.taus[1:], [2.5, 97.5]) if np.isfinite(each.taus[1:]).any() else [np.nan] * 2
    return {"tau": float(each.taus[0]), "low": low, "high": high, "explainers": each.explainers}


def _truth(agreements: Sequence[Agreement], metrics: Sequence[str], costs: "pd.Series[float]") -> pd.DataFrame:
    """The metrics by their mean agreement with those of the ground truth, best first, with what they cost."""
    rows = []
    for metric in metrics:
        found = [x for x in agreements if metric in (x.a, x.b) and kind(x.b if x.a == metric else x.a) == TRUTH]
        if kind(metric) != TRUTH and found:
            mean = np.stack([each.taus for each in found]).mean(axis=0)
            whole = Agreement(metric, TRUTH, mean, min(each.explainers for each in found), len(found), False)
            across = all(each.across for each in found)
            rows.append(
                {
                    "metric": metric,
                    "kind": kind(metric),
                    **_numbers(whole),
                    "rows a text": costs[metric],
                    "across": across,
                }
            )
    frame = pd.DataFrame(rows)
    return frame if frame.empty else frame.sort_values("tau", ascending=False, kind="stable", ignore_index=True)


def _operators(agreements: Sequence[Agreement]) -> pd.DataFrame:
    """The agreements of one metric with itself under another operator."""
    rows = []
    for each in agreements:
        (family, one), (other_family, other) = _without_operator(each.a), _without_operator(each.b)
        if family == other_family and one is not None and other is not None:
            rows.append({"metric": family, "operator a": one, "operator b": other, **_numbers(each)})
    return pd.DataFrame(rows)


def _without_operator(metric: str) -> tuple[str, str | None]:
    name, args, kwargs = spec.parse(metric)
    operator = kwargs.pop("operator", None)
    return (spec.write(name, kwargs), None if operator is None else str(operator)) if not args else (metric, None)


def _listed(frame: pd.DataFrame) -> Grid:
    """Rows with their τ and its interval."""
    names = labels("metric", frame["metric"])
    shown = [str(name) for name in frame if name not in ("low", "high", "across")]

    def cell(row: Mapping[str, Any], name: str) -> Cell:
        value = row[name]
        if name == "metric":
            return Words(names[value], mark=MARK * bool(row.get("across", False)))
        if name == "tau":
            return Number(value, low=row["low"], high=row["high"], bounds=True)
        return Words(value) if isinstance(value, str) else Number(value, places=1)

    rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    cells = tuple(tuple(cell(row, name) for name in shown) for row in rows)
    return Grid(tuple(map(Column, shown)), cells, minus=MINUS)


def _legend(pairs: pd.DataFrame, equal: Sequence[str]) -> list[Note]:
    least, most = pairs["explainers"].min(), pairs["explainers"].max()
    count = f"{least}" if least == most else f"{least} to {most}"
    notes = [
        Note(
            f"τ_b over {count} explainers for each data set and model, then averaged: 1 is the same ranking, −1 the "
            "reverse. Each metric is turned so that higher is better; ground truth comes first. 95 % intervals over "
            "texts."
        )
    ]
    if equal:
        notes.append(Note(f"Explainers with equal scores count once: {'; '.join(equal)}."))
    if pairs["across"].any():
        notes.append(Note("never measured on one data set: across data sets, under models of the same name.", MARK))
    return notes
