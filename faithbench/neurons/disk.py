"""Numbers of many units in many windows, on disk: written in the order of windows, read unit by unit."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import SEEK_END
from pathlib import Path
from shutil import disk_usage
from typing import IO

import numpy as np
from jaxtyping import Float

from faithbench.errors import UserError
from faithbench.files import CACHE_VARIABLE, cache_folder, writing

BLOCK = 2**24  # bytes that are held before they are written


def usual_folder() -> Path:
    """Where activations lie meanwhile: `activations` in the cache, since /tmp is memory on many machines."""
    return cache_folder("activations", "").parent


class Shelf:
    """A file of numbers [units, windows, tokens], in blocks of windows that follow each other.

    Args:
        file: empty.
        units: how many.
        tokens: of a window.
        kind: float16 or float32.
    """

    def __init__(self, file: IO[bytes], units: int, tokens: int, kind: type[np.floating]) -> None:
        self.units, self.tokens, self.kind = units, tokens, np.dtype(kind)
        self._file, self._blocks, self._held, self._windows = file, list[tuple[int, int]](), 0, 0
        room = max(1, BLOCK // (units * tokens * self.kind.itemsize))
        self._block = np.empty((units, room, tokens), self.kind)

    def append(self, values: Float[np.ndarray, "units windows tokens"]) -> None:
        """Puts windows behind those that are there."""
        rest = values
        while rest.shape[1]:
            taken = rest[:, : self._block.shape[1] - self._held]
            self._block[:, self._held : self._held + taken.shape[1]] = taken
            self._held += taken.shape[1]
            if self._held == self._block.shape[1]:
                self.flush()
            rest = rest[:, taken.shape[1] :]

    def flush(self) -> None:
        """Writes what is held."""
        if self._held:
            self._file.seek(0, SEEK_END)
            for unit in self._block[:, : self._held]:
                self._file.write(unit.data.cast("B"))
            self._blocks.append((self._windows, self._windows + self._held))
            self._windows, self._held = self._windows + self._held, 0

    def row(self, unit: int, begin: int = 0, end: int | None = None) -> Float[np.ndarray, "windows tokens"]:
        """What one unit does in windows from one to before another, all of them by default, in double precision."""
        self.flush()
        end = self._windows if end is None else end
        told = np.empty((end - begin, self.tokens))
        for first, last in self._blocks:
            start, stop = max(begin, first), min(end, last)
            if start < stop:
                window = first * self.units + unit * (last - first) + start - first  # of the file's windows
                self._file.seek(window * self.tokens * self.kind.itemsize)
                told[start - begin : stop - begin] = self._read(stop - start)
        return told

    def _read(self, windows: int) -> Float[np.ndarray, "windows tokens"]:
        count = windows * self.tokens
        return np.frombuffer(self._file.read(count * self.kind.itemsize), self.kind).reshape(windows, self.tokens)


@contextmanager
def shelf(folder: Path | None, units: int, windows: int, tokens: int, kind: type[np.floating]) -> Iterator[Shelf]:
    """A file that has no name, so that nothing is left of it when the process ends, however it does.

    Args:
        folder: where; None for `activations` in the cache.
        units: how many.
        windows: how many there will be.
        tokens: of a window.
        kind: float16 or float32.

    Raises:
        UserError: there is no room for it, or it cannot be written.
    """
    place = folder or usual_folder()
    with writing(f"folder {place}"):
        place.mkdir(parents=True, exist_ok=True)
        needed, free = units * windows * tokens * np.dtype(kind).itemsize, disk_usage(place).free
        if needed > free:
            raise UserError(
                f"activations take {gigabytes(needed)} in {place}, which has {gigabytes(free)} free; take fewer "
                f"neurons (per_layer=…) or documents (documents=…), or let {CACHE_VARIABLE} name another folder."
            )
        with tempfile.TemporaryFile(dir=place) as file:
            yield Shelf(file, units, tokens, kind)


def gigabytes(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB"
