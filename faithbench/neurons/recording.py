"""Activations of neurons in the windows of a corpus, on disk in half precision, so that memory stays what it is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Float16, Int

from faithbench.activations import Neuron, Recording
from faithbench.errors import UserError
from faithbench.neurons.corpus import PARTS, Corpus
from faithbench.neurons.sites import Site, find_sites, overwritten, recorded

ROWS = 16  # pieces that are read at once


@dataclass(frozen=True)
class Unit:
    """A neuron's place: a site, and its number in what that gives."""

    site: Site
    number: int

    @property
    def name(self) -> str:
        """As records name it."""
        return f"{self.site.name}:{self.number}"


def choose_units(model: torch.nn.Module, pattern: str, per_layer: int, seed: int) -> tuple[Unit, ...]:
    """Neurons of each site, drawn at random.

    Args:
        model: any.
        pattern: of sites; see `find_sites`.
        per_layer: of each site at most; 0 for all.
        seed: of the draw.

    Raises:
        UserError: there are none.
    """
    sites = find_sites(model, pattern)
    width = _widths(model, sites)
    chosen = []
    for site in sites:
        order = np.random.default_rng([seed, site.layer]).permutation(width[site.name])
        numbers = order[:per_layer] if per_layer else order
        chosen += [Unit(site, int(number)) for number in sorted(numbers)]
    return tuple(chosen)


def _widths(model: Any, sites: Sequence[Site]) -> dict[str, int]:
    ids = torch.zeros((1, 2), dtype=torch.long, device=model.device)
    with torch.inference_mode(), recorded(model, sites) as found:
        model(input_ids=ids)
    missing = [site.name for site in sites if site.name not in found]
    if missing:
        raise UserError(f"module {missing[0]!r} takes no part when the model reads a text; name others with site=….")
    return {name: value.shape[-1] for name, value in found.items()}


class Activations:
    """What neurons do in the windows of a corpus.

    Args:
        model: of transformers.
        corpus: which documents.
        units: which neurons.
        values: their activations.
    """

    def __init__(
        self, model: Any, corpus: Corpus, units: Sequence[Unit], values: Float16[np.ndarray, "units windows tokens"]
    ) -> None:
        self.model, self.corpus, self.units, self.values = model, corpus, tuple(units), values
        self.places = [np.flatnonzero(corpus.part == part) for part in range(len(PARTS))]
        self.windows = [corpus.windows.take(places) for places in self.places]

    def neuron(self, place: int) -> Neuron:
        """One of the units, with all its activations."""
        unit, row = self.units[place], np.array(self.values[place], dtype=np.float64)
        parts = (Recording(windows, row[places]) for windows, places in zip(self.windows, self.places, strict=True))
        return Neuron(unit.name, unit.site.layer, unit.number, *parts)


@contextmanager
def record(model: Any, corpus: Corpus, units: Sequence[Unit], folder: Path | None = None) -> Iterator[Activations]:
    """Reads a corpus once; within it the activations are there, in a file that is removed afterwards."""
    shape = (len(units), *corpus.windows.ids.shape)
    with TemporaryDirectory(dir=folder) as temporary:
        values = np.memmap(Path(temporary) / "activations.f16", dtype=np.float16, mode="w+", shape=shape)
        for pieces in _batches(corpus):
            _read(model, corpus, units, pieces, values)
        yield Activations(model, corpus, units, values)
        del values


def _batches(corpus: Corpus) -> Iterator[Int[np.ndarray, "_"]]:
    """Pieces of one length."""
    lengths = np.array([len(piece) for piece in corpus.pieces])
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        for start in range(0, len(places), ROWS):
            yield places[start : start + ROWS]


def _read(model: Any, corpus: Corpus, units: Sequence[Unit], pieces: Int[np.ndarray, "_"], values: np.ndarray) -> None:
    ids = torch.from_numpy(np.stack([corpus.pieces[place] for place in pieces])).long().to(model.device)
    sites = tuple(dict.fromkeys(unit.site for unit in units))
    with torch.inference_mode(), recorded(model, sites) as found:
        model(input_ids=ids)
    width, rows = corpus.windows.ids.shape[1], {int(piece): row for row, piece in enumerate(pieces)}
    of_windows = np.flatnonzero(np.isin(corpus.places[:, 0], pieces))
    for site in sites:
        mine = [place for place, unit in enumerate(units) if unit.site == site]
        numbers = torch.tensor([units[place].number for place in mine], device=model.device)
        told = found[site.name][..., numbers].half().cpu().numpy()
        for window in of_windows:
            piece, start = corpus.places[window]
            values[mine, window] = told[rows[int(piece)], start : start + width].T


__all__ = ["Activations", "Unit", "choose_units", "overwritten", "record"]
