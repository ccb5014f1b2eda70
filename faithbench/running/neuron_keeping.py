"""Keeping what a run finds of neurons: records, descriptions and the windows in which people see both, together."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from jaxtyping import Int

from faithbench.activations import Neuron
from faithbench.neurons.statistics import UnitActivity
from faithbench.records.kept_parts import add_kept
from faithbench.records.neuron_parts import (
    KeptDescription,
    KeptNeuron,
    Kind,
    Shown,
    compact,
    description_row,
    kept_names,
    neuron_row,
)
from faithbench.records.store import Store
from faithbench.running.describing import Studied
from faithbench.types import Record

FLUSH_SECONDS = 10.0


class NeuronKeeping:
    """Writes neurons and descriptions before the records that are of them, and neither twice.

    Args:
        store: of the run.
        identity: what all entries of the model on the data set have in common.
    """

    def __init__(self, store: Store, identity: Mapping[str, str]) -> None:
        self._store, self._identity, self._lock = store, identity, threading.RLock()
        self._neurons, self._described = kept_names(store, identity)
        self._waiting: dict[str, list[dict[str, object]]] = {"neurons": [], "descriptions": []}
        self._records, self._written = list[Record](), time.monotonic()

    def undescribed(self, unit: str, describers: Mapping[str, str]) -> list[str]:
        """Describers whose descriptions of a neuron are not kept, of these with their versions."""
        return [name for name, version in describers.items() if (name, version, unit) not in self._described]

    def lacks(self, unit: str) -> bool:
        """Whether a neuron is not kept."""
        return unit not in self._neurons

    def add(self, neuron: KeptNeuron, studied: Studied) -> None:
        """Keeps what came of a neuron; it is on disk some seconds later, or after `flush`."""
        with self._lock:
            if self.lacks(neuron.unit):
                self._neurons.add(neuron.unit)
                self._waiting["neurons"].append(neuron_row(self._identity, neuron))
            self._waiting["descriptions"] += map(self._row, filter(self._is_new, studied.descriptions))
            self._records += studied.records
            if time.monotonic() - self._written > FLUSH_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Writes what is waiting; any thread may call it.

        Raises:
            UserError: the folder cannot be written.
        """
        with self._lock:
            for kind, rows in self._waiting.items():
                if rows:
                    add_kept(self._store, kind, rows)
                    self._waiting[kind] = []
            self._store.add([], self._records)
            self._records = []
            self._store.flush()
            self._written = time.monotonic()

    def compact(self) -> None:
        """Joins the parts there are into one of each kind."""
        compact(self._store)

    def _is_new(self, description: KeptDescription) -> bool:
        return (description.explainer, description.version, description.unit) not in self._described

    def _row(self, description: KeptDescription) -> dict[str, object]:
        if description.error is None:
            self._described.add((description.explainer, description.version, description.unit))
        return description_row(self._identity, description)


def kept_neuron(
    neuron: Neuron,
    site: str,
    activity: UnitActivity,
    places: Int[np.ndarray, "windows"],
    kinds: Sequence[str],
    names: Sequence[str],
) -> KeptNeuron:
    """A neuron as it is kept.

    Args:
        neuron: which.
        site: its module.
        activity: what it does where descriptions of it are scored.
        places: of the windows that are shown, among those that it is scored on.
        kinds: of each.
        names: of documents.
    """
    activations, windows = neuron.evaluate.activations, neuron.evaluate.windows
    shown = tuple(
        Shown(
            tuple(windows.pieces[token] for token in windows.ids[place]),
            tuple(map(float, activations[place])),
            names[int(windows.documents[place])],
            cast(Kind, kind),
        )
        for place, kind in zip(places, kinds, strict=True)
    )
    return KeptNeuron(
        unit=neuron.unit,
        layer=neuron.layer,
        number=neuron.number,
        site=site,
        density=activity.density,
        mean=activity.mean,
        deviation=activity.deviation,
        largest=activity.largest,
        tokens=activations.size,
        windows=shown,
    )
