"""Which texts of a split a limit takes: the same share of each label, and those of a smaller limit among them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from faithbench.records.manifest import Sampling
from faithbench.types import Example


def sampled(examples: Sequence[Example], limit: int | None, sampling: Sampling = "stratified") -> tuple[Example, ...]:
    """The texts that a limit takes, in the order of the split.

    Args:
        examples: of the split.
        limit: how many; None for all.
        sampling: `stratified` by label, `random`, as all were drawn before there was a choice, or `all`.
    """
    if sampling == "all" or not limit or limit >= len(examples):
        return tuple(examples)
    order = shuffled(len(examples))
    if sampling == "stratified":
        order = order[_by_share([_stratum(examples[i]) for i in order])]
    return tuple(examples[i] for i in sorted(order[:limit]))


def shuffled(count: int) -> Int[np.ndarray, "count"]:
    """The numbers below `count` in the order in which texts are drawn."""
    return np.random.default_rng(0).permutation(count)


def _stratum(example: Example) -> object:
    return example.label if example.label is not None else example.labels


def _by_share(strata: Sequence[object]) -> Int[np.ndarray, "texts"]:
    """Places in an order whose every beginning holds the same share of each stratum.

    The r-th of n texts of a stratum stands at (r + u) / n, with u drawn once for the stratum (systematic sampling with
    a random start): so many of a stratum are taken as its share to within one text, or two where there are many
    strata, whose rounding adds up.
    """
    places: dict[object, list[int]] = {}
    for place, stratum in enumerate(strata):
        places.setdefault(stratum, []).append(place)
    keys, generator = np.empty(len(strata)), np.random.default_rng(1)
    for mine in places.values():
        keys[mine] = (np.arange(len(mine)) + generator.uniform()) / len(mine)
    return np.argsort(keys, kind="stable")
