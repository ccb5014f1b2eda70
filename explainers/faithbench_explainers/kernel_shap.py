"""KernelSHAP (Lundberg & Lee 2017, arXiv 1705.07874), with paired sampling (Covert & Lee 2021, arXiv 2012.01536)."""

from collections.abc import Iterator
from dataclasses import dataclass
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
from faithbench_explainers.objective import objective

Coalitions = Bool[np.ndarray, "coalitions players"]
Weights = Float[np.ndarray, "coalitions"]


@dataclass(frozen=True)
class KernelShap:
    """Shapley values of the target's logit as a weighted regression over coalitions of content tokens.

    Where all 2ⁿ − 2 coalitions are no more than `n_samples`, all are asked and the values are exact. Otherwise sizes
    are taken from the outside in, 1 and n − 1 first: a pair of sizes whole while the samples left allow it; the sizes
    that remain are sampled, each coalition together with its complement. The scores sum to z(text) − z(all content
    replaced); special tokens stay and score 0.

    Args:
        n_samples: coalitions besides the empty and the full one.
        paired: sample each coalition with its complement.
        baseline: what absent tokens are replaced by, `mask` or `pad` token.
        contrastive: explain by how much the logit exceeds that of the runner-up class.
        seed: draws the coalitions, together with the text's id.
    """

    n_samples: int = 2048
    paired: bool = True
    baseline: str = "mask"
    contrastive: bool = False
    seed: int = 0
    sums_to: ClassVar[str] = "content"

    def __post_init__(self) -> None:
        check_whole("n_samples", self.n_samples, 2, 1_000_000)
        check_baseline(self.baseline)
        check_seed(self.seed)

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        aim = yield from objective(text, target, self.contrastive)
        content = text.content
        coalitions, weights = self.coalitions(text)
        keep = np.ones((2 + len(coalitions), len(text)), dtype=bool)
        keep[0, content] = False
        keep[2:, content] = coalitions
        logits: Float[np.ndarray, "variants classes"] = yield Logits(text, keep, fill_of(text, self.baseline))
        values = aim.value(logits)
        scores = np.zeros(len(text))
        scores[content] = solve(coalitions, weights, values[2:] - values[0], values[1] - values[0])
        return Attribution(text.id, target, scores)

    def coalitions(self, text: Text) -> tuple[Coalitions, Weights]:
        """Which coalitions are asked, and their weights, which sum to 1 unless there are none."""
        n, left = len(text.content), self.n_samples
        mass = size_weights(n)
        found, weights = [np.zeros((0, n), dtype=bool)], [np.zeros(0)]
        open_sizes = set(range(1, n))
        for small in range(1, n // 2 + 1):
            pair = sorted({small, n - small})
            count, share = sum(comb(n, s) for s in pair), sum(mass[s] for s in pair)
            if count > left * share / sum(mass[s] for s in open_sizes) + 1e-9:
                break
            for size in pair:
                found.append(np.array(list(_subsets(n, size))))
                weights.append(np.full(comb(n, size), mass[size] / comb(n, size)))
            open_sizes -= set(pair)
            left -= count
        if open_sizes and left:
            drawn, counts = self._drawn(text, sorted(open_sizes), mass, left)
            found.append(drawn)
            weights.append(counts / counts.sum() * sum(mass[s] for s in open_sizes))
        every = np.concatenate(weights)
        return np.concatenate(found), every / every.sum() if len(every) else every

    def _drawn(
        self, text: Text, sizes: list[int], mass: Float[np.ndarray, "sizes"], count: int
    ) -> tuple[Coalitions, Weights]:
        """Coalitions of these sizes drawn by weight, without repetitions, and how often each was drawn."""
        draws, n = generator(text, seed=self.seed), len(text.content)
        chances = np.array([mass[s] for s in sizes])
        drawn = draws.choice(sizes, size=max(1, count // 2) if self.paired else count, p=chances / chances.sum())
        places = draws.permuted(np.tile(np.arange(n), (len(drawn), 1)), axis=1)
        members = places < drawn[:, None]
        if self.paired:
            members = np.concatenate([members, ~members])
        unique, counts = np.unique(members, axis=0, return_counts=True)
        return unique, counts.astype(np.float64)


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


def _subsets(n: int, size: int) -> Iterator[Bool[np.ndarray, "players"]]:
    for members in combinations(range(n), size):
        subset = np.zeros(n, dtype=bool)
        subset[list(members)] = True
        yield subset
