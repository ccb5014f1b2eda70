"""Do metrics agree on which explainer is better, with each other and with the ground truth, and can they tell damage?

See docs/statistics.md.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faithbench.comparing.agreement import LEAST, Agreement, Standing, agreement_of, standing_of
from faithbench.comparing.jackknife import jackknife, left_out
from faithbench.comparing.judges import costs, judged
from faithbench.comparing.likeness import ALIKE
from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.records.results import TRUTH, degrades, kind, kind_order, label, labels, panels, predicted_classes, read
from faithbench.records.store import Store
from faithbench.statistics.ground_truth import truth_doubts
from faithbench.tables.figure import write_figure
from faithbench.tables.parts import Cell, Column, Grid, Note, Number, Part, Several, Signature, Title, Words
from faithbench.tables.signature import signature_of
from faithbench.tables.wording import MINUS
from faithbench.tables.writers import rendered

DRAWS = 499  # resamples of the texts
MARK = "*"  # of two metrics that were never measured on one data set
WIDER = "†"  # of an interval that is wider over explainers than over texts


@dataclass(frozen=True)
class MetaEvaluation:
    """Rank agreement of all pairs of metrics; which of them predict the ground truth; whether operators matter.

    The intervals are over texts, or over explainers (jackknife) where that is wider, which the column `over` says;
    `least` and `most` are the agreement without one explainer or another. `judges` says of each metric whether it tells
    explanations from their degraded copies, which stand in no ranking; it is empty where there are none.
    `texts` counts those that were measured, each once for every data set that it is of. `doubted` says where metrics of
    the ground truth were left out, and why: it is not the model's there.
    """

    metrics: tuple[str, ...]
    pairs: pd.DataFrame
    truth: pd.DataFrame
    operators: pd.DataFrame
    signature: str = ""
    equal: tuple[str, ...] = ()
    judges: pd.DataFrame = field(default_factory=pd.DataFrame)
    texts: int = 0
    doubted: tuple[str, ...] = ()

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
        return rendered(format, lambda: self.pairs, self.document)

    def document(self) -> list[Part]:
        """The tables for people."""
        found: list[Part] = [Title("Do metrics rank explainers alike?", " Kendall's τ_b"), self._matrix()]
        if not self.truth.empty:
            found += [Title("Which metric predicts the ground truth?"), _listed(self.truth)]
        if not self.operators.empty:
            found += [Title("Does the ranking survive the perturbation operator?"), _listed(self.operators)]
        found += _legend(pd.concat([self.pairs, self.truth, self.operators]), self.equal)
        found += map(Note, self.notes)
        if not self.judges.empty:
            found += [Title("What can a metric tell?"), _judges(self.judges, self.truth), _of_judges()]
        return [*found, Signature(self.signature)]

    def plot(self, path: Path | str) -> Path:
        """Draws the matrix as a heat map.

        Raises:
            UserError: the file's ending is not that of a figure, matplotlib is not there, or it cannot be written.
        """
        return write_figure("faithbench.comparing.heatmap:draw", path, *self.drawn)

    @property
    def drawn(self) -> tuple[object, ...]:
        """What the heat map is made of: the matrix, which metrics are of the ground truth, the caption."""
        return self.matrix(), [kind(name) == TRUTH for name in self.metrics], self.caption

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and why, a sentence or two each."""
        return _left_out(self.doubted)

    @property
    def caption(self) -> str:
        """How many metrics, texts and explainers are compared, and what the drawing's signs mean."""
        least, most = self.pairs["explainers"].min(), self.pairs["explainers"].max()
        over = f"{least}" if least == most else f"{least} to {most}"
        width = (self.pairs["high"] - self.pairs["low"]).median()
        return (
            f"n = {self.texts:,} texts; {len(self.metrics)} metrics over {over} explainers. Half of the 95 % intervals "
            f"are narrower than ± {width / 2:.2f}. Framed: groups that agree by {ALIKE} or more on average. Squares, "
            "where there are no values: filled for the same ranking, hollow for the reverse, the larger the stronger. "
            "Hatched: never compared. Bold: ground truth."
        )


def meta_evaluation(
    folders: Sequence[Path | str],
    draws: int = DRAWS,
    seed: int = 0,
    kept: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> MetaEvaluation:
    """Compares the metrics of runs by how they rank the explainers; metrics without better or worse are left out.

    Degraded copies of explainers are not ranked; if there are some, metrics are judged by them. `kept` chooses records.
    Those of a ground truth that is not the model's (`truth_doubts`) are left out.

    Raises:
        UserError: no two metrics ranked the same three explainers on models of the same name.
    """
    every = read(folders) if kept is None else kept(read(folders))
    every, doubted = _without_doubted(every, folders)
    frame = every[[degrades(str(name)) is None for name in every["explainer"]]]
    standings = [standing_of(panel, draws, seed) for panel in panels(frame, predicted=predicted_classes(folders))]
    found = {metric for standing in standings for metric in standing.metrics}
    metrics = tuple(sorted(found, key=lambda metric: (*kind_order(kind(metric)), metric)))
    pairs = [each for a, b in combinations(metrics, 2) if (each := agreement_of(a, b, standings)) is not None]
    agreements = [_Jackknifed(each, left_out(each.a, each.b, standings)) for each in pairs]
    if not agreements:
        raise UserError(
            f"no two metrics with a better and worse ranked the same {LEAST} explainers; the runs hold {len(metrics)} "
            f"such metrics and {len({name for standing in standings for name in standing.explainers})} explainers."
            + "".join(f" {each}" for each in _left_out(doubted))
        )
    return MetaEvaluation(
        metrics,
        pd.DataFrame([_row(each) for each in agreements]),
        _truth(agreements, metrics, costs(frame)),
        _operators(agreements),
        signature_of(frame[frame["metric"].isin(metrics)], folders),
        tuple(_equal(standings)),
        judged(every),
        len(frame[["dataset", "dataset_fingerprint", "unit"]].drop_duplicates()),
        doubted,
    )


def _without_doubted(records: pd.DataFrame, folders: Sequence[Path | str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The records but for those of a ground truth that is not the model's; and where such are, and why."""
    entries = [pair for folder in folders for pair in Store(Path(folder)).manifest().get("models", {}).items()]
    doubts = {(place, each["fingerprint"]): " ".join(truth_doubts(each.get("checks", {}))) for place, each in entries}
    truths = [name for name in records["metric"].unique() if kind(str(name)) == TRUTH]
    of_truth, columns = records["metric"].isin(truths), records[["model", "dataset", "model_fingerprint"]]
    found = columns[of_truth].drop_duplicates().itertuples(index=False, name=None)
    why = {each: told for each in found if (told := doubts.get((f"{each[0]} on {each[1]}", each[2])))}
    gone = of_truth & pd.MultiIndex.from_frame(columns).isin(list(why))
    named = (f"{label('model', model)} on {label('dataset', data)}" for model, data, _ in why)
    said = dict.fromkeys(f"{name}: {each}" for name, each in zip(named, why.values(), strict=True))
    return records[~gone], tuple(said)


def _left_out(doubted: Sequence[str]) -> tuple[str, ...]:
    """The same as sentences."""
    return tuple(f"Metrics of the ground truth are left out where it does not hold. {each}" for each in doubted)


def _equal(standings: Sequence[Standing]) -> Iterator[str]:
    """Which explainers count once, and where."""
    for each in standings:
        for names in each.equal:
            pair = " = ".join(label("explainer", name) for name in names)
            yield f"{pair} for {label('model', each.model)} on {label('dataset', each.dataset)}"


@dataclass(frozen=True)
class _Jackknifed:
    """An agreement, and what it is without each explainer."""

    of: Agreement
    without: Mapping[str, float]


def _row(each: _Jackknifed) -> dict[str, object]:
    a, b = each.of.a, each.of.b
    names = {"metric_a": a, "metric_b": b, "kind_a": kind(a), "kind_b": kind(b)}
    return {**names, **_numbers(each), "places": each.of.places, "across": each.of.across}


def _numbers(each: _Jackknifed) -> dict[str, object]:
    """τ_b with the wider of its intervals, what it is without one explainer, and over how many explainers."""
    tau, drawn = float(each.of.taus[0]), each.of.taus[1:]
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) if np.isfinite(drawn).any() else [np.nan] * 2
    left = jackknife(each.without)
    below, above = left.interval(tau)
    wider = not above - below <= high - low and np.isfinite(left.error)
    bounds = (below, above, "explainers") if wider else (low, high, "texts")
    found = dict(zip(("low", "high", "over"), bounds, strict=True))
    return {"tau": tau, **found, "least": left.least, "most": left.most, "explainers": each.of.explainers}


def _truth(agreements: Sequence[_Jackknifed], metrics: Sequence[str], asked: "pd.Series[float]") -> pd.DataFrame:
    """The metrics by their mean agreement with those of the ground truth, best first, with what they cost."""
    rows = []
    for metric in metrics:
        found = [x for x in agreements if metric in (x.of.a, x.of.b) and kind(_other(x.of, metric)) == TRUTH]
        if kind(metric) != TRUTH and found:
            across = all(each.of.across for each in found)
            rows.append(
                {
                    "metric": metric,
                    "kind": kind(metric),
                    **_numbers(_mean(metric, found)),
                    "rows a text": asked.get(metric, np.nan),
                    "across": across,
                }
            )
    frame = pd.DataFrame(rows)
    return frame if frame.empty else frame.sort_values("tau", ascending=False, kind="stable", ignore_index=True)


def _other(agreement: Agreement, metric: str) -> str:
    return agreement.b if agreement.a == metric else agreement.a


def _mean(metric: str, found: Sequence[_Jackknifed]) -> _Jackknifed:
    """The mean agreement of a metric with others; without an explainer, of those that there are then."""
    taus = np.stack([each.of.taus for each in found]).mean(axis=0)
    whole = Agreement(metric, TRUTH, taus, min(each.of.explainers for each in found), len(found), False)
    names = [name for name in found[0].without if all(name in each.without for each in found)]
    return _Jackknifed(whole, {name: float(np.mean([each.without[name] for each in found])) for name in names})


def _operators(agreements: Sequence[_Jackknifed]) -> pd.DataFrame:
    """The agreements of one metric with itself under another operator."""
    rows = []
    for each in agreements:
        (family, one), (other_family, other) = _without_operator(each.of.a), _without_operator(each.of.b)
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
    shown = [str(name) for name in frame if name not in ("low", "high", "across", "over", "most")]

    def cell(row: Mapping[str, Any], name: str) -> Cell:
        value = row[name]
        if name == "metric":
            return Words(names[value], mark=MARK * bool(row.get("across", False)))
        if name == "tau":
            return Number(
                value, low=row["low"], high=row["high"], bounds=True, mark=WIDER * (row["over"] == "explainers")
            )
        if name == "least":
            return Words("") if pd.isna(value) else Several((Number(value), Number(row["most"])), between=" to ")
        return Words(value) if isinstance(value, str) else Number(value, places=1)

    rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    cells = tuple(tuple(cell(row, name) for name in shown) for row in rows)
    return Grid(tuple(Column({"least": "without one"}.get(name, name)) for name in shown), cells, minus=MINUS)


def _judges(frame: pd.DataFrame, truth: pd.DataFrame) -> Grid:
    """The metrics, those that tell most first, beside their agreement with the ground truth."""
    names = labels("metric", frame["metric"])
    taus = {} if truth.empty else dict(zip(truth["metric"], truth["tau"], strict=True))
    rows = [
        (
            Words(names[str(row["metric"])]),
            Words(str(row["kind"])),
            Number(row["diagnosticity"], places=1, low=row["low"], high=row["high"], bounds=True),
            Number(row["spearman"], places=3),
            Number(taus.get(row["metric"], np.nan)),
            Number(row["defined"], places=1),
            Number(row["rows"], places=1),
        )
        for row in frame.sort_values("diagnosticity", ascending=False, kind="stable").to_dict("records")
    ]
    columns = ("metric", "kind", "diagnosticity", "Spearman", "τ with the truth", "defined", "rows a text")
    return Grid(tuple(map(Column, columns)), tuple(rows), minus=MINUS)


def _of_judges() -> Note:
    return Note(
        "diagnosticity: % of texts on which an explanation is rated above its degraded copies, ties by half (50: the "
        "metric cannot tell), 95 % interval over texts. Spearman: of the means with the share of scores left in place. "
        "defined: % of explanations with a value."
    )


def _legend(pairs: pd.DataFrame, equal: Sequence[str]) -> list[Note]:
    least, most = pairs["explainers"].min(), pairs["explainers"].max()
    count = f"{least}" if least == most else f"{least} to {most}"
    notes = [
        Note(
            f"τ_b over {count} explainers for each data set and model, then averaged: 1 is the same ranking, −1 the "
            "reverse. Each metric is turned so that higher is better; ground truth comes first. 95 % intervals over "
            "texts; without one: the least and most that leaving one explainer out makes of τ_b."
        )
    ]
    if equal:
        notes.append(Note(f"Explainers with equal scores count once: {'; '.join(equal)}."))
    if pairs["across"].any():
        notes.append(Note("never measured on one data set: across data sets, under models of the same name.", MARK))
    if (pairs["over"] == "explainers").any():
        notes.append(Note("over explainers (jackknife), which is wider than over texts.", WIDER))
    return notes
