"""What rank agreement hangs on: leaving one explainer out at a time, the jackknife (Tukey 1958)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from faithbench.comparing.agreement import Standing, agreement_of

WIDTH = 1.959963984540054  # standard errors to either side, for 95 %


@dataclass(frozen=True)
class Jackknife:
    """An agreement without each explainer in turn: the least and the most of it, and its standard error; NaN if none.

    The standard error is that of another draw of explainers of the same kind, which they are not; it says no more than
    how much a ranking of these few can be trusted.
    """

    least: float
    most: float
    error: float

    def interval(self, tau: float) -> tuple[float, float]:
        """95 %, around the agreement of all, within −1 and 1."""
        return max(-1.0, tau - WIDTH * self.error), min(1.0, tau + WIDTH * self.error)


def left_out(a: str, b: str, standings: Sequence[Standing]) -> dict[str, float]:
    """The agreement of two metrics without each explainer that both rank; only of those without which there is one."""
    having = [[each for each in standings if metric in each.metrics] for metric in (a, b)]
    ranked = [
        {name for each in some for name in each.explainers if np.isfinite(each.of(metric, [name])[0, 0])}
        for metric, some in zip((a, b), having, strict=True)
    ]
    found = {}
    for name in sorted(ranked[0] & ranked[1]):
        agreement = agreement_of(a, b, [_without(each, name) for each in standings])
        if agreement is not None:
            found[name] = float(agreement.taus[0])
    return found


def jackknife(taus: Mapping[str, float]) -> Jackknife:
    """From the agreement without each explainer."""
    if len(taus) < 2:
        return Jackknife(math.nan, math.nan, math.nan)
    values = np.array(list(taus.values()))
    error = math.sqrt((len(values) - 1) * float(values.var()))
    return Jackknife(float(values.min()), float(values.max()), error)


def _without(standing: Standing, name: str) -> Standing:
    kept = [i for i, each in enumerate(standing.explainers) if each != name]
    explainers = tuple(standing.explainers[i] for i in kept)
    return replace(standing, explainers=explainers, scores=standing.scores[:1, kept])
