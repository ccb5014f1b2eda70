"""Is an input in a model's distribution? p-values of its activations, put together (MaSF, Heller et al. 2022).

Every feature's activation has a two-sided p-value in its empirical distribution over reference inputs; those of a layer
are put together, then the layers. Each time the sum has a p-value again from its empirical distribution, on reference
inputs that were not used before: so the last p-value is uniform for inputs like the reference, however features hang
together. Heller et al. and Madsen et al. 2024 (arXiv 2310.07819) put features together by Simes and layers by Fisher
(`features="simes", layers="fisher"`), and use the same reference inputs at every stage.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from faithbench.errors import UserError
from faithbench.parameters import check_choice

FEWEST = 30  # reference inputs
STAGES = 3  # features, layers, all
Values = Float[np.ndarray, "inputs layers features"]


def fisher(p: Float[np.ndarray, "*stages tests"]) -> Float[np.ndarray, "*stages"]:
    """−2 Σ log p: the larger, the less the tests agree with their hypothesis."""
    out: Float[np.ndarray, "*stages"] = -2 * np.log(p).sum(-1)
    return out


def simes(p: Float[np.ndarray, "*stages tests"]) -> Float[np.ndarray, "*stages"]:
    """−min_i (m / i) p_(i), p_(i) the i-th smallest of m: turned round, so that larger is less likely here, too."""
    tests = p.shape[-1]
    out: Float[np.ndarray, "*stages"] = -(np.sort(p, axis=-1) * tests / np.arange(1, tests + 1)).min(-1)
    return out


RULES: Mapping[str, Callable[..., Float[np.ndarray, "..."]]] = {"fisher": fisher, "simes": simes}


@dataclass(frozen=True)
class Distribution:
    """What a model's activations are like on inputs that it knows.

    Args:
        reference: activations of inputs like those it was trained on, in random order; a third is used at each stage.
        features: how the features of a layer are put together, `fisher` or `simes`.
        layers: how the layers are put together.

    Raises:
        UserError: there are fewer than `FEWEST` inputs.
        ValueError: a rule is not known.
    """

    reference: Values
    features: str = "fisher"
    layers: str = "simes"

    def __post_init__(self) -> None:
        check_choice("features", self.features, tuple(RULES))
        check_choice("layers", self.layers, tuple(RULES))
        if len(self.reference) < FEWEST:
            raise UserError(
                f"a distribution is made of {FEWEST} reference inputs at least; there are {len(self.reference)}."
            )

    def p_values(self, activations: Values) -> Float[np.ndarray, "inputs"]:
        """For each input how likely activations so unusual are for an input like the reference, from 1 / (n + 1) to 1.

        Below 0.05 for 5 % of inputs like the reference; small for others.
        """
        first, *others = (self.reference[start::STAGES] for start in range(STAGES))
        second, third, new = (RULES[self.features](_two_sided(first, each)) for each in (*others, activations))
        known, found = (RULES[self.layers](_upper(second, each)) for each in (third, new))
        return _upper(known, found)


def _ranks(
    known: Float[np.ndarray, "n *rest"], new: Float[np.ndarray, "m *rest"], side: Literal["left", "right"]
) -> np.ndarray:
    """How many of the known are below each new value, or not above it (`side="right"`), column by column."""
    flat, asked = known.reshape(len(known), -1), new.reshape(len(new), -1)
    columns = [np.searchsorted(np.sort(one), other, side) for one, other in zip(flat.T, asked.T, strict=True)]
    return np.stack(columns, axis=1).reshape(new.shape)


def _upper(known: Float[np.ndarray, "n *rest"], new: Float[np.ndarray, "m *rest"]) -> Float[np.ndarray, "m *rest"]:
    """The share of the known that is at least as large, each new value counted among them."""
    out: Float[np.ndarray, "m *rest"] = (1 + len(known) - _ranks(known, new, "left")) / (1 + len(known))
    return out


def _two_sided(known: Float[np.ndarray, "n *rest"], new: Float[np.ndarray, "m *rest"]) -> Float[np.ndarray, "m *rest"]:
    """Twice the smaller of the shares that are at least as large and at most as large."""
    lower = (1 + _ranks(known, new, "right")) / (1 + len(known))
    out: Float[np.ndarray, "m *rest"] = np.minimum(1.0, 2 * np.minimum(lower, _upper(known, new)))
    return out
