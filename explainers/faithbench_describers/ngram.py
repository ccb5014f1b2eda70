"""A short trie of suffixes: what a neuron does at the end of a few n-grams, chosen by description length."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from faithbench.activations import Recording
from faithbench.parameters import check_whole
from faithbench_describers.suffixes import Level, levels_of
from faithbench_describers.sums import Flags, Numbers, Sums, count
from faithbench_describers.tables import VALUE
from faithbench_describers.tries import Node, Trie
from faithbench_describers.wording import named

SHAPE = 2  # bits of a node that say where it hangs: a tree is written as so many pairs of brackets
ROUNDS = 50
STEPS = 60  # that halve the interval in which a threshold lies


@dataclass(frozen=True)
class NGram:
    """A trie of suffixes of up to n tokens; each predicts the neuron's mean activation where it ends and no longer one.

    The value of a node is (Σa + v)/(m + 1) over its m tokens in the documents to fit at which no longer n-gram of the
    trie ends, v being the value of the suffix one token shorter. Suffixes that occur but once are left out. Which nodes
    stay, the documents to calibrate say: those with which the whole is short to write down (minimum description length,
    Rissanen 1978), errors being Gaussian,

        (m/2) · log₂(RSS / m) + price · nodes   bits,

    m being all tokens to calibrate and RSS the sum of their squared errors. The price of a node is log₂ V bits for its
    token, 8 for its value and 2 for its place. It begins with the mean alone and goes on by turns: with all values
    held, and the variance of errors σ² = RSS / m (at least 2⁻¹⁶ of the activations' own), a subtree stays if it lowers
    RSS by more than 2 ln 2 · σ² · price for each of its nodes, which is decided exactly; then values and σ² are those
    of what stayed. Of the shortest of these tries, leaves without which the whole is shorter are taken, the worst
    first, until there are none. Where more nodes than allowed would stay, the price is raised.

    Args:
        n: tokens of the longest suffix, the current one included.
        nodes: at most.
    """

    n: int = 3
    nodes: int = 64

    def __post_init__(self) -> None:
        check_whole("n", self.n, 1, 16)
        check_whole("nodes", self.nodes, 1, 10**6)

    def __call__(self, fit: Recording, calibrate: Recording) -> Trie:
        """The trie."""
        price = math.log2(len(fit.windows.pieces)) + VALUE + SHAPE
        sums = _chosen(Sums.of(levels_of(fit.windows, calibrate.windows, self.n), fit, calibrate), price, self.nodes)
        values, mean = sums.values(_all(sums, True))
        nodes = _nodes(sums.levels, values)
        return Trie(_said(nodes, mean, fit.windows.pieces), len(nodes) * price, nodes, mean)


def _chosen(sums: Sums, price: float, most: int) -> Sums:
    """Those of the nodes that stay."""
    kept, visited = _all(sums, False), list[Sequence[Flags]]()
    if not sums.calibrate.variance:
        return sums.only(kept)
    for _ in range(ROUNDS):
        visited.append(kept)
        values, root = sums.values(kept)
        savings = sums.savings(values, root)
        fair = 2 * math.log(2) * sums.error(savings, kept, root) * price
        kept = pruned(sums.levels, savings, affordable(sums.levels, savings, fair, most))
        if any(_same(kept, other) for other in visited):
            break
    best = min(visited, key=lambda kept: sums.bits(kept, price))
    return _thinned(sums.only(best), price)


def _thinned(sums: Sums, price: float) -> Sums:
    """Without the leaves that do not earn their price."""
    kept = _all(sums, True)
    bits = sums.bits(kept, price)
    while others := [_without(kept, *leaf) for leaf in _leaves(sums, kept)]:
        best = min(others, key=lambda other: sums.bits(other, price))
        if (shorter := sums.bits(best, price)) >= bits:
            break
        kept, bits = best, shorter
    return sums.only(kept)


def _leaves(sums: Sums, kept: Sequence[Flags]) -> Iterator[tuple[int, int]]:
    """Depth and place of each node below which there is none."""
    for depth, stay in enumerate(kept):
        last = depth + 1 == len(kept)
        inner = set() if last else set(sums.levels[depth + 1].parents[kept[depth + 1]].tolist())
        yield from ((depth, place) for place in np.flatnonzero(stay).tolist() if place not in inner)


def _without(kept: Sequence[Flags], depth: int, place: int) -> Sequence[Flags]:
    changed = [stay.copy() for stay in kept]
    changed[depth][place] = False
    return changed


def _all(sums: Sums, stay: bool) -> Sequence[Flags]:
    return [np.full(len(level.tokens), stay) for level in sums.levels]


def _same(one: Sequence[Flags], other: Sequence[Flags]) -> bool:
    return all(map(np.array_equal, one, other))


def affordable(levels: Sequence[Level], savings: Sequence[Numbers], threshold: float, most: int) -> float:
    """The least threshold from one on with which no more than so many nodes stay."""
    if count(pruned(levels, savings, threshold)) <= most:
        return threshold
    low, high = threshold, sum(float(np.maximum(saving, 0).sum()) for saving in savings)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if count(pruned(levels, savings, middle)) <= most else (middle, high)
    return high


def pruned(levels: Sequence[Level], savings: Sequence[Numbers], threshold: float) -> list[Flags]:
    """Which nodes stay if each must lower the sum of squared errors by a threshold, alone or with those below it."""
    best = [saving - threshold for saving in savings]
    for level, own, below in zip(levels[:0:-1], best[-2::-1], best[:0:-1], strict=True):
        np.add.at(own, level.parents, np.maximum(below, 0))
    kept, above = list[Flags](), np.ones(1, dtype=bool)
    for level, gain in zip(levels, best, strict=True):
        above = (gain > 0) & above[level.parents]
        kept.append(above)
    return kept


def _nodes(levels: Sequence[Level], values: Sequence[Numbers]) -> tuple[Node, ...]:
    """Shorter ones first."""
    nodes = list[Node]()
    above: list[tuple[int, ...]] = [()]
    for level, numbers in zip(levels, values, strict=True):
        rows = zip(level.tokens.tolist(), level.parents.tolist(), strict=True)
        above = [(token, *above[parent]) for token, parent in rows]
        nodes += map(Node, above, numbers.tolist())
    return tuple(nodes)


def _said(nodes: Sequence[Node], mean: float, pieces: Sequence[str]) -> str:
    """The n-grams at which a neuron does more than at what they end with, by value, and those at which it does less."""
    known = {node.suffix: node.value for node in nodes}
    ranked = sorted(nodes, key=lambda node: -node.value)
    rises = [node for node in ranked if node.value > known.get(node.suffix[1:], mean)]
    falls = [node for node in reversed(ranked) if node not in rises]
    more, less = (
        named([[pieces[token] for token in node.suffix] for node in some], [node.value for node in some])
        for some in (rises, falls)
    )
    says = [*([f"fires on {more}"] if more else []), *([f"less on {less}"] if less else [])]
    return "; ".join(says) or f"the same at every token ({mean:.3g}), as far as n-grams say"
