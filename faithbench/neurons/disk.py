"""Numbers of many units in many windows, on disk: written in the order of windows, read unit by unit."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import IO

import numpy as np
from jaxtyping import Float

from faithbench.errors import UserError
from faithbench.files import CACHE_VARIABLE, cache_folder, writing

BLOCK = 2**25  # bytes that are held before they are written


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
        self._file, self._held, self._blocks = file, list[np.ndarray](), list[tuple[int, int]]()
        self._bytes = 0

    def append(self, values: Float[np.ndarray, "units windows tokens"]) -> None:
        """Puts windows behind those that are there."""
        self._held.append(values)
        if sum(held.nbytes for held in self._held) >= BLOCK:
            self.flush()

    def flush(self) -> None:
        """Writes what is held."""
        if self._held:
            block = np.concatenate(self._held, axis=1).astype(self.kind, copy=False)
            self._file.seek(self._bytes)
            self._file.write(block.tobytes())
            self._file.flush()
            self._blocks.append((self._bytes, block.shape[1]))
            self._bytes += block.nbytes
            self._held = []

    def row(self, unit: int) -> Float[np.ndarray, "windows tokens"]:
        """What one unit does in all windows."""
        self.flush()
        parts = []
        for begin, windows in self._blocks:
            count = windows * self.tokens
            self._file.seek(begin + unit * count * self.kind.itemsize)
            parts.append(np.frombuffer(self._file.read(count * self.kind.itemsize), self.kind))
        return np.concatenate(parts).reshape(-1, self.tokens)


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
        with tempfile.TemporaryFile(dir=place, buffering=0) as file:
            yield Shelf(file, units, tokens, kind)


def gigabytes(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB"
