"""Neurons one by one: what a neuron does in windows of text, what describers say of it, and which neurons are shown."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.records.neuron_parts import KeptDescription, KeptNeuron, KeptNeurons
from faithbench.records.results import Panel, labels
from faithbench.reporting.wording import figure
from faithbench.showing.stack import Stack, stacks
from faithbench.shown import counted
from faithbench.tables.ranking import direction

CONTROLS = ("permuted", "fitted")  # scores of what must not, or only too easily, be predicted
LONGEST = 1200  # characters of a description


@dataclass(frozen=True)
class Said:
    """What a describer says of a neuron.

    Args:
        label: of the describer.
        text: its description; "" if it is not kept.
        bits: its length; NaN if it is not known.
        scores: names and values, in percent; NaN where they are undefined.
        simulated: what it predicts in the windows; empty if it is not kept.
        error: why there is no description; "" if there is one.
    """

    label: str
    text: str
    bits: float
    scores: tuple[tuple[str, float], ...]
    simulated: tuple[tuple[float, ...], ...] = ()
    error: str = ""

    @property
    def length(self) -> str:
        """Of the description, in words."""
        return f"{self.bits:,.0f} bits" if math.isfinite(self.bits) else ""

    @property
    def values(self) -> str:
        """Its scores in words."""
        told = [f"{name} {score(value)}" for name, value in self.scores]
        return ", ".join([*told, "predicts the same at every token shown"] if self.is_constant else told)

    @property
    def is_constant(self) -> bool:
        """Whether it predicts one number in all of the windows."""
        return len({number for window in self.simulated for number in window}) == 1

    @property
    def shortened(self) -> str:
        """The description, or its beginning if it is long."""
        if len(self.text) <= LONGEST:
            return self.text
        return f"{self.text[:LONGEST]}… ({len(self.text):,} characters, cut here)"


@dataclass(frozen=True)
class Seen:
    """A neuron of a panel.

    Args:
        unit: its name.
        layer: of the model, from 0.
        place: where it stands among those of its layer, in words.
        value: its score by the best describer and the leading score; NaN where it is undefined.
        kept: what it does; None if the run has not kept that.
        said: by whom what is said of it, the best describer first.
    """

    unit: str
    layer: int
    place: str
    value: float
    kept: KeptNeuron | None
    said: tuple[Said, ...]

    @property
    def number(self) -> str:
        """In its module."""
        return self.unit.rpartition(":")[2]

    @property
    def facts(self) -> str:
        """What it does, in a sentence."""
        if self.kept is None:
            return f"Layer {self.layer}."
        kept = self.kept
        return (
            f"Layer {kept.layer}, unit {kept.number} of {kept.site}; above 0 on {percent(kept.density)} of "
            f"{counted(kept.tokens, 'token')}; mean {figure(kept.mean, 3)}, standard deviation "
            f"{figure(kept.deviation, 3)}, largest {figure(kept.largest, 3)}."
        )

    def windows(self, kind: str, most: int) -> tuple[Stack, ...]:
        """Its windows, `top` or `random`, so many at most; all of its windows have one scale."""
        if self.kept is None:
            return ()
        shown = self.kept.windows
        heads = [f"document {each.document}, largest {figure(max(each.activations, default=0.0), 3)}" for each in shown]
        predicted = {each.label: each.simulated for each in self.said if each.simulated and not each.is_constant}
        found = stacks(heads, [each.tokens for each in shown], [each.activations for each in shown], predicted)
        return tuple(stack for stack, each in zip(found, shown, strict=True) if each.kind == kind)[:most]


def percent(share: float) -> str:
    """A share, in percent; never 0 or 100 unless it is."""
    if 0 < share < 0.0001:
        return "less than 0.01 %"
    return "more than 99.99 %" if 0.9999 < share < 1 else f"{figure(100 * share, 3, most=2)} %"


def score(value: float) -> str:
    """A score of a neuron, in percent."""
    return figure(value, 3, most=1) if math.isfinite(value) else "undefined"


def control_of(metric: str) -> tuple[str, str]:
    """What a control is called and of which score it is one; empty for a score that is none."""
    try:
        name, _, parameters = spec.parse(metric)
    except UserError:
        return "", ""
    return (name, str(parameters.get("score", ""))) if name in CONTROLS else ("", "")


def layers_of(records: pd.DataFrame) -> dict[str, int]:
    """The layer of each neuron, in the order of layers and, within one, of numbers."""
    pairs = {str(unit): int(layer) for unit, layer in zip(records["unit"], records["target"], strict=True)}
    return dict(sorted(pairs.items(), key=lambda pair: (pair[1], _numbered(pair[0]))))


def _numbered(unit: str) -> tuple[str, int]:
    site, _, number = unit.rpartition(":")
    return site, int(number) if number.isdecimal() and number.isascii() else -1


def ranked(values: Mapping[str, float], layers: Mapping[str, int], most: int) -> Iterator[tuple[str, str]]:
    """Neurons of each layer, evenly from the best to the worst, with where they stand; undefined scores have no rank.

    Args:
        values: of neurons; higher is better.
        layers: of neurons.
        most: of a layer; from 3 on the best, the median and the worst are among them if it is odd.
    """
    for layer in dict.fromkeys(layers.values()):
        own = [unit for unit in layers if layers[unit] == layer]
        known = [unit for unit in own if math.isfinite(values.get(unit, math.nan))]
        order = sorted(known, key=lambda unit: -values[unit])
        for place in _evenly(len(order), most):
            yield order[place], _standing(place, len(order), layer)
        if not order:
            yield from ((own[place], f"layer {layer}, score undefined") for place in _evenly(len(own), most))


def _evenly(whole: int, most: int) -> list[int]:
    places = np.linspace(0, whole - 1, min(most, whole)).round().astype(int)
    return list(dict.fromkeys(places.tolist()))


def _standing(place: int, whole: int, layer: int) -> str:
    names = {(whole - 1) // 2: "median", whole // 2: "median", whole - 1: "worst", 0: "best"}
    told = f"{names[place]}, " if place in names and whole > 1 else ""
    return f"{told}{place + 1:,} of {whole:,} in layer {layer}"


class Looking:
    """The neurons of a panel.

    Args:
        panel: one model on one data set.
        records: of the panel.
        kept: what runs have kept.
        order: of the describers, the best first; as in the panel where nothing is said.
        metric: the score by which neurons are ordered; None: there is none.
    """

    def __init__(
        self,
        panel: Panel,
        records: pd.DataFrame,
        kept: KeptNeurons,
        order: Sequence[int] = (),
        metric: str | None = None,
    ) -> None:
        self.panel, self.metric = panel, metric
        self.layers = layers_of(records)
        self.neurons = {unit: neuron for unit, neuron in kept.of(panel.key).items() if unit in self.layers}
        self._descriptions = kept.descriptions(panel.key)
        self._describers = [*order, *(place for place in range(len(panel.explainers)) if place not in order)]
        self._names = labels("explainer", panel.explainers)
        self._scores = labels("metric", panel.metrics)
        self._rows = {unit: row for row, unit in enumerate(panel.texts)}

    @cached_property
    def values(self) -> dict[str, float]:
        """Of each neuron, by the best describer and the leading score."""
        if self.metric is None or not self._describers:
            return {}
        column = self.panel.values[:, self._describers[0], self.panel.metrics.index(self.metric)]
        return {unit: float(column[row]) for unit, row in self._rows.items()}

    def chosen(self, most: int) -> Iterator[Seen]:
        """Some of each layer, as `ranked` chooses them."""
        yield from (self.seen(unit) for unit, _ in ranked(self._goodness, self.layers, most))

    def seen(self, unit: str) -> Seen:
        """One neuron."""
        said = tuple(self._said(unit, describer) for describer in self._describers)
        value, place = self.values.get(unit, math.nan), self._standings.get(unit, "score undefined")
        return Seen(unit, self.layers[unit], place, value, self.neurons.get(unit), said)

    @cached_property
    def _goodness(self) -> dict[str, float]:
        sign = -1 if self.metric is not None and direction(self.metric) < 0 else 1
        return {unit: sign * value for unit, value in self.values.items()}

    @cached_property
    def _standings(self) -> dict[str, str]:
        return dict(ranked(self._goodness, self.layers, len(self.layers)))

    def bits(self, describer: int) -> float:
        """The mean length of a describer's descriptions; NaN where none is kept."""
        name = self.panel.explainers[describer]
        known = [each.bits for (who, _), each in self._descriptions.items() if who == name and math.isfinite(each.bits)]
        return float(np.mean(known)) if known else math.nan

    def _said(self, unit: str, describer: int) -> Said:
        name, row = self.panel.explainers[describer], self._rows[unit]
        found: KeptDescription | None = self._descriptions.get((name, unit))
        scores = tuple(
            (self._scores[metric], float(self.panel.values[row, describer, place]))
            for place, metric in enumerate(self.panel.metrics)
            if self.panel.present[row, describer, place]
        )
        if found is None:
            return Said(self._names[name], "", math.nan, scores)
        return Said(self._names[name], found.text, found.bits, scores, found.simulated, found.error or "")
