"""KernelSHAP (Lundberg & Lee 2017, arXiv 1705.07874), with paired sampling (Covert & Lee 2021, arXiv 2012.01536)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from faithbench.conversations import Asking
from faithbench.draws import generator
from faithbench.parameters import check_seed, check_whole
from faithbench.questions import Logits
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.baselines import check_baseline, fill_of
from faithbench_explainers.coalitions import Coalitions, Stratum, part
from faithbench_explainers.objective import objective
from faithbench_explainers.stopping import ADDED, FIRST, Estimate, Rule, sampled

Weights = Float[np.ndarray, "coalitions"]


@dataclass(frozen=True)
class KernelShap:
    """Shapley values of the target's logit as a weighted regression over coalitions of content tokens.

    Where all 2ⁿ − 2 coalitions are no more than `n_samples`, all are asked and the values are exact. Otherwise sizes
    are taken from the outside in, 1 and n − 1 first: a pair of sizes whole while the samples left allow it; the sizes
    that remain are sampled, each coalition together with its complement. The scores sum to z(text) − z(all content
    replaced); special tokens stay and score 0.

    With a rule for stopping, `n_samples` is the most coalitions, those of a size are asked in random order and each
    size by its weight (see `coalitions`), and attributions have standard errors.

    Args:
        n_samples: coalitions besides the empty and the full one.
        paired: sample each coalition with its complement.
        baseline: what absent tokens are replaced by, `mask` or `pad` token.
        contrastive: explain by how much the logit exceeds that of the runner-up class.
        seed: draws the coalitions, together with the text's id.
        tolerance: stop once the largest standard error is at most this share of the gap between the largest and the
            smallest score; 0 for never. `notes` say how many coalitions were used and whether it was reached.
        settled: stop once so many highest tokens are known instead, up to the tolerance; 0 for not at all.
    """

    n_samples: int = 2048
    paired: bool = True
    baseline: str = "mask"
    contrastive: bool = False
    seed: int = 0
    tolerance: float = 0.0
    settled: int = 0
    added: ClassVar[tuple[str, ...]] = ADDED
    dear: ClassVar[bool] = True
    sums_to: ClassVar[str] = "content"

    def __post_init__(self) -> None:
        check_whole("n_samples", self.n_samples, 2, 1_000_000)
        check_baseline(self.baseline)
        check_seed(self.seed)
        Rule(self.tolerance, self.settled)

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        aim = yield from objective(text, target, self.contrastive)
        game, rule = _Game(text, aim, fill_of(text, self.baseline)), Rule(self.tolerance, self.settled)
        if rule.stops:
            return (yield from self._until(rule, game, text, target))
        scores = np.zeros(len(text))
        scores[text.content] = yield from self._of_all(game, text)
        return Attribution(text.id, target, scores)

    def _of_all(self, game: "_Game", text: Text) -> Asking[Float[np.ndarray, "players"]]:
        """The scores of all samples."""
        coalitions, weights = self.coalitions(text)
        return solve(coalitions, weights, (yield from game.gains(coalitions)), game.total)

    def _until(self, rule: Rule, game: "_Game", text: Text, target: Target) -> Asking[Attribution]:
        """With as many samples as the rule wants."""
        strata, n, together = self.strata(text), len(text.content), 2 if self.paired else 1
        most = sum(len(stratum.members) for stratum in strata)

        def estimate(units: int) -> Asking[Estimate]:
            if not units:
                return Estimate((yield from self._of_all(game, text)), np.zeros(n), np.zeros((n, n)), 1, game.largest)
            some = part(strata, units if units < most else None)
            values = yield from game.beyond_size(some.units, self.paired)
            found = some.estimate(values, game.total, game.largest)
            return found if units < most else replace(found, scores=(yield from self._of_all(game, text)))

        found, units, met = yield from sampled(rule, rule.looks(FIRST * n // together, most), estimate)
        scores, errors = np.zeros(len(text)), np.zeros(len(text))
        scores[text.content], errors[text.content] = found.scores, found.errors
        known, notes = found.freedom >= 1, rule.notes("n_samples", units * together, met)
        return Attribution(text.id, target, scores, notes, standard_errors=errors if known else None)

    def coalitions(self, text: Text) -> tuple[Coalitions, Weights]:
        """Which coalitions are asked, and their weights, which sum to 1 unless there are none."""
        n = len(text.content)
        whole, sizes, left = self._plan(n)
        mass = size_weights(n)
        found, weights = [np.zeros((0, n), dtype=bool)], [np.zeros(0)]
        for size in (size for pair in whole for size in pair):
            found.append(_all_subsets(n, size))
            weights.append(np.full(comb(n, size), mass[size] / comb(n, size)))
        if sizes and left:
            members = self._drawn(text, sizes, left)
            both = np.concatenate([members, ~members]) if self.paired else members
            drawn, counts = np.unique(both, axis=0, return_counts=True)
            found.append(drawn)
            weights.append(counts.astype(np.float64) / counts.sum() * sum(mass[s] for s in sizes))
        every = np.concatenate(weights)
        return np.concatenate(found), every / every.sum() if len(every) else every

    def strata(self, text: Text) -> list[Stratum]:
        """The same in the order in which they are asked; of pairs, one of the two."""
        n, draws = len(text.content), generator(text, "order", seed=self.seed)
        whole, sizes, left = self._plan(n)
        mass, strata = size_weights(n), []
        for pair in whole:
            members = np.concatenate([_all_subsets(n, size) for size in (pair[:1] if self.paired else pair)])
            if self.paired and len(pair) == 1:  # half of the players: the complements are of that size too
                members = members[members[:, 0]]
            strata.append(Stratum(draws.permutation(members), sum(mass[s] for s in pair), whole=True))
        if sizes and left:
            strata.append(Stratum(self._drawn(text, sizes, left), sum(mass[s] for s in sizes), whole=False))
        return strata

    def _plan(self, n: int) -> tuple[list[list[int]], list[int], int]:
        """Pairs of sizes that are asked whole, the sizes that are sampled, and how many samples those get."""
        mass, whole, left = size_weights(n), [], self.n_samples
        open_sizes = set(range(1, n))
        for small in range(1, n // 2 + 1):
            pair = sorted({small, n - small})
            count, share = sum(comb(n, s) for s in pair), sum(mass[s] for s in pair)
            if count > left * share / sum(mass[s] for s in open_sizes) + 1e-9:
                break
            whole.append(pair)
            open_sizes -= set(pair)
            left -= count
        return whole, sorted(open_sizes), left

    def _drawn(self, text: Text, sizes: list[int], count: int) -> Coalitions:
        """Coalitions of these sizes drawn by weight; if paired half as many, to be asked with their complements."""
        draws, n = generator(text, seed=self.seed), len(text.content)
        mass = size_weights(n)
        chances = np.array([mass[s] for s in sizes])
        drawn = draws.choice(sizes, size=max(1, count // 2) if self.paired else count, p=chances / chances.sum())
        places = draws.permuted(np.tile(np.arange(n), (len(drawn), 1)), axis=1)
        members: Coalitions = places < drawn[:, None]
        return members


class _Game:
    """What coalitions of a text's content gain; each is asked once."""

    def __init__(self, text: Text, aim: Target, fill: int) -> None:
        self.text, self.aim, self.fill = text, aim, fill
        self.known: dict[bytes, float] = {}
        self.nothing = self.total = self.largest = 0.0

    def gains(self, coalitions: Coalitions) -> Asking[Float[np.ndarray, "coalitions"]]:
        """Value − value of the empty coalition, which is asked first, together with the full one."""
        keys = [row.tobytes() for row in coalitions]
        new = {key: place for place, key in reversed(list(enumerate(keys))) if key not in self.known}
        chosen = coalitions[sorted(new.values())]
        if len(chosen) or not self.known:
            yield from self._ask(chosen)
        return np.array([self.known[key] for key in keys]) - self.nothing

    def _ask(self, coalitions: Coalitions) -> Asking[None]:
        ends = 0 if self.known else 2
        keep = np.ones((ends + len(coalitions), len(self.text)), dtype=bool)
        keep[: ends // 2, self.text.content] = False
        keep[ends:, self.text.content] = coalitions
        logits: Float[np.ndarray, "variants classes"] = yield Logits(self.text, keep, self.fill)
        values = self.aim.value(logits)
        if ends:
            self.nothing, self.total = values[0], values[1] - values[0]
        self.largest = max(self.largest, float(np.abs(values).max()))
        rows = keep[:, self.text.content]
        self.known |= {row.tobytes(): value for row, value in zip(rows, values, strict=True)}

    def beyond_size(self, units: Coalitions, paired: bool) -> Asking[Float[np.ndarray, "units"]]:
        """Gain − the size's share of the total; of a pair, half the difference of that between the two."""
        gains = yield from self.gains(np.concatenate([units, ~units]) if paired else units)
        sizes = units.mean(axis=1)
        if not paired:
            return gains - sizes * self.total
        first, second = np.split(gains, 2)
        return (first - second - (2 * sizes - 1) * self.total) / 2


def size_weights(n: int) -> Float[np.ndarray, "sizes"]:
    """The Shapley kernel's weight of all coalitions of a size together, by size 0 … n; the ends are left out."""
    sizes = np.arange(1, n)
    return np.concatenate([[0.0], (n - 1) / (sizes * (n - sizes)), [0.0]])


def solve(
    coalitions: Coalitions, weights: Weights, gains: Float[np.ndarray, "coalitions"], total: float
) -> Float[np.ndarray, "players"]:
    """The scores φ that minimise Σ w (gain − Σ φ of the members)² and sum to the total; the most equal if many do.

    φ is the equal share of the total plus a rest that sums to 0, on which only deviations from the mean matter.
    """
    inputs = coalitions.astype(np.float64)
    size = inputs.mean(axis=1, keepdims=True)
    root = np.sqrt(weights)
    rest = np.linalg.lstsq(root[:, None] * (inputs - size), root * (gains - size[:, 0] * total), rcond=None)[0]
    scores: Float[np.ndarray, "players"] = total / inputs.shape[1] + rest
    return scores


def _all_subsets(n: int, size: int) -> Coalitions:
    return np.array(list(_subsets(n, size)))


def _subsets(n: int, size: int) -> Iterator[Bool[np.ndarray, "players"]]:
    for members in combinations(range(n), size):
        subset = np.zeros(n, dtype=bool)
        subset[list(members)] = True
        yield subset
