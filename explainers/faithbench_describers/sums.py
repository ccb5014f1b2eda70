"""What the choice of a trie depends on: sums of a neuron's activations at suffixes, in two parts of the documents."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from faithbench.activations import Recording
from faithbench_describers.suffixes import Level
from faithbench_describers.tables import SMOOTHING, VALUE

FINEST = 4.0**-VALUE  # of the variance: smaller errors are not told apart, as values have 8 bits
Numbers: TypeAlias = Float[np.ndarray, "_"]  # of each suffix of a level
Flags: TypeAlias = Bool[np.ndarray, "_"]


@dataclass(frozen=True)
class Moments:
    """Number and sum of activations, and the mean of squared distances from their mean."""

    count: int
    total: float
    variance: float

    @classmethod
    def of(cls, activations: Numbers) -> "Moments":
        """Those of some."""
        return cls(activations.size, float(activations.sum()), float(activations.var()))

    def around(self, centre: float) -> float:
        """Mean of squared distances from a number."""
        return self.variance + (self.total / self.count - centre) ** 2


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of a neuron's activations at each suffix, and at all tokens.

    Args:
        levels: of suffixes.
        fitted: of each level, the sums in the documents to fit.
        checked: likewise, in those to calibrate.
        occurring: likewise, how often each suffix occurs there.
        fit: all activations to fit.
        calibrate: all activations to calibrate.
    """

    levels: Sequence[Level]
    fitted: Sequence[Numbers]
    checked: Sequence[Numbers]
    occurring: Sequence[Numbers]
    fit: Moments
    calibrate: Moments

    @classmethod
    def of(cls, levels: Sequence[Level], fit: Recording, calibrate: Recording) -> "Sums":
        """Those of a neuron."""
        fitted, checked = fit.activations.ravel(), calibrate.activations.ravel()
        return cls(
            levels,
            [level.sums(level.fit, fitted) for level in levels],
            [level.sums(level.calibrate, checked) for level in levels],
            [level.sums(level.calibrate) for level in levels],
            Moments.of(fitted),
            Moments.of(checked),
        )

    def only(self, kept: Sequence[Flags]) -> "Sums":
        """Those of some suffixes, with each of which all shorter ones stay."""
        levels, above = list[Level](), np.zeros(1, dtype=np.int64)
        for level, stay in zip(self.levels, kept, strict=True):
            levels.append(level.only(stay, above, len(levels[-1].tokens) if levels else 1))
            above = np.cumsum(stay) - 1
        fitted, checked, occurring = (
            [each[stay] for each, stay in zip(several, kept, strict=True)]
            for several in (self.fitted, self.checked, self.occurring)
        )
        return Sums(levels, fitted, checked, occurring, self.fit, self.calibrate)

    def values(self, kept: Sequence[Flags]) -> tuple[list[Numbers], float]:
        """The value of each node where some are kept, and that of all other tokens."""
        below = [level.below(stay, totals) for level, stay, totals in zip(self.levels, kept, self.fitted, strict=True)]
        hidden = [level.below(stay, level.counts) for level, stay in zip(self.levels, kept, strict=True)]
        rest, others = self.fit.total - below[0].sum(), self.fit.count - hidden[0].sum()
        above = np.array([(rest + SMOOTHING * self.fit.total / self.fit.count) / (others + SMOOTHING)])
        root, values = float(above[0]), list[Numbers]()
        for depth, level in enumerate(self.levels):
            own, counts = self.fitted[depth], level.counts
            if depth + 1 < len(self.levels):
                own, counts = own - below[depth + 1], counts - hidden[depth + 1]
            above = (own + SMOOTHING * above[level.parents]) / (counts + SMOOTHING)
            values.append(above)
        return values, root

    def savings(self, values: Sequence[Numbers], root: float) -> list[Numbers]:
        """By how much each node lowers the sum of squared errors, where that above it would predict otherwise."""
        savings, above = list[Numbers](), np.array([root])
        for level, after, totals, counts in zip(self.levels, values, self.checked, self.occurring, strict=True):
            before = above[level.parents]
            savings.append((after - before) * (2 * totals - counts * (before + after)))
            above = after
        return savings

    def error(self, savings: Sequence[Numbers], kept: Sequence[Flags], root: float) -> float:
        """Mean squared error in the documents to calibrate, not counted finer than `FINEST`."""
        saved = sum(float(saving[stay].sum()) for saving, stay in zip(savings, kept, strict=True))
        return max(self.calibrate.around(root) - saved / self.calibrate.count, FINEST * self.calibrate.variance)

    def bits(self, kept: Sequence[Flags], price: float) -> float:
        """Length of the errors that are left and of the nodes, up to a constant."""
        values, root = self.values(kept)
        error = self.error(self.savings(values, root), kept, root)
        return self.calibrate.count / 2 * math.log2(error) + price * count(kept)


def count(kept: Sequence[Flags]) -> int:
    """How many suffixes stay."""
    return sum(int(stay.sum()) for stay in kept)
