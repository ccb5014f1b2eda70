"""A section of a report about neurons: one model on one data set, by describer, by layer, and neuron by neuron."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from faithbench.records.manifest import Manifest, ModelEntry, SiteEntry
from faithbench.records.neuron_parts import KeptNeurons
from faithbench.records.results import Panel, labels
from faithbench.reporting import plots
from faithbench.reporting.badges import Badge
from faithbench.reporting.contest import Contest, contest
from faithbench.reporting.neuron_verdict import badges, headline
from faithbench.reporting.neurons import Looking, Seen, percent, score
from faithbench.reporting.sections import WAYS, DotRow, dots_of, doubts_of, entry_of, scale_of_dots
from faithbench.reporting.wording import figure, interval
from faithbench.showing.html import stack_html
from faithbench.showing.stack import Stack, stack_legend
from faithbench.showing.triangle import cut
from faithbench.statistics.intervals import clean, intervals, weighted_mean
from faithbench.tables.comparing_neurons import leading_score
from faithbench.tables.document import grids
from faithbench.tables.html import fragment
from faithbench.tables.wording import places_of

MOST, LEAST = 15, 3  # neurons of a layer that are shown
WHOLE = 400  # neurons of a section
ROOM = 4_000_000  # bytes of a report for windows
TOP, RANDOM = 5, 5  # windows of a neuron
EXCERPT = 110  # characters of a description where neurons are listed


@dataclass(frozen=True)
class ShownNeuron:
    """A neuron as the page shows it: `top` and `random` are its windows, `value` what it is ordered by."""

    number: int
    seen: Seen
    excerpt: str
    score: str
    value: str
    top: Markup
    random: Markup


@dataclass(frozen=True)
class LayerRow:
    """A layer in the table: counts, densities, and the mean score of each describer with its interval."""

    layer: int
    neurons: str
    silent: str
    density: str
    density_value: float
    middle: str
    range: str
    active: str
    means: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Describer:
    """A line of the plot and of the table below it: an entrant with the length of its descriptions."""

    row: DotRow
    bits: str
    bits_value: float
    undefined: str


@dataclass(frozen=True)
class NeuronSection:
    """One model's neurons in one data set."""

    id: str
    dataset: str
    model: str
    fingerprints: str
    texts_count: int
    verdict: str
    headline: str
    rest: str
    doubts: tuple[str, ...]
    badges: tuple[Badge, ...]
    metric: str
    way: str
    describers: tuple[Describer, ...]
    axis: Markup
    undefined: tuple[str, ...]  # describers without any defined score
    layer_names: tuple[str, ...]
    layers: tuple[LayerRow, ...]
    neurons: tuple[ShownNeuron, ...]
    are_kept: bool
    is_shortened: bool
    legend: str
    tables: Markup
    about_neurons: bool = True


def neuron_section(
    number: int,
    panel: Panel,
    rows: pd.DataFrame,
    records: pd.DataFrame,
    kept: KeptNeurons,
    manifests: Sequence[Manifest],
    names: Mapping[str, str],
    share: float,
) -> NeuronSection:
    """Everything that is shown of a panel.

    Args:
        number: of the section, from 1.
        panel: one model on one data set.
        rows: of the table, of this panel.
        records: of the panel.
        kept: what runs have kept of neurons.
        manifests: of the runs.
        names: what to call data sets and models.
        share: of the room in the report that this panel has.
    """
    metric = leading_score(panel.metrics)
    found = None if metric is None else contest(panel, rows, {}, math.nan, metric)
    entrants = () if found is None else found.entrants
    looking = Looking(panel, records, kept, [each.place for each in entrants], metric)
    entry = entry_of(panel, manifests)
    shown, is_shortened = _neurons(looking, share)
    said, rest = headline(found)
    return NeuronSection(
        id=f"s{number}",
        dataset=names[panel.key["dataset"]],
        model=names[panel.key["model"]],
        fingerprints=f"data {panel.key['dataset_fingerprint']}, weights {panel.key['model_fingerprint']}",
        texts_count=len(panel.texts),
        verdict=said,
        headline=said,
        rest=rest,
        doubts=tuple(doubts_of(panel, entry, manifests)),
        badges=tuple(badges(panel, rows, entry, metric)),
        metric=found.label if found else "",
        way=WAYS[found.direction] if found else "",
        describers=tuple(_describers(found, looking, rows)) if found else (),
        axis=plots.axis(scale_of_dots(found)),
        undefined=tuple(_undefined(panel, metric)),
        layer_names=tuple(each.label for each in entrants),
        layers=tuple(_layers(found, looking, entry)),
        neurons=shown,
        are_kept=bool(looking.neurons),
        is_shortened=is_shortened,
        legend=stack_legend(),
        tables=fragment(grids(rows)),
    )


def _describers(found: Contest, looking: Looking, rows: pd.DataFrame) -> list[Describer]:
    lacking = rows[rows["metric"] == found.metric].set_index("explainer")["undefined"]
    lengths = [looking.bits(each.place) for each in found.entrants]
    return [
        Describer(row, figure(bits, 3, most=0), bits, f"{int(lacking[row.name]):,}")
        for row, bits in zip(dots_of(found, scale_of_dots(found)), lengths, strict=True)
    ]


def _undefined(panel: Panel, metric: str | None) -> list[str]:
    """The describers none of whose scores is defined, as those that predict the same everywhere."""
    names = labels("explainer", panel.explainers)
    if metric is None:
        return list(names.values())
    known = np.isfinite(panel.values[:, :, panel.metrics.index(metric)]).any(axis=0)
    return [names[name] for name, is_known in zip(panel.explainers, known, strict=True) if not is_known]


def _layers(found: Contest | None, looking: Looking, entry: ModelEntry) -> list[LayerRow]:
    layers = np.array([looking.layers[unit] for unit in looking.panel.texts])
    places = [] if found is None else [each.place for each in found.entrants]
    both = [
        np.zeros((len(layers), 0)) if found is None else numbers[:, places, found.place]
        for numbers in (looking.panel.values, looking.panel.weights)
    ]
    of_layers = {int(layer): [numbers[layers == layer] for numbers in both] for layer in np.unique(layers)}
    return [_layer(layer, looking, values, weights, entry) for layer, (values, weights) in of_layers.items()]


def _layer(layer: int, looking: Looking, values: np.ndarray, weights: np.ndarray, entry: ModelEntry) -> LayerRow:
    units = [unit for unit, number in looking.layers.items() if number == layer]
    shares = np.array([looking.neurons[unit].density for unit in units if unit in looking.neurons])
    sites = [site for site in entry["units"]["sites"] if site["layer"] == layer] if "units" in entry else []
    active = " / ".join(_active(site) for site in sites if "l0" in site)
    return LayerRow(
        layer,
        f"{len(units):,}",
        f"{int((shares == 0).sum()):,}" if len(shares) else "–",
        percent(float(shares.mean())) if len(shares) else "–",
        float(shares.mean()) if len(shares) else math.nan,
        percent(float(np.median(shares))) if len(shares) else "–",
        f"{percent(float(shares.min()))} to {percent(float(shares.max()))}" if len(shares) else "–",
        active or "–",
        tuple(_means(values, weights)),
    )


def _active(site: SiteEntry) -> str:
    whole = f" of {site['units']:,}" if "units" in site else ""
    return f"{figure(site['l0'], 3, most=1)}{whole}"


def _means(values: np.ndarray, weights: np.ndarray) -> list[tuple[str, float]]:
    """Of each describer, with its interval and how many are undefined."""
    ends, means = intervals(values, weights), weighted_mean(values, weights)
    counts = (clean(values, weights)[1] > 0).sum(axis=0)
    places = places_of(list(ends.high - ends.low))
    found = []
    for mean, low, high, count in zip(means, ends.low, ends.high, counts, strict=True):
        lacking = len(values) - int(count)
        shown = interval(float(mean), float(low), float(high), places) if count else "–"
        found.append((f"{shown} ({lacking:,} undefined)" if lacking else shown, float(mean)))
    return found


def _neurons(looking: Looking, share: float) -> tuple[tuple[ShownNeuron, ...], bool]:
    """The neurons that are shown, as many as there is room for, and whether fewer windows of each than there are."""
    layers = max(1, len(set(looking.layers.values())))
    first = next(looking.chosen(1), None)
    windows = () if first is None else (*first.windows("top", TOP), *first.windows("random", RANDOM))
    size = sum(len(stack_html(window)) for window in windows) or 1
    room = min(share * ROOM / size, WHOLE) / layers
    most = max(LEAST, (min(MOST, int(room)) - 1) | 1)
    is_shortened = room < LEAST
    top, random = (max(1, int(TOP * room / LEAST)), 1) if is_shortened else (TOP, RANDOM)
    found = [_shown(number, seen, top, random) for number, seen in enumerate(looking.chosen(most), 1)]
    return tuple(found), is_shortened


def _shown(number: int, seen: Seen, top: int, random: int) -> ShownNeuron:
    text = next((each.text for each in seen.said if each.text), "")
    return ShownNeuron(
        number,
        seen,
        cut(text, EXCERPT),
        score(seen.value),
        f"{seen.value:.6g}",
        _html(seen.windows("top", top)),
        _html(seen.windows("random", random)),
    )


def _html(windows: Sequence[Stack]) -> Markup:
    return Markup("".join(map(stack_html, windows)))  # noqa: S704  # escaped
