"""A short trie of suffixes: what a neuron does at the end of a few n-grams, chosen by description length."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from faithbench.activations import Recording, Windows
from faithbench.parameters import check_whole
from faithbench_describers.suffixes import Level, levels_of
from faithbench_describers.tables import SMOOTHING, VALUE
from faithbench_describers.wording import named

SHAPE = 2  # bits of a node that say where it hangs: a tree is written as so many pairs of brackets
FINEST = 4.0**-VALUE  # of the variance: smaller errors are not told apart, as values have 8 bits
ROUNDS = 50
STEPS = 60  # that halve the interval in which a threshold lies


Numbers: TypeAlias = Float[np.ndarray, "_"]  # of each suffix of a level
Flags: TypeAlias = Bool[np.ndarray, "_"]


@dataclass(frozen=True)
class Node:
    """One n-gram.

    Args:
        suffix: token ids in the order in which they are read.
        value: predicted at its last token, where no longer one ends.
    """

    suffix: tuple[int, ...]
    value: float


@dataclass(frozen=True)
class Trie:
    """A number for each of a few n-grams; at a token that of the longest that ends there, else the mean.

    Args:
        text: for people.
        bits: its length.
        nodes: shorter ones first; with an n-gram all shorter ones that end alike are there.
        mean: where none ends.
    """

    text: str
    bits: float
    nodes: tuple[Node, ...]
    mean: float

    def simulate(self, windows: Windows) -> Float[np.ndarray, "windows tokens"]:
        """The number of the longest n-gram that ends at each token and begins in the window."""
        ids = windows.ids
        simulated = np.full(ids.shape, self.mean)
        for node in self.nodes:
            length = len(node.suffix)
            ends = np.ones((len(ids), max(0, ids.shape[1] - length + 1)), dtype=bool)
            for place, token in enumerate(node.suffix):
                ends &= ids[:, place : place + ends.shape[1]] == token
            simulated[:, length - 1 :][ends] = node.value
        return simulated


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
    of what stayed. The shortest of these tries is taken. Where more nodes than allowed would stay, the price is raised.

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
        counted = _Counted.of(levels_of(fit.windows, calibrate.windows, self.n), fit, calibrate)
        price = math.log2(len(fit.windows.pieces)) + VALUE + SHAPE
        kept = _chosen(counted, price, self.nodes)
        values, mean = counted.values(kept)
        nodes = _nodes(counted.levels, values, kept)
        return Trie(_said(nodes, mean, fit.windows.pieces), len(nodes) * price, nodes, mean)


@dataclass(frozen=True, eq=False)
class _Counted:
    """What a choice depends on: sums of a neuron's activations at each suffix, and at all tokens.

    `fitted` and `checked` are those of the documents to fit and to calibrate.
    """

    levels: Sequence[Level]
    fitted: Sequence[Numbers]
    checked: Sequence[Numbers]
    occurring: Sequence[Numbers]  # how often each suffix occurs in the documents to calibrate
    mean: float
    tokens: int
    calibrate: Float[np.ndarray, "calibrated"]

    @classmethod
    def of(cls, levels: Sequence[Level], fit: Recording, calibrate: Recording) -> "_Counted":
        fitted, checked = fit.activations.ravel(), calibrate.activations.ravel()
        return cls(
            levels,
            [level.sums(level.fit, fitted) for level in levels],
            [level.sums(level.calibrate, checked) for level in levels],
            [level.sums(level.calibrate) for level in levels],
            float(fitted.mean()),
            fitted.size,
            checked,
        )

    def values(self, kept: Sequence[Flags]) -> tuple[list[Numbers], float]:
        """The value of each node where some are kept, and that of all other tokens."""
        below = [level.below(stay, totals) for level, stay, totals in zip(self.levels, kept, self.fitted, strict=True)]
        hidden = [level.below(stay, level.counts) for level, stay in zip(self.levels, kept, strict=True)]
        rest, others = self.mean * self.tokens - below[0].sum(), self.tokens - hidden[0].sum()
        above = np.array([(rest + SMOOTHING * self.mean) / (others + SMOOTHING)])
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
        activations = self.calibrate
        alone = float(((activations - root) ** 2).sum())
        left = alone - sum(float(saving[stay].sum()) for saving, stay in zip(savings, kept, strict=True))
        return max(left / activations.size, FINEST * float(activations.var()))


def _chosen(counted: _Counted, price: float, most: int) -> Sequence[Flags]:
    """Which nodes stay, level by level."""
    kept: Sequence[Flags] = [np.zeros(len(level.tokens), dtype=bool) for level in counted.levels]
    best, shortest = kept, math.inf
    if not np.ptp(counted.calibrate):
        return kept
    for _ in range(ROUNDS):
        values, root = counted.values(kept)
        savings = counted.savings(values, root)
        error = counted.error(savings, kept, root)
        length = counted.calibrate.size / 2 * math.log2(error) + price * _count(kept)
        if length < shortest:
            best, shortest = kept, length
        found = pruned(
            counted.levels, savings, affordable(counted.levels, savings, 2 * math.log(2) * error * price, most)
        )
        if all(np.array_equal(one, other) for one, other in zip(found, kept, strict=True)):
            break
        kept = found
    return best


def affordable(levels: Sequence[Level], savings: Sequence[Numbers], threshold: float, most: int) -> float:
    """The least threshold from one on with which no more than so many nodes stay."""
    if _count(pruned(levels, savings, threshold)) <= most:
        return threshold
    low, high = threshold, sum(float(np.maximum(saving, 0).sum()) for saving in savings)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _count(pruned(levels, savings, middle)) <= most else (middle, high)
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


def _count(kept: Sequence[Flags]) -> int:
    return sum(int(stay.sum()) for stay in kept)


def _nodes(levels: Sequence[Level], values: Sequence[Numbers], kept: Sequence[Flags]) -> tuple[Node, ...]:
    """Those that stay, shorter ones first."""
    nodes = list[Node]()
    above: dict[int, tuple[int, ...]] = {0: ()}
    for level, numbers, stay in zip(levels, values, kept, strict=True):
        suffixes = dict[int, tuple[int, ...]]()
        for place in np.flatnonzero(stay).tolist():
            suffixes[place] = (int(level.tokens[place]), *above[int(level.parents[place])])
            nodes.append(Node(suffixes[place], float(numbers[place])))
        above = suffixes
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
