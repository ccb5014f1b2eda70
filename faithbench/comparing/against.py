"""Is one explainer better than the others? It against each of them, on the same texts (see docs/statistics.md)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from faithbench.comparing.pairs import (
    CALLED,
    Pair,
    against_others,
    check_test,
    names_elsewhere,
    names_in,
    notes_on,
    one,
    only,
)
from faithbench.errors import UserError
from faithbench.records.results import Panel, higher_is_better, kind, label, labels, panels, predicted_classes, read
from faithbench.records.units import units_of
from faithbench.statistics.paired_tests import FLIPS, Difference, difference, holm
from faithbench.statistics.verdicts import ALPHA, is_negligible, least_texts
from faithbench.tables.parts import Cell, Column, Grid, Heading, Note, Number, Part, Title, Words
from faithbench.tables.spreadsheet import csv
from faithbench.tables.wording import MINUS, places_of
from faithbench.tables.writers import WRITERS, check_format

DIRECTIONS = {True: "higher is better", False: "lower is better", None: "no better or worse"}
HEADS = ("against", "difference", "p", "effect size d_z", "n", "verdict")


@dataclass(frozen=True)
class Against:
    """The explainer less one other, by one metric on one model and data set.

    `p` is Holm-corrected over the `tests` others there; 1 where the difference is negligible.
    """

    other: str
    pair: Pair
    found: Difference
    p: float
    tests: int


@dataclass(frozen=True)
class AgainstAll:
    """One explainer against all others, and what is to be known of the runs."""

    explainer: str
    rows: tuple[Against, ...]
    test: str
    alpha: float
    notes: tuple[str, ...] = ()

    def verdict(self, row: Against) -> str:
        """Of the explainer: `better` or `worse`, `higher` or `lower` where nothing is better, or `not shown`."""
        if not row.p < self.alpha:
            return "not shown"
        direction, above = higher_is_better(row.pair.metric), row.found.mean > 0
        if direction is None:
            return "higher" if above else "lower"
        return "better" if above == direction else "worse"

    def table(self) -> pd.DataFrame:
        """A row for each data set, model, metric and other explainer.

        `difference` is the explainer less the other, with its 95 % interval; `p` Holm-corrected over `tests` others,
        `p_alone` not; `effect` is d_z; `verdict` as in `verdict`.
        """
        return pd.DataFrame([self._row(row) for row in self.rows])

    def _row(self, row: Against) -> dict[str, object]:
        pair, found = row.pair, row.found
        return {
            "dataset": pair.dataset,
            "model": pair.under,
            "fingerprint": pair.fingerprint,
            "metric": pair.metric,
            "kind": kind(pair.metric),
            "explainer": self.explainer,
            "other": row.other,
            "difference": found.mean,
            "low": found.low,
            "high": found.high,
            "interval": found.interval,
            "p": row.p,
            "tests": row.tests,
            "p_alone": found.p,
            "effect": found.effect,
            "n": found.n,
            "left_out": found.left_out,
            "verdict": self.verdict(row),
        }

    def render(self, format: str = "markdown") -> str:
        """As `markdown`, `latex` or for a `terminal`, or tidy as `csv`.

        Raises:
            UserError: another format.
        """
        check_format(format)
        return csv(self.table(), "%.6g") if format == "csv" else WRITERS[format](self._parts())

    def _parts(self) -> Iterator[Part]:
        name = label("explainer", self.explainer)
        for (dataset, model, state), rows in groupby(self.rows, _place):
            weights = f", weights {state}" if self._states(dataset, model) > 1 else ""
            where = f"{label('model', model)} on {label('dataset', dataset)}{weights}"
            yield Title(f"{name} against all others", f": {where}")
            for metric, several in groupby(rows, lambda row: row.pair.metric):
                yield Heading(f"{label('metric', metric)} ({DIRECTIONS[higher_is_better(metric)]})")
                yield self._grid(list(several))
        yield Note(self._how(name))
        yield from map(Note, self.notes)

    def _states(self, dataset: str, model: str) -> int:
        return len(
            {row.pair.fingerprint for row in self.rows if (row.pair.dataset, row.pair.under) == (dataset, model)}
        )

    def _grid(self, rows: Sequence[Against]) -> Grid:
        names = labels("explainer", [row.other for row in rows])
        places = places_of([row.found.high - row.found.low for row in rows])
        columns = tuple(Column(head, right=head in HEADS[2:5]) for head in HEADS)
        return Grid(columns, tuple(self._cells(row, names[row.other], places) for row in rows), minus=MINUS)

    def _cells(self, row: Against, name: str, places: int) -> tuple[Cell, ...]:
        found = row.found
        shown = Number(found.mean, places, found.low, found.high, bounds=True, signed=True)
        p: Cell = Words("< 0.001") if row.p < 0.001 else Number(row.p, 3)
        return Words(name), shown, p, Number(found.effect, 2), Number(found.n), Words(self.verdict(row))

    def _how(self, name: str) -> str:
        most, fewest = max(row.tests for row in self.rows), min(row.found.n for row in self.rows)
        least = least_texts(most, self.alpha)
        units = units_of(row.pair.dataset for row in self.rows)
        few = f" Fewer than {least} {units} could not show any difference." if fewest < least else ""
        return (
            f"Differences are {name} less the other, with 95 % intervals; p of paired {CALLED[self.test]} over "
            f"{units}, Holm-corrected over the others of a metric; n {units}; not shown: p is {self.alpha:g} or "
            f"more.{few}"
        )


def against_all(
    explainer: str,
    folders: Sequence[Path | str],
    metrics: Sequence[str] = (),
    model: str | None = None,
    dataset: str | None = None,
    test: str = "permutation",
    alpha: float = ALPHA,
) -> AgainstAll:
    """Compares one explainer with each of the others, by each metric on the texts where both have a value.

    Args:
        explainer: as tables show it, or a beginning that only one has.
        folders: of runs.
        metrics: only by these.
        model: only on this one.
        dataset: only on this one.
        test: permutation or wilcoxon.
        alpha: how often a difference may be seen where there is none, among all others by a metric.

    Raises:
        UserError: a name is not in the runs or is that of several, there is no other explainer, or test or alpha is not
            allowed.
    """
    check_test(test, alpha)
    every = list(panels(read(folders), predicted=predicted_classes(folders)))
    here = only(every, None, dataset)
    names, elsewhere = names_in(here), names_elsewhere(every, here)
    first = one("explainer", explainer, names["explainer"], elsewhere)
    chosen = {one("metric", name, names["metric"], elsewhere) for name in metrics} or set(names["metric"])
    rows = [
        row
        for panel in only(here, model, None)
        if first in panel.explainers
        for row in _rows(panel, first, chosen, test, alpha)
    ]
    if not rows:
        raise UserError(f"the runs hold nothing, of what was asked for, that was measured for {explainer} and another.")
    notes = notes_on(folders, {row.pair.dataset for row in rows})
    return AgainstAll(first, tuple(rows), test, alpha, notes)


def _rows(panel: Panel, first: str, metrics: set[str], test: str, alpha: float) -> Iterator[Against]:
    """The others of a panel, a metric after the other, corrected within it; the best of the explainer's first."""
    pairs = [(other, pair) for other, pair in against_others(panel, first) if pair.metric in metrics]
    for _, several in groupby(pairs, lambda each: each[1].metric):
        yield from sorted(_corrected(list(several), test, alpha), key=lambda row: -row.found.mean)


def _corrected(pairs: Sequence[tuple[str, Pair]], test: str, alpha: float) -> list[Against]:
    n = len(pairs)
    found = [
        difference(*pair.values, *pair.weights, test=test, alpha=alpha / n, flips=max(FLIPS, 40 * n - 1))
        for _, pair in pairs
    ]
    gaps, widths = np.array([each.mean for each in found]), np.array([pair.width for _, pair in pairs])
    p = holm(np.where(is_negligible(gaps, widths), 1.0, [each.p for each in found]))
    return [Against(*pair, each, float(q), n) for pair, each, q in zip(pairs, found, p, strict=True)]


def _place(row: Against) -> tuple[str, str, str]:
    return row.pair.dataset, row.pair.under, row.pair.fingerprint
