"""Is A better than B? Two explainers, or two models, on the same texts, with the evidence (see docs/statistics.md)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from faithbench.comparing.pairs import (
    CALLED,
    Pair,
    both,
    check_test,
    names_elsewhere,
    names_in,
    notes_on,
    of_explainers,
    of_models,
    one,
    only,
)
from faithbench.comparing.trainings import OverTrainings, of_explainers_over_seeds, of_models_over_seeds
from faithbench.errors import UserError
from faithbench.records.results import Panel, higher_is_better, kind, label, panels, predicted_classes, read
from faithbench.records.seeds import Seeds, together
from faithbench.records.units import is_of_neurons, unit_of, units_of
from faithbench.shown import counted, visible
from faithbench.statistics.paired_tests import FLIPS, Difference, difference, holm
from faithbench.statistics.verdicts import ALPHA, NEGLIGIBLE, is_negligible, least_texts
from faithbench.tables.spreadsheet import csv


@dataclass(frozen=True)
class Compared:
    """A less B by one metric.

    `p` is Holm-corrected over so many `tests`: over all pairs of explainers by the metric if `is_ranked`, so that the
    verdict is that of the table; else over everything that was compared with it. It is 1 where the difference is
    negligible. `trainings` is the interval over trainings, where these were put together.
    """

    pair: Pair
    found: Difference
    p: float
    tests: int
    is_ranked: bool
    trainings: OverTrainings | None = None

    @property
    def is_negligible(self) -> bool:
        """Whether the difference is none, however sure it is."""
        return bool(is_negligible(np.array(self.found.mean), np.array(self.pair.width)))


@dataclass(frozen=True)
class Comparison:
    """Everything that was compared of A and B, which are explainers or models, and what is to be known of the runs."""

    what: str
    a: str
    b: str
    cells: tuple[Compared, ...]
    test: str
    alpha: float
    notes: tuple[str, ...] = ()

    def better(self, cell: Compared) -> str | None:
        """The better of the two, if that is shown; None otherwise, or where the metric has no better or worse."""
        direction = higher_is_better(cell.pair.metric)
        if direction is None or not cell.p < self.alpha:
            return None
        return self.a if (cell.found.mean > 0) == direction else self.b

    def table(self) -> pd.DataFrame:
        """A row for each data set, metric, and model (for two models: explainer).

        `difference` is A less B with its 95 % interval, `p` Holm-corrected over `tests` tests and `p_alone` not;
        `share_a_higher` and `share_equal` of the `n` texts; `better` the name of the better, if that is shown. Over
        seeds also `trainings`, how many, and `seed_low` and `seed_high`, the interval over them.
        """
        return pd.DataFrame([self._row(cell) for cell in self.cells])

    def _row(self, cell: Compared) -> dict[str, object]:
        pair, found = cell.pair, cell.found
        return {
            "dataset": pair.dataset,
            "model" if self.what == "explainer" else "explainer": pair.under,
            "fingerprint": pair.fingerprint,
            "metric": pair.metric,
            "kind": kind(pair.metric),
            "a": self.a,
            "b": self.b,
            "difference": found.mean,
            "low": found.low,
            "high": found.high,
            "interval": found.interval,
            "p": cell.p,
            "tests": cell.tests,
            "p_alone": found.p,
            "effect": found.effect,
            "n": found.n,
            "left_out": found.left_out,
            "share_a_higher": found.better,
            "share_equal": found.equal,
            "detectable": found.detectable,
            "better": self.better(cell) or "",
            **self._over_trainings(cell),
        }

    def _over_trainings(self, cell: Compared) -> dict[str, object]:
        over = cell.trainings
        if over is None:
            return {}
        return {"trainings": " and ".join(map(str, over.counts)), "seed_low": over.low, "seed_high": over.high}

    def sentences(self) -> list[str]:
        """The answer, a sentence or two for each data set, metric, and model (for two models: explainer)."""
        return [visible(self._sentence(cell)) for cell in self.cells]

    def _sentence(self, cell: Compared) -> str:
        pair, found, direction = cell.pair, cell.found, higher_is_better(cell.pair.metric)
        a, b = label(self.what, self.a), label(self.what, self.b)
        where = self._where(pair)
        if not found.n:
            return f"{where} {a} and {b} cannot be compared, for no {unit_of(pair.dataset)} has a value for both."
        evidence = self._evidence(cell, a, b, direction)
        if found.equal == 1:
            return f"{where} {a} and {b} are equal on all {found.n:,} {unit_of(pair.dataset)}s."
        if cell.p < self.alpha:
            a_first = (found.mean > 0) == (direction is not False)
            first, second = (a, b) if a_first else (b, a)
            return f"{where} {first} is {'higher' if direction is None else 'better'} than {second} ({evidence})."
        return f"{where} it is not shown that {a} and {b} differ ({evidence}).{self._missed(cell)}"

    def _missed(self, cell: Compared) -> str:
        """Why no difference was shown, or how large one could have been missed."""
        if cell.is_negligible:
            return f" A difference below {_figure(NEGLIGIBLE * cell.pair.width)} counts as none."
        least = least_texts(cell.tests, self.alpha)
        if cell.found.n < least:
            return f" Fewer than {least} {unit_of(cell.pair.dataset)}s could not show any."
        return (
            f" Such a sample would have shown, 8 times in 10, a true difference of {_figure(cell.found.detectable)} or "
            "more."
            if cell.found.detectable > 0
            else ""
        )

    def _where(self, pair: Pair) -> str:
        under = "model" if self.what == "explainer" else "explainer"
        alike = [cell.pair for cell in self.cells if (cell.pair.dataset, cell.pair.under) == (pair.dataset, pair.under)]
        state = f" (state {pair.fingerprint})" if len({each.fingerprint for each in alike}) > 1 else ""
        words = {True: "higher is better", False: "lower is better", None: "no better or worse"}
        metric = f"{label('metric', pair.metric)} ({words[higher_is_better(pair.metric)]})"
        return f"{label('dataset', pair.dataset)}, {label(under, pair.under)}{state}, {metric}:"

    def _evidence(self, cell: Compared, a: str, b: str, direction: bool | None) -> str:
        found, tests, unit = cell.found, cell.tests, unit_of(cell.pair.dataset)
        who = "describers" if is_of_neurons(cell.pair.dataset) else "explainers"
        over = f"all {tests} pairs of {who}" if cell.is_ranked else f"{tests} comparisons"
        wins = found.better if direction is not False else 1 - found.better - found.equal
        parts = [
            f"difference {a} − {b} {_figure(found.mean)}"
            + ("" if math.isnan(found.low) else f", 95 % interval {_figure(found.low)} to {_figure(found.high)}"),
            *_over(cell.trainings),
            ("p < 0.001" if cell.p < 0.001 else f"p = {cell.p:.3f}")
            + (f", Holm-corrected over {over}" if tests > 1 else ""),
            "" if math.isnan(found.effect) else f"effect size d_z {found.effect:.2f}".replace("-", "−"),
            f"{a} is {'higher' if direction is None else 'better'} on {100 * wins:.0f} % of {counted(found.n, unit)}"
            + (f", level on {100 * found.equal:.0f} %" if found.equal else ""),
            f"{counted(found.left_out, unit)} left out for want of a value" if found.left_out else "",
        ]
        return "; ".join(part for part in parts if part)

    def render(self, format: str = "text") -> str:
        """As `text`, or tidy as `csv`.

        Raises:
            UserError: another format.
        """
        if format == "csv":
            return csv(self.table(), "%.6g")
        if format != "text":
            raise UserError(f"format {format!r} is not known; use text or csv.")
        units = units_of(cell.pair.dataset for cell in self.cells)
        how = f"p of paired {CALLED[self.test]} over {units}; 95 % intervals."
        if any(cell.trainings is not None for cell in self.cells):
            how += (
                f" p and the first interval are over {units}, of the trainings at hand; over trainings: "
                f"{'Student' if self.what == 'explainer' else 'Welch'}'s 95 % interval of the trainings' means."
            )
        return "\n\n".join([*self.sentences(), how, *self.notes]) + "\n"


def comparison(
    a: str,
    b: str,
    folders: Sequence[Path | str],
    metrics: Sequence[str] = (),
    model: str | None = None,
    dataset: str | None = None,
    test: str = "permutation",
    alpha: float = ALPHA,
    over_seeds: bool = False,
) -> Comparison:
    """Compares two explainers, or two models, by each metric on the texts where both have a value.

    Names are those that tables show, or beginnings that only one has. `metrics`, `model` and `dataset` choose among
    what the runs hold. With `over_seeds` models that differ in their seed alone are put together, as tables do, and an
    interval over trainings stands beside that over texts.

    Raises:
        UserError: a name is not in the runs or is that of several, A and B are one or of different kinds, nothing was
            measured for both, the runs hold several trainings of a model to compare, or test or alpha is not allowed.
    """
    check_test(test, alpha)
    every = list(panels(read(folders), predicted=predicted_classes(folders)))
    here = only(every, None, dataset)
    names, elsewhere = names_in(here, over_seeds), names_elsewhere(every, here, over_seeds)
    what, first, second = both(a, b, names, elsewhere)
    chosen = {one("metric", name, names["metric"], elsewhere) for name in metrics} or set(names["metric"])
    pairs: list[tuple[Pair, OverTrainings | None]]
    if over_seeds:
        seeds = _put_together(what, here, model, first, second)
        pairs = list((of_explainers_over_seeds if what == "explainer" else of_models_over_seeds)(seeds, first, second))
    else:
        chosen_panels = _of_texts(what, only(here, model, None), first, second)
        alone = (of_explainers if what == "explainer" else of_models)(chosen_panels, first, second)
        pairs = [(pair, None) for pair in alone]
    kept = [(pair, over) for pair, over in pairs if pair.metric in chosen]
    if not kept:
        raise UserError(f"the runs hold nothing, of what was asked for, that was measured for both {a} and {b}.")
    cells = tuple(
        replace(cell, trainings=over)
        for cell, (_, over) in zip(_compared([pair for pair, _ in kept], test, alpha), kept, strict=True)
    )
    notes = notes_on(folders, {cell.pair.dataset for cell in cells})
    return Comparison(what, first, second, cells, test, alpha, notes)


def _put_together(what: str, found: Sequence[Panel], model: str | None, first: str, second: str) -> list[Seeds]:
    """Trainings as one; where two models are compared no text counts more than another, as without seeds."""
    seeds = together(replace(panel, strata=None) for panel in found) if what == "model" else together(found)
    kept = _of_texts(what, only([each.panel for each in seeds], model, None), first, second)
    return [each for each in seeds if any(each.panel is panel for panel in kept)]


def _of_texts(what: str, found: Sequence[Panel], first: str, second: str) -> Sequence[Panel]:
    """The panels that can be compared in pairs: of two models those of texts, which both share.

    Raises:
        UserError: two models were measured on neurons alone.
    """
    if what != "model":
        return found
    kept = [panel for panel in found if not is_of_neurons(panel.key["dataset"])]
    if not kept or {first, second}.isdisjoint(panel.key["model"] for panel in kept):
        raise UserError(
            f"neurons of {label('model', first)} and {label('model', second)} are not the same ones and cannot be "
            "compared in pairs; faithbench table shows the difference of their means, over all neurons and at equal "
            "density."
        )
    return kept


def _compared(pairs: Sequence[Pair], test: str, alpha: float) -> Iterator[Compared]:
    """The verdict of the table where it has one; the other pairs are corrected together."""
    ranked = [test == "permutation" and pair.tests > 0 for pair in pairs]
    tests = [pair.tests if has else len(pairs) - sum(ranked) for pair, has in zip(pairs, ranked, strict=True)]
    found = [
        difference(*pair.values, *pair.weights, test=test, alpha=alpha / n, flips=max(FLIPS, 40 * n - 1))
        for pair, n in zip(pairs, tests, strict=True)
    ]
    gaps, widths = (np.array(each) for each in ([one.mean for one in found], [pair.width for pair in pairs]))
    alone = np.where(is_negligible(gaps, widths), 1.0, [each.p for each in found])
    p = np.array([pair.p for pair in pairs])
    others = ~np.array(ranked)
    p[others] = holm(alone[others])
    yield from (Compared(*each) for each in zip(pairs, found, map(float, p), tests, ranked, strict=True))


def _over(trainings: OverTrainings | None) -> Iterator[str]:
    """The interval over trainings in words, where it was asked for."""
    if trainings is None:
        return
    if math.isnan(trainings.low):
        yield f"over {trainings.words}: too few for an interval"
    else:
        yield f"over {trainings.words} {_figure(trainings.low)} to {_figure(trainings.high)}"


def _figure(value: float) -> str:
    """Three significant digits, without powers of ten."""
    places = max(0, 2 - math.floor(math.log10(abs(value)))) if value and math.isfinite(value) else 0
    return f"{value:.{places}f}".replace("-", "−")
