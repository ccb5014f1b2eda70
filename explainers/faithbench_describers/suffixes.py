"""The suffixes of up to n tokens that occur in windows, level by level: looked up once for all neurons of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from faithbench.activations import NONE, Windows

LEAST = 2  # times that a suffix must occur in the windows to fit


@dataclass(frozen=True, eq=False)
class Level:
    """Suffixes of one length, that occur in both sets of windows.

    Args:
        parents: of each, the suffix one token shorter: its place in the level above; 0 in the first level.
        above: how many of those there are.
        tokens: of each, its first token.
        counts: how often each occurs in the windows to fit.
        fit: of each token of the windows to fit, the suffix that ends there, or `NONE`.
        calibrate: likewise.
    """

    parents: Int[np.ndarray, "nodes"]
    above: int
    tokens: Int[np.ndarray, "nodes"]
    counts: Int[np.ndarray, "nodes"]
    fit: Int[np.ndarray, "fitted"]
    calibrate: Int[np.ndarray, "calibrated"]

    def sums(
        self, ends: Int[np.ndarray, "_"], numbers: Float[np.ndarray, "_"] | None = None
    ) -> Float[np.ndarray, "nodes"]:
        """Of each suffix, the sum of numbers where it ends, or how often it does."""
        there = ends >= 0
        weights = None if numbers is None else numbers[there]
        return np.bincount(ends[there], weights=weights, minlength=len(self.tokens)).astype(np.float64)

    def below(self, some: Bool[np.ndarray, "nodes"], numbers: Real[np.ndarray, "nodes"]) -> Float[np.ndarray, "above"]:
        """Of each suffix one token shorter, the sum of the numbers of some of those that are longer."""
        return np.bincount(self.parents[some], weights=numbers[some], minlength=self.above).astype(np.float64)

    def only(self, stay: Bool[np.ndarray, "nodes"], renumbered: Int[np.ndarray, "above"], above: int) -> "Level":
        """Some of them, without the places where they end; those above have other numbers, and there are so many."""
        nowhere = np.zeros(0, dtype=np.int64)
        return Level(renumbered[self.parents[stay]], above, self.tokens[stay], self.counts[stay], nowhere, nowhere)


class _SameMemory:
    """Windows that are equal to others whose arrays lie where theirs do: each describer has objects of its own."""

    def __init__(self, windows: Windows) -> None:
        self.windows, ids = windows, windows.ids  # which keeps the memory from becoming another's
        self.key = ids.ctypes.data, ids.shape, ids.dtype.str, len(windows.pieces)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameMemory) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def levels_of(fit: Windows, calibrate: Windows, n: int) -> Sequence[Level]:
    """The levels, from that of single tokens to that of n; those of the last windows are kept.

    Args:
        fit: where suffixes must occur twice.
        calibrate: where they must occur at all, since no other could be of use there.
        n: tokens of the longest.
    """
    return _levels(_SameMemory(fit), _SameMemory(calibrate), n)


@lru_cache(maxsize=2)
def _levels(same_fit: _SameMemory, same_calibrate: _SameMemory, n: int) -> Sequence[Level]:
    fit, calibrate = same_fit.windows, same_calibrate.windows
    size, levels = len(fit.pieces), list[Level]()
    ends = [np.zeros(windows.ids.size, dtype=np.int64) for windows in (fit, calibrate)]
    for depth in range(n):
        keys = [_keys(end, windows, depth, size) for end, windows in zip(ends, (fit, calibrate), strict=True)]
        known, counts = np.unique(keys[0][keys[0] >= 0], return_counts=True)
        useful = (counts >= LEAST) & np.isin(known, keys[1])
        known, counts = known[useful], counts[useful]
        ends = [_looked_up(key, known) for key in keys]
        above = len(levels[-1].tokens) if levels else 1
        levels.append(Level(known // size, above, known % size, counts, *(end.astype(np.int32) for end in ends)))
    return tuple(levels)


def _keys(ends: Int[np.ndarray, "_"], windows: Windows, depth: int, size: int) -> Int[np.ndarray, "_"]:
    """A number for each suffix that is a token longer than those that end in these places; `NONE` where none is."""
    before = np.full(windows.ids.shape, NONE, dtype=np.int64)
    before[:, depth:] = windows.ids[:, : windows.ids.shape[1] - depth]
    return np.where((ends >= 0) & (before.ravel() >= 0), ends * size + before.ravel(), NONE)


def _looked_up(keys: Int[np.ndarray, "_"], known: Int[np.ndarray, "nodes"]) -> Int[np.ndarray, "_"]:
    """The place of each key among those that are known, which rise; `NONE` of others."""
    places = np.searchsorted(known, keys)
    same = known[np.minimum(places, len(known) - 1)] == keys if len(known) else np.zeros(len(keys), dtype=bool)
    return np.where(same, places, NONE)
