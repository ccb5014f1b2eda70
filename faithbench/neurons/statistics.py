"""What the units of a site do at the tokens of some windows, counted batch by batch."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from faithbench.neurons.sites import Site


@dataclass(frozen=True)
class UnitActivity:
    """What a neuron does at the tokens of the evaluate windows.

    Args:
        density: share of the tokens with an activation above 0, whatever the site; so of GELU's too, which has others.
        mean: of its activations.
        deviation: their standard deviation.
        largest: of them.
    """

    density: float
    mean: float
    deviation: float
    largest: float


@dataclass(frozen=True)
class SiteActivity:
    """What the units of a site do at the tokens of the evaluate windows.

    Args:
        name: of the site.
        layer: of the model, from 0.
        units: all that it has.
        chosen: those that are described.
        alive: how many of these are above 0 at any token.
        l0: units above 0, of all, per token.
        density: l0 / units.
    """

    name: str
    layer: int
    units: int
    chosen: int
    alive: int
    l0: float
    density: float


@dataclass(frozen=True)
class Activity:
    """What a run's manifest says of a model's neurons.

    Args:
        documents: that have a window, in all parts.
        tokens: of their windows.
        sites: a value for each, at the tokens of the evaluate windows.
        loss: of the model where it says next tokens: nats per token, the mean over what it says at each token of the
            evaluate windows of the token behind; None of others.
    """

    documents: int
    tokens: int
    sites: tuple[SiteActivity, ...]
    loss: float | None = None


class Tally:
    """Running numbers of all units of a site; batches are joined as in Chan et al. 1983."""

    def __init__(self, site: Site) -> None:
        self.site, self.tokens = site, 0
        self.positive, self.mean, self.squares = np.zeros((3, site.units))
        self.largest = np.full(site.units, -np.inf)

    def add(self, values: Float[Tensor, "tokens units"]) -> None:
        """Counts more tokens."""
        variance, mean = torch.var_mean(values, dim=0, correction=0)
        told = torch.stack([(values > 0).sum(0).to(mean), mean, variance, values.amax(0)]).double().cpu().numpy()
        count, whole = len(values), self.tokens + len(values)
        step = told[1] - self.mean
        self.squares += told[2] * count + step**2 * (self.tokens * count / whole)
        self.mean += step * (count / whole)
        self.positive += told[0]
        self.largest = np.maximum(self.largest, told[3])
        self.tokens = whole

    @property
    def density(self) -> Float[np.ndarray, "units"]:
        """Of each unit."""
        return self.positive / max(self.tokens, 1)

    def unit(self, number: int) -> UnitActivity:
        """One of them."""
        deviation = float(np.sqrt(self.squares[number] / max(self.tokens, 1)))
        return UnitActivity(
            float(self.density[number]), float(self.mean[number]), deviation, float(self.largest[number])
        )

    def activity(self, chosen: list[int]) -> SiteActivity:
        """All of them, and how many of some are alive."""
        alive = int((self.positive[chosen] > 0).sum()) if chosen else 0
        l0 = float(self.density.sum())
        return SiteActivity(
            self.site.name, self.site.layer, self.site.units, len(chosen), alive, l0, l0 / self.site.units
        )
