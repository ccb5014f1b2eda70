"""Coalitions for KernelSHAP in the order in which they are asked, so that a part of them is an estimate too.

Those of each pair of sizes that `n_samples` has room for whole are a stratum, asked in random order without repetition;
all other sizes together are one, drawn with repetition by their weight. A part takes from each stratum by its weight,
from the outside in, and from no stratum more than there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from faithbench_explainers.sandwich import covariance, influences
from faithbench_explainers.stopping import Estimate

Coalitions = Bool[np.ndarray, "coalitions players"]


@dataclass(frozen=True)
class Stratum:
    """Coalitions in the order in which they are asked, each with its complement if paired.

    `mass` is the weight of them all; `whole` says that they are all there are.
    """

    members: Coalitions
    mass: float
    whole: bool


@dataclass(frozen=True)
class Part:
    """The first units of each stratum: coalitions, or pairs of them."""

    strata: tuple[Stratum, ...]
    counts: tuple[int, ...]

    @property
    def units(self) -> Coalitions:
        """One coalition of each unit."""
        return np.concatenate([s.members[:count] for s, count in zip(self.strata, self.counts, strict=True)])

    @property
    def weights(self) -> Float[np.ndarray, "units"]:
        """Of each unit: its stratum's, shared equally."""
        shares = [s.mass / count for s, count in zip(self.strata, self.counts, strict=True)]
        return np.repeat(shares, self.counts)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to chance."""
        return all(s.whole and len(s.members) == count for s, count in zip(self.strata, self.counts, strict=True))

    def estimate(self, values: Float[np.ndarray, "units"], total: float, largest: float) -> Estimate:
        """Scores that sum to the total.

        Args:
            values: of each unit what its coalition gains beyond its size's share of the total; of a pair, half the
                difference of that between the two.
            total: what the full coalition gains.
            largest: |value| of those asked.
        """
        units, weights = self.units.astype(np.float64), self.weights
        inputs, n = units - units.mean(axis=1, keepdims=True), units.shape[1]
        inverse = np.linalg.pinv((inputs * weights[:, None]).T @ inputs, hermitian=True)
        rest = inverse @ (inputs.T @ (weights * values))
        spread = self._spread(influences(inputs, values - inputs @ rest, weights, inverse))
        freedom = len(units) if self.complete else len(units) - (n - 1)
        return Estimate(total / n + rest, np.sqrt(spread.diagonal()), spread, freedom, largest)

    def _spread(self, moved: Float[np.ndarray, "units players"]) -> Float[np.ndarray, "players players"]:
        """The covariance of the scores, of what each unit added to them."""
        spread, ends = np.zeros((moved.shape[1], moved.shape[1])), np.cumsum(self.counts)[:-1]
        for own, stratum in zip(np.split(moved, ends), self.strata, strict=True):
            spread += covariance(own, len(own) / len(stratum.members) if stratum.whole else 0.0)
        return spread


def part(strata: Sequence[Stratum], units: int | None) -> Part:
    """About so many units of the strata, at least one of each; all for None."""
    if units is None:
        return Part(tuple(strata), tuple(len(stratum.members) for stratum in strata))
    left, mass, counts = float(units), sum(stratum.mass for stratum in strata), []
    for stratum in strata:
        count = min(len(stratum.members), max(1, int(left * stratum.mass / mass + 1e-9)))
        counts.append(count)
        left, mass = max(left - count, 0.0), max(mass - stratum.mass, 1e-300)
    return Part(tuple(strata), tuple(counts))
