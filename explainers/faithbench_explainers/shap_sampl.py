"""Shapley values by sampled permutations (Štrumbelj & Kononenko 2010, JMLR 11)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from faithbench.conversations import Asking
from faithbench.draws import generator
from faithbench.parameters import check_choice, check_seed, check_whole
from faithbench.questions import Logits
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.baselines import check_baseline, fill_of
from faithbench_explainers.objective import objective
from faithbench_explainers.stopping import ADDED, FIRST, Estimate, Rule, sampled

PROTOCOLS = ("strict", "paper")


@dataclass(frozen=True)
class ShapSampl:
    """Mean change of the target's logit when a token joins those before it, over random orders of the tokens.

    The scores of a text sum to z(text) − z(all players replaced). `standard_errors` are those of the means. Tokens that
    are no players score 0.

    Args:
        n_permutations: random orders, drawn anew for each text; with a rule for stopping, the most of them.
        antithetic: draw half of them and use each backwards too, which often lowers the variance.
        baseline: what absent tokens are replaced by, `mask` or `pad` token.
        protocol: `strict` has the content tokens as players, `paper` special tokens too.
        contrastive: explain by how much the logit exceeds that of the runner-up class.
        seed: draws the orders, together with the text's id.
        tolerance: stop once the largest standard error is at most this share of the gap between the largest and the
            smallest score; 0 for never. `notes` say how many orders were used and whether it was reached.
        settled: stop once so many highest tokens are known instead, up to the tolerance; 0 for not at all.
    """

    n_permutations: int = 25
    antithetic: bool = False
    baseline: str = "mask"
    protocol: str = "strict"
    contrastive: bool = False
    seed: int = 0
    tolerance: float = 0.0
    settled: int = 0
    added: ClassVar[tuple[str, ...]] = ADDED
    dear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole("n_permutations", self.n_permutations, 1, 10_000)
        check_baseline(self.baseline)
        check_seed(self.seed)
        if self.antithetic and self.n_permutations % 2:
            raise ValueError(f"n_permutations={self.n_permutations!r} is not allowed with antithetic; it must be even.")
        check_choice("protocol", self.protocol, PROTOCOLS)
        Rule(self.tolerance, self.settled)

    @property
    def sums_to(self) -> str:
        """What the logit gains by all players."""
        return "content" if self.protocol == "strict" else "tokens"

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        aim = yield from objective(text, target, self.contrastive)
        players = text.content if self.protocol == "strict" else np.arange(len(text))
        rule, walk = Rule(self.tolerance, self.settled), _Walk(self, text, aim, players)
        most = self.n_permutations // walk.together
        found, count, met = yield from sampled(rule, rule.looks(FIRST, most), walk)
        scores, errors = np.zeros(len(text)), np.zeros(len(text))
        scores[players], errors[players] = found.scores, found.errors
        known, notes = found.freedom >= 1, rule.notes("n_permutations", count * walk.together, met)
        return Attribution(text.id, target, scores, notes, standard_errors=errors if known else None)

    def orders(self, text: Text, players: int) -> Int[np.ndarray, "orders players"]:
        """The orders in which players join; antithetic ones follow each other."""
        count = self.n_permutations // 2 if self.antithetic else self.n_permutations
        return _orders(generator(text, seed=self.seed), players, count, self.antithetic)


class _Walk:
    """The changes along the orders so far, of which more are drawn and asked when they are needed."""

    def __init__(self, explainer: ShapSampl, text: Text, aim: Target, players: Int[np.ndarray, "players"]) -> None:
        self.explainer, self.text, self.aim, self.players = explainer, text, aim, players
        self.together = 2 if explainer.antithetic else 1  # orders that make one sample
        self.draws = generator(text, seed=explainer.seed)
        self.ends = np.zeros(0)  # values without and with all players
        self.largest = 0.0
        self.changes: Float[np.ndarray, "samples players"] = np.zeros((0, len(players)))

    def __call__(self, count: int) -> Asking[Estimate]:
        """The mean change over so many samples."""
        more = _orders(self.draws, len(self.players), count - len(self.changes), self.explainer.antithetic)
        changes = yield from self._along(more)
        changes = changes.reshape(-1, self.together, len(self.players)).mean(axis=1) if self.together > 1 else changes
        self.changes = np.concatenate([self.changes, changes])
        return mean_of(self.changes, self.largest)

    def _along(self, orders: Int[np.ndarray, "orders players"]) -> Asking[Float[np.ndarray, "orders players"]]:
        """By how much each player's joining changes the value."""
        places, n = np.argsort(orders, axis=1), len(self.players)  # places of each player in each order
        joined = places[:, None, :] < np.arange(1, n)[None, :, None]
        first = 0 if len(self.ends) else 2
        keep = np.ones((first + joined.shape[0] * joined.shape[1], len(self.text)), dtype=bool)
        keep[: first // 2, self.players] = False
        keep[first:, self.players] = joined.reshape(-1, n)
        values = np.zeros(0)
        if len(keep):
            logits: Float[np.ndarray, "variants classes"] = yield Logits(
                self.text, keep, fill_of(self.text, self.explainer.baseline)
            )
            values = self.aim.value(logits)
            self.largest = max(self.largest, float(np.abs(values).max()))
        if first:
            self.ends = values[:2]
        ends = np.tile(self.ends, (len(orders), 1))
        steps = np.diff(np.column_stack([ends[:, :1], values[first:].reshape(joined.shape[:2]), ends[:, 1:]]), axis=1)
        return np.take_along_axis(steps, places, axis=1)


def _orders(
    draws: np.random.Generator, players: int, count: int, antithetic: bool
) -> Int[np.ndarray, "orders players"]:
    """Random orders; each followed by itself backwards if antithetic."""
    drawn = np.array([draws.permutation(players) for _ in range(count)])
    return np.stack([drawn, drawn[:, ::-1]], axis=1).reshape(-1, players) if antithetic else drawn


def mean_of(changes: Float[np.ndarray, "samples players"], largest: float) -> Estimate:
    """The mean of independent samples."""
    count, scores = len(changes), changes.mean(axis=0)
    if count < 2:
        return Estimate(scores, np.zeros(len(scores)), np.zeros((len(scores), len(scores))), 0, largest)
    errors, apart = changes.std(axis=0, ddof=1) / np.sqrt(count), changes - scores
    return Estimate(scores, errors, apart.T @ apart / (count - 1) / count, count - 1, largest)
