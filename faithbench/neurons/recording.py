"""Activations of neurons in the windows of a corpus, on disk: memory holds those of one neuron, whatever their number.

They are rounded to half precision (11 binary digits: by up to 0.05 %, and what is below 3e-8 to 0); those of a model
that has larger ones than half precision can hold, 65,504, are kept in single precision.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithbench.activations import NONE, Neuron, Recording
from faithbench.errors import UserError
from faithbench.neurons.corpus import EVALUATE, PARTS, Corpus
from faithbench.neurons.disk import Shelf, gigabytes, shelf, usual_folder
from faithbench.neurons.reader import Reader
from faithbench.neurons.sites import Site, changed, find_sites
from faithbench.neurons.statistics import Activity, Tally, UnitActivity

SAID_BYTES = 1e9  # on disk, from which on it is said


@dataclass(frozen=True)
class Unit:
    """A neuron's place: a site, and its number in what that gives."""

    site: Site
    number: int

    @property
    def name(self) -> str:
        """As records name it."""
        return f"{self.site.name}:{self.number}"


def choose_units(model: nn.Module, pattern: str = "", per_layer: int = 0, seed: int = 0) -> tuple[Unit, ...]:
    """Neurons of each site, drawn at random.

    Args:
        model: of transformers.
        pattern: of sites; see `find_sites`.
        per_layer: of each site at most; 0 for all.
        seed: of the draw.

    Raises:
        UserError: there are none.
    """
    chosen = []
    for site in find_sites(model, pattern):
        order = np.random.default_rng([seed, site.layer]).permutation(site.units)
        numbers = order[:per_layer] if per_layer else order
        chosen += [Unit(site, int(number)) for number in sorted(numbers)]
    return tuple(chosen)


class Activations:
    """What neurons do in the windows of a corpus.

    Args:
        reader: the model.
        corpus: which documents.
        units: which neurons.
        values: their activations, as on disk.
        tallies: what all units of the sites do at the tokens of the evaluate windows.
        loss: of the model there, where it says next tokens.
    """

    def __init__(
        self,
        reader: Reader,
        corpus: Corpus,
        units: Sequence[Unit],
        values: Shelf,
        tallies: dict[Site, Tally],
        loss: float | None,
    ) -> None:
        self.reader, self.corpus, self.units, self.values = reader, corpus, tuple(units), values
        self.loss, self._tallies = loss, tallies
        self.kept: dict[tuple[int, int, int], Tensor] = {}  # states of windows that were asked about
        ends = np.searchsorted(corpus.part, range(len(PARTS) + 1))
        self._parts = [slice(start, stop) for start, stop in pairwise(ends.tolist())]
        self.windows = [corpus.windows.between(part.start, part.stop) for part in self._parts]

    def neuron(self, place: int) -> Neuron:
        """One of the units, with all its activations."""
        unit, parts = self.units[place], list[Recording]()
        for windows, part in zip(self.windows, self._parts, strict=True):
            parts.append(Recording(windows, self.values.row(place, part.start, part.stop)))
        return Neuron(unit.name, unit.site.layer, unit.number, *parts)

    def unit(self, place: int) -> UnitActivity:
        """What one of the units does at the tokens of the evaluate windows."""
        unit = self.units[place]
        return self._tallies[unit.site].unit(unit.number)

    def activity(self, chosen: Sequence[Unit] = ()) -> Activity:
        """What a manifest says: of all units of the sites, and of those chosen; of those recorded, if none is."""
        numbers = defaultdict[Site, list[int]](list)
        for unit in chosen or self.units:
            numbers[unit.site].append(unit.number)
        sites = tuple(tally.activity(numbers[site]) for site, tally in self._tallies.items())
        return Activity(self.corpus.documents, self.corpus.windows.ids.size, sites, self.loss)


class _TooLargeError(Exception):
    """A value is larger than half precision can hold."""


@contextmanager
def record(
    classifier: Any,
    corpus: Corpus,
    units: Sequence[Unit],
    chosen: Sequence[Unit] = (),
    folder: Path | None = None,
    say: Callable[[str], object] = lambda line: None,
    heard: Callable[[int], object] = lambda tokens: None,
) -> Iterator[Activations]:
    """Reads a corpus once; within it the activations are there, in a file without a name that ends with it.

    Args:
        classifier: a classifier or language model that lets look inside.
        corpus: documents.
        units: neurons to record.
        chosen: others whose sites are to be counted too.
        folder: where the file is; None for `activations` in the cache.
        say: is told what it takes on disk where that is over 1 GB, or if it has to be kept in single precision.
        heard: is told of every batch how many tokens the model has read.

    Raises:
        UserError: the model lets nobody look inside, gives what is no number, or there is no room.
    """
    reader, sites = Reader(classifier), tuple(dict.fromkeys(unit.site for unit in (*units, *chosen)))
    for kind in (np.float16, np.float32):
        size, (windows, tokens) = len(units) * np.dtype(kind).itemsize, corpus.windows.ids.shape
        if size * windows * tokens > SAID_BYTES:
            say(f"activations take {gigabytes(size * windows * tokens)} in {folder or usual_folder()} while this runs.")
        with shelf(folder, len(units), windows, tokens, kind) as values:
            recorder = _Recorder(reader, corpus, units, sites, values)
            try:
                recorder.run(heard)
            except _TooLargeError:
                say("some activations are above 65,504, and all are kept in single precision.")
                continue
            yield Activations(reader, corpus, units, values, recorder.tallies, recorder.loss)
            return


class _Recorder:
    """Reads the pieces of a corpus in their order, and puts what units do onto a shelf."""

    def __init__(
        self, reader: Reader, corpus: Corpus, units: Sequence[Unit], sites: Sequence[Site], values: Shelf
    ) -> None:
        self.reader, self.corpus, self.values, self.sites = reader, corpus, values, sites
        self.tallies = {site: Tally(site) for site in sites}
        mine = {site: [place for place, unit in enumerate(units) if unit.site == site] for site in sites}
        self._order = np.argsort([place for site in sites for place in mine[site]])
        self._numbers = {
            site: torch.tensor([units[place].number for place in places], dtype=torch.long, device=reader.device)
            for site, places in mine.items()
        }
        self._firsts = np.searchsorted(corpus.places[:, 0], np.arange(corpus.pieces + 1)).tolist()
        self._nats, self._tokens = 0.0, 0

    @property
    def loss(self) -> float | None:
        """Of the model in the evaluate windows, in nats per token; None where it says no next tokens."""
        return self._nats / self._tokens if self._tokens else None

    def run(self, heard: Callable[[int], object]) -> None:
        """Reads all of them, and says of every batch how many tokens that were."""
        for told, counts, nats, tokens in self.reader.batches(self.corpus.lengths, self._read):
            self.values.append(told)
            for site, values in counts.items():
                self.tallies[site].add(values)
            self._nats += nats[0]
            self._tokens += nats[1]
            heard(tokens)
        self.values.flush()

    def _read(self, pieces: slice) -> tuple[np.ndarray, dict[Site, Tensor], tuple[float, int], int]:
        """What units do in the windows of some pieces, what is to be counted, and the sum and number of losses."""
        corpus = self.corpus
        windows = slice(self._firsts[pieces.start], self._firsts[pieces.stop])
        ids = self.reader.ids(
            corpus.ids[corpus.bounds[pieces.start] : corpus.bounds[pieces.stop]].reshape(pieces.stop - pieces.start, -1)
        )
        rows = torch.from_numpy(corpus.places[windows, 0] - pieces.start).long()[:, None].to(ids.device)
        starts = torch.from_numpy(corpus.places[windows, 1].copy()).long()[:, None].to(ids.device)
        at = rows, starts + torch.arange(self.values.tokens, device=ids.device)
        scored = bool(corpus.part[windows.start] == EVALUATE)
        seen, counts = dict[Site, Tensor](), dict[Site, Tensor]()

        def keep(site: Site) -> Callable[[Tensor], None]:
            def look(units: Tensor) -> None:
                units = units.reshape(*ids.shape, -1)
                seen[site] = units[..., self._numbers[site]][at]
                if scored:
                    counts[site] = units[at].flatten(0, 1)

            return look

        with changed(self.reader.network, {site: keep(site) for site in self.sites}):
            states = self.reader.read(ids)
        self._check(seen)
        told = torch.cat([seen[site] for site in self.sites], dim=2)
        nats = self._losses(states, at, windows) if scored and states is not None else (0.0, 0)
        return self._kept(told), counts, nats, ids.numel()

    def _check(self, seen: dict[Site, Tensor]) -> None:
        """Raises a UserError where a site was not seen."""
        for site in self.sites:
            if site not in seen:
                raise UserError(
                    f"module {site.module!r} takes no part when the model reads a document; name others with site=…."
                )

    def _kept(self, values: Float[Tensor, "windows tokens units"]) -> Float[np.ndarray, "units windows tokens"]:
        """Values as they are kept, rounded where they are computed."""
        kind = torch.float16 if self.values.kind == np.float16 else torch.float32
        told = values.to(kind).permute(2, 0, 1).cpu().numpy()[self._order]
        if np.isfinite(told).all():
            return told
        if not bool(values.float().isfinite().all()):
            raise UserError(
                f"{type(self.reader.network).__name__} gives activations that are no numbers (NaN or infinite); use "
                "another precision, such as --dtype float32, or other modules with site=…."
            )
        raise _TooLargeError

    def _losses(self, states: Tensor, at: tuple[Tensor, Tensor], windows: slice) -> tuple[float, int]:
        """The sum, in nats, and the number of what the model loses on the tokens behind those of windows."""
        some = self.corpus.windows.between(windows.start, windows.stop)
        behind = torch.from_numpy(some.next_ids.astype(np.int64)).to(states.device).flatten()
        known = behind != NONE
        states, behind = states[at].flatten(0, 1)[known], behind[known]
        losses = [
            nn.functional.cross_entropy(_exact(self.reader.logits(states[part])), behind[part], reduction="sum")
            for part in self.reader.chunks(len(behind))
        ]
        return float(torch.stack(losses).double().sum()) if losses else 0.0, len(behind)


def _exact(values: Tensor) -> Tensor:
    """In single precision at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
