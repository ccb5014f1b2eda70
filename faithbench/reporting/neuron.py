"""Neurons of a run, looked at one by one: in a terminal, a notebook, as a page or as a picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group

from faithbench.errors import UserError, brief, unknown
from faithbench.paths import as_names, as_path
from faithbench.records.columns import PLACE
from faithbench.records.neuron_parts import KeptNeurons, Shown, read_neurons
from faithbench.records.results import Panel, labels, panels, read
from faithbench.records.units import is_of_neurons
from faithbench.reporting.contest import contest
from faithbench.reporting.neurons import Looking, Seen, score
from faithbench.running.showable import Showable, written
from faithbench.showing.sheet import Row, Sheet
from faithbench.showing.stack import stack_legend
from faithbench.showing.terminal import sheet_text
from faithbench.showing.triangle import cut
from faithbench.shown import counted, visible
from faithbench.tables.comparing_neurons import leading_score
from faithbench.tables.table import frame_of

FORMAT = "faithbench neurons 1"
USUAL = 3  # neurons of each layer that are shown where none is named: the best, the median and the worst
NOT_KEPT = "This run has not kept what the neuron does; run again into a new folder, and it is kept."


@dataclass(frozen=True, eq=False)
class SeenNeuron(Showable):
    """A neuron of a run: what it does in documents that no description of it was made from, and what is said of it.

    Args:
        seen: the neuron, its descriptions and their scores.
        model: what its model is called.
        source: where it is from, in a sentence.
    """

    seen: Seen
    model: str
    source: str = ""

    @property
    def unit(self) -> str:
        """Its name: the module's, a colon, its number."""
        return self.seen.unit

    @property
    def descriptions(self) -> dict[str, str]:
        """What each describer says of it."""
        return {each.label: each.text for each in self.seen.said if not each.error}

    @property
    def scores(self) -> pd.DataFrame:
        """A row for each describer and a column for each score, in percent; NaN where one is undefined."""
        return pd.DataFrame({each.label: dict(each.scores) for each in self.seen.said}).T

    @property
    def windows(self) -> tuple[Shown, ...]:
        """The windows that are kept: the top ones, then those drawn at random."""
        return self.seen.kept.windows if self.seen.kept is not None else ()

    @property
    def heading(self) -> str:
        """Of its page."""
        return f"{self.unit} of {brief(self.model)}"

    @property
    def made(self) -> str:
        """Where it is from."""
        return self.source

    @property
    def sheet(self) -> Sheet:
        """What is shown of it."""
        place = f" ({self.seen.place})" if self.seen.place else ""
        kept = () if self.seen.kept is not None else (NOT_KEPT,)
        return Sheet(f"{self.heading}{place}", tuple(self._rows()), (self.seen.facts, *kept), self._legend)

    @property
    def sheets(self) -> list[Sheet]:
        """The one."""
        return [self.sheet]

    def data(self) -> dict[str, Any]:
        """All of it as plain values, for a file of JSON."""
        kept = self.seen.kept
        numbers = ("site", "number", "density", "mean", "deviation", "largest", "tokens")
        return {
            "model": self.model,
            "unit": self.unit,
            "layer": self.seen.layer,
            **({} if kept is None else {name: getattr(kept, name) for name in numbers}),
            "windows": [vars(each) for each in self.windows],
            "descriptions": [
                {
                    "describer": each.label,
                    "text": each.text,
                    "bits": each.bits,
                    "scores": dict(each.scores),
                    "simulated": each.simulated,
                    **({"error": each.error} if each.error else {}),
                }
                for each in self.seen.said
            ],
            "made": self.made,
        }

    def json(self) -> str:
        """Likewise, as text."""
        return _json([self])

    def __rich__(self) -> Group:
        return sheet_text(self.sheet)

    @property
    def _legend(self) -> str:
        return stack_legend() if self.windows else ""

    def _rows(self) -> Iterator[Row]:
        for each in self.seen.said:
            text = f"Failed: {each.error}" if each.error else each.shortened or "Its description is not kept."
            yield Row(each.label, (), each.length, tuple(filter(None, (text, each.values))))
        for kind, head in (("top", "Top windows"), ("random", "Windows drawn at random")):
            if stacks := self.seen.windows(kind, len(self.windows)):
                yield Row(head, (), stacks=stacks)


class SeenNeurons(Showable, list[SeenNeuron]):
    """Neurons of a run."""

    @property
    def sheets(self) -> list[Sheet]:
        """One a neuron."""
        return [each.sheet for each in self]

    @property
    def heading(self) -> str:
        """Of their page."""
        if len(self) == 1:
            return self[0].heading
        return f"{', '.join(dict.fromkeys(brief(each.model) for each in self))}: {counted(len(self), 'neuron')}"

    @property
    def made(self) -> str:
        """Where they are from."""
        return " ".join(dict.fromkeys(each.made for each in self))

    def overview(self, width: int = 80) -> Iterator[str]:
        """Two lines for each: which it is and where it stands in its layer, and what the best describer says of it."""
        for model, own in groupby(self, key=lambda each: each.model):
            yield model
            for each in own:
                best = next((said for said in each.seen.said if not said.error), None)
                place = each.seen.place or f"layer {each.seen.layer}"
                yield f"{each.seen.layer}:{each.seen.number}  {place}"
                if best is not None:
                    told = f"      {best.label} ({score(each.seen.value)}): {' '.join(best.text.split())}"
                    yield cut(visible(told), width)
            yield ""

    def json(self) -> str:
        """All of them as JSON."""
        return _json(self)

    def __rich__(self) -> Group:
        return Group(*self.lines())


def neuron(folder: Path | str, units: str | Sequence[str] = (), *, model: str | None = None) -> SeenNeurons:
    """Neurons of a run, to be looked at.

    Args:
        folder: of the run.
        units: names, such as `model.layers.0.mlp.act:17`, or layer and number, such as `0:17`; none: the best, the
            median and the worst of each layer, by the score that a report goes by.
        model: as tables show it, or the beginning of its name; None: all of the run.

    Raises:
        UserError: the folder is no run about neurons, or has no such neuron or model.
    """
    path = as_path("folder", folder)
    wanted = as_names("units", [units] if isinstance(units, str) else units) if units else ()
    found = [seen for looking, name in lookings([path], model) for seen in _seen(looking, name, wanted, path)]
    for unit in wanted:
        if not any(_is_named(each.seen, unit) for each in found):
            known = [unit for looking, _ in lookings([path], model) for unit in looking.layers]
            raise unknown("neuron", unit, dict.fromkeys(known))
    return SeenNeurons(found)


def lookings(folders: Sequence[Path], model: str | None = None) -> Iterator[tuple[Looking, str]]:
    """The neurons of each model and data set of runs, with what the model is called.

    Args:
        folders: of the runs.
        model: as tables show it, or the beginning of its name; None: all.

    Raises:
        UserError: the runs are not about neurons, or have no such model.
    """
    records = read(folders)
    own = [panel for panel in panels(records) if is_of_neurons(panel.key["dataset"])]
    if not own:
        raise UserError(
            f'{", ".join(map(str, folders))} has no neurons; make a run of some with --dataset "neurons(…)".'
        )
    names = labels("model", [panel.key["model"] for panel in own])
    chosen = [panel for panel in own if model is None or _is_called(panel.key["model"], names, model)]
    if model is not None and not chosen:
        raise unknown("model of the run", model, names.values())
    kept, frame = read_neurons(folders), frame_of(folders, records)
    for panel in chosen:
        yield _looking(panel, _rows(records, panel.key), _rows(frame, panel.key), kept), names[panel.key["model"]]


def _is_called(name: str, names: Mapping[str, str], wanted: str) -> bool:
    return wanted in (name, names[name]) or (wanted not in names.values() and names[name].startswith(wanted))


def _rows(frame: pd.DataFrame, key: Mapping[str, str]) -> pd.DataFrame:
    same = pd.Series(True, index=frame.index)
    for name in PLACE:
        same &= frame[name].astype(str) == key[name]
    return frame[same]


def _looking(panel: Panel, records: pd.DataFrame, rows: pd.DataFrame, kept: KeptNeurons) -> Looking:
    metric = leading_score(panel.metrics)
    found = None if metric is None else contest(panel, rows, {}, float("nan"), metric)
    return Looking(panel, records, kept, [each.place for each in found.entrants] if found else (), metric)


def _seen(looking: Looking, model: str, wanted: Sequence[str], folder: Path) -> Iterator[SeenNeuron]:
    key = looking.panel.key
    source = f"Run {folder.name}, weights {key['model_fingerprint']}, data {key['dataset_fingerprint']}."
    if not wanted:
        yield from (SeenNeuron(seen, model, source) for seen in looking.chosen(USUAL))
    every = (looking.seen(unit) for unit in looking.layers) if wanted else ()
    yield from (SeenNeuron(seen, model, source) for seen in every if any(_is_named(seen, unit) for unit in wanted))


def _is_named(seen: Seen, unit: str) -> bool:
    return unit in (seen.unit, f"{seen.layer}:{seen.number}")


def _json(neurons: Sequence[SeenNeuron]) -> str:
    return written({"format": FORMAT, "neurons": [each.data() for each in neurons]})
