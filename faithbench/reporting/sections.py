"""A section of a report: one model on one data set, with everything that its page shows."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from faithbench.records.manifest import Manifest, ModelEntry
from faithbench.records.results import Panel
from faithbench.records.texts import numbered
from faithbench.reporting import plots
from faithbench.reporting import verdict as rule
from faithbench.reporting.badges import Badge, badges
from faithbench.reporting.contest import Contest, Entrant, best_found, contest, leading_metric, wanted
from faithbench.reporting.curves import MeanCurves, curves_of, mean_curves
from faithbench.reporting.differences import paired
from faithbench.reporting.texts import Kept, ShownTexts, shown_texts
from faithbench.reporting.wording import figure, interval
from faithbench.shown import visible
from faithbench.tables.cautions import cautions
from faithbench.tables.document import grids
from faithbench.tables.html import fragment
from faithbench.tables.looking import chosen_by_looking
from faithbench.tables.wording import p_value, places_of

WAYS = {1: "higher is better", -1: "lower is better", 0: "no better or worse"}
MOST_APART = 10  # texts that are named where two explainers are compared


@dataclass(frozen=True)
class DotRow:
    """A line of the dot plot and of the table below it."""

    label: str
    name: str
    kind: str
    strip: Markup
    mean: str
    value: float
    group: str
    n: str
    versus: str
    versus_value: float
    p: str
    rows: str
    rows_value: float
    seconds: str
    seconds_value: float
    is_trusted: bool
    is_random: bool
    stands: str


@dataclass(frozen=True)
class Apart:
    """Two explainers compared as they are without the script, and the data with which the script compares others."""

    a: str
    b: str
    names: tuple[str, ...]
    a_place: int
    b_place: int
    sentence: str
    path: str
    limit: str
    texts: tuple[tuple[int, str, str, str], ...]
    data: Markup
    n: int


@dataclass(frozen=True)
class Section:
    """One model on one data set; what is None was not measured."""

    id: str
    dataset: str
    model: str
    fingerprints: str
    texts_count: int
    verdict: str
    headline: str  # the verdict's first part, if all of it is too long
    rest: str  # the others
    remarks: tuple[str, ...]
    doubts: tuple[str, ...]
    badges: tuple[Badge, ...]
    metric: str
    way: str
    detects: str
    dots: tuple[DotRow, ...]
    axis: Markup
    best: str
    best_by: str  # the metric that would have found it, if that was not measured
    has_random: bool
    is_against_random: bool
    apart: Apart | None
    texts: ShownTexts | None
    curves: tuple[MeanCurves, ...]
    tables: Markup
    about_neurons: bool = False


def section(
    number: int,
    panel: Panel,
    rows: pd.DataFrame,
    records: pd.DataFrame,
    kept: Kept,
    manifests: Sequence[Manifest],
    costs: Mapping[str, tuple[float, float]],
    agreements: pd.DataFrame,
    names: Mapping[str, str],
    share: float,
) -> Section:
    """Everything that is shown of a panel.

    Args:
        number: of the section, from 1.
        panel: one model on one data set.
        rows: of the table, of this panel.
        records: of the panel, with their parts.
        kept: its texts.
        manifests: of the runs.
        costs: rows and seconds that each explainer takes for a text.
        agreements: of pairs of metrics.
        names: what to call data sets and models.
        share: of the room in the report that this panel has.
    """
    metric = leading_metric(rows)
    best = math.nan if metric is None else best_found(panel, metric, records)
    found = contest(panel, rows, costs, best)
    entry = entry_of(panel, manifests)
    curves = curves_of(panel, records)
    scale = scale_of_dots(found)
    headline, rest = rule.headline(found)
    return Section(
        id=f"s{number}",
        dataset=names[panel.key["dataset"]],
        model=names[panel.key["model"]],
        fingerprints=f"data {panel.key['dataset_fingerprint']}, weights {panel.key['model_fingerprint']}",
        texts_count=len(panel.texts),
        verdict=rule.verdict(found),
        headline=headline,
        rest=rest,
        remarks=tuple(rule.remarks(found)),
        doubts=tuple(doubts_of(panel, entry, manifests)),
        badges=tuple(badges(panel, entry, agreements)),
        metric=found.label if found else "",
        way=WAYS[found.direction] if found else "",
        detects=figure(found.detects) if found else "–",
        dots=tuple(dots_of(found, scale)) if found else (),
        axis=plots.axis(scale),
        best=figure(found.best, 3) if found and math.isfinite(found.best) else "",
        best_by=wanted(found.metric, panel) if found else "",
        has_random=bool(found and found.random),
        is_against_random=bool(found and found.random and found.random.group),
        apart=_apart(found, f"s{number}") if found else None,
        texts=shown_texts(found, kept, curves[0] if curves else None, share) if found else None,
        curves=tuple(_means(found, curves)) if found else (),
        tables=fragment(grids(rows)),
    )


def entry_of(panel: Panel, manifests: Sequence[Manifest]) -> ModelEntry:
    """What the manifests say of a model on a data set, of these weights if any says it."""
    name = f"{panel.key['model']} on {panel.key['dataset']}"
    known = [manifest["models"][name] for manifest in manifests if name in manifest.get("models", {})]
    own = [entry for entry in known if entry["fingerprint"] == panel.key["model_fingerprint"]]
    nothing: ModelEntry = {}  # type: ignore[typeddict-item]  # a board may say nothing of it
    return next(iter([*own, *known]), nothing)


def doubts_of(panel: Panel, entry: ModelEntry, manifests: Sequence[Manifest]) -> list[str]:
    """What makes the verdict worth less, a sentence each."""
    found = [f"Of this model: {each}" for each in cautions(entry)]
    watched = {name for manifest in manifests for name, _ in chosen_by_looking(manifest)}
    if panel.key["dataset"] in watched:
        found.append(
            "The number of texts was chosen by looking: these intervals and tests are as if it had been fixed before."
        )
    return found


def scale_of_dots(found: Contest | None) -> plots.Scale:
    """The scale of the dot plot."""
    if found is None:
        return plots.scale_of([])
    ends = [value for each in found.entrants for value in (each.mean, each.low, each.high)]
    return plots.scale_of([*ends, found.best])


def dots_of(found: Contest, scale: plots.Scale) -> list[DotRow]:
    """The lines of the dot plot."""
    random, good = found.random, {each.name for each in rule.trusted(found)}
    band = None if random is None else _band(random)
    places = places_of([each.high - each.low for each in found.entrants])
    return [_dot(found, each, scale, band, places, good) for each in found.entrants]


def _band(random: Entrant) -> tuple[float, float]:
    known = math.isfinite(random.low) and math.isfinite(random.high)
    return (random.low, random.high) if known else (random.mean, random.mean)


def _dot(
    found: Contest,
    each: Entrant,
    scale: plots.Scale,
    band: tuple[float, float] | None,
    places: int,
    trusted: Collection[str],
) -> DotRow:
    good = each.name in trusted
    kind = "square" if each.is_random or each.is_copy else "solid" if good else "hollow"
    versus = each.from_random
    return DotRow(
        label=each.label,
        name=each.name,
        kind=kind,
        strip=plots.strip(scale, each.mean, each.low, each.high, kind, band, found.best),
        mean=interval(each.mean, each.low, each.high, places),
        value=each.mean,
        group=str(each.group) if each.group else "–",
        n=f"{each.n:,}" + (f" ({each.failed:,} failed)" if each.failed else ""),
        versus="–" if versus is None else interval(versus.mean, versus.low, versus.high, places, signed=True),
        versus_value=math.nan if versus is None else versus.mean,
        p="–" if versus is None else p_value(versus.p),
        rows=figure(each.rows, 3),
        rows_value=each.rows,
        seconds=figure(each.seconds),
        seconds_value=each.seconds,
        is_trusted=good,
        is_random=each.is_random,
        stands=_stands(found, each, trusted),
    )


def _stands(found: Contest, each: Entrant, trusted: Collection[str]) -> str:
    """A word for how an explainer stands, which says what the dot says."""
    versus, best = each.from_random, [one for one in found.judged if one.group == 1]
    words = {
        "drawn by chance": each.is_random,
        "degraded copy": each.is_copy,
        "not ranked": not each.group,
        "worse than random": versus is not None and versus.is_worse,
        "not shown to beat random": versus is not None and not versus.is_better and not versus.is_worse,
        "behind the best": each.name not in trusted and rule.is_behind(found, each, best),
        "behind some of the best": each.name not in trusted,
        "the best": len(best) == 1,
    }
    return next((word for word, holds in words.items() if holds), "among the best")


def _means(found: Contest, curves: Sequence[object]) -> list[MeanCurves]:
    order = {each.place: each.label for each in found.entrants}
    random = found.random
    return [mean_curves(each, found.panel, order, None if random is None else random.place) for each in curves]  # type: ignore[arg-type]


def _apart(found: Contest, id: str) -> Apart | None:
    """The best explainer and the next one, and all others for the script."""
    chosen = [each for each in found.entrants if not each.is_copy]
    if len(chosen) < 2:
        return None
    panel, first, second = found.panel, chosen[0], chosen[1]
    numbers = numbered(panel.texts)
    values = panel.values[:, [each.place for each in chosen], found.place]
    weights = panel.adjusted[:, [each.place for each in chosen], found.place]
    gaps, shares = paired(values, weights, np.array([[0, 1]]))
    gap = np.where(shares[:, 0] > 0, gaps[:, 0], np.nan)
    path, limit = plots.bars(gap)
    order = [int(i) for i in np.argsort(-np.nan_to_num(np.abs(gap), nan=-1.0), kind="stable") if np.isfinite(gap[i])]
    texts = tuple(
        (numbers[i], figure(float(values[i, 0]), 3), figure(float(values[i, 1]), 3), figure(float(gap[i]), 3))
        for i in order[:MOST_APART]
    )
    return Apart(
        first.label,
        second.label,
        tuple(each.label for each in chosen),
        0,
        1,
        sentence_of(found, first, second),
        path,
        figure(limit, 3),
        texts,
        _data(found, chosen, numbers, values, weights),
        len(order),
    )


def sentence_of(found: Contest, a: Entrant, b: Entrant) -> str:
    """Whether one of two explainers is shown to be better, with the difference."""
    gap = found.found.of(a.place, b.place)
    if gap is None:
        return f"No text has a value for both {a.label} and {b.label}."
    numbers = f"{figure(gap.mean, 3)}, 95 % interval {figure(gap.low, 3)} to {figure(gap.high, 3)}"
    p = "" if math.isnan(gap.p) else f"; corrected p {p_value(gap.p)}"
    evidence = f"difference {numbers}{p}; n = {gap.n:,}"
    if math.isnan(gap.p):
        return f"{a.label} and {b.label} are not compared in the table: {evidence}."
    if gap.is_better or gap.is_worse:
        better, worse = (a, b) if gap.is_better else (b, a)
        return f"{better.label} is shown to be better than {worse.label}: {evidence}."
    return f"It is not shown that {a.label} and {b.label} differ: {evidence}."


def _data(
    found: Contest, chosen: Sequence[Entrant], numbers: Sequence[int], values: np.ndarray, weights: np.ndarray
) -> Markup:
    """What the script needs, as JSON in which nothing can end the element that holds it."""
    known = np.where(weights > 0, values, np.nan)
    sentences = {
        f"{i},{j}": visible(sentence_of(found, a, b))
        for i, a in enumerate(chosen)
        for j, b in enumerate(chosen)
        if i != j
    }
    data = {
        "numbers": list(numbers),
        "values": [[None if math.isnan(v) else float(f"{v:.5g}") for v in column] for column in known.T],
        "sentences": sentences,
    }
    return script_json(data)


def script_json(data: object) -> Markup:
    """JSON for an element `script`: no sign in it can end the element or begin another."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  # escaped above
