"""Shapley values by sampled permutations (Štrumbelj & Kononenko 2010, JMLR 11)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from faithbench.conversations import Asking
from faithbench.draws import generator
from faithbench.parameters import check_choice, check_seed, check_whole
from faithbench.questions import Logits
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.baselines import check_baseline, fill_of
from faithbench_explainers.objective import objective

PROTOCOLS = ("strict", "paper")


@dataclass(frozen=True)
class ShapSampl:
    """Mean change of the target's logit when a token joins those before it, over random orders of the tokens.

    The scores of a text sum to z(text) − z(all players replaced). `standard_errors` are those of the means. Tokens that
    are no players score 0.

    Args:
        n_permutations: random orders, drawn anew for each text.
        antithetic: draw half of them and use each backwards too, which often lowers the variance.
        baseline: what absent tokens are replaced by, `mask` or `pad` token.
        protocol: `strict` has the content tokens as players, `paper` special tokens too.
        contrastive: explain by how much the logit exceeds that of the runner-up class.
        seed: draws the orders, together with the text's id.
    """

    n_permutations: int = 25
    antithetic: bool = False
    baseline: str = "mask"
    protocol: str = "strict"
    contrastive: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("n_permutations", self.n_permutations, 1, 10_000)
        check_baseline(self.baseline)
        check_seed(self.seed)
        if self.antithetic and self.n_permutations % 2:
            raise ValueError(f"n_permutations={self.n_permutations!r} is not allowed with antithetic; it must be even.")
        check_choice("protocol", self.protocol, PROTOCOLS)

    @property
    def sums_to(self) -> str:
        """What the logit gains by all players."""
        return "content" if self.protocol == "strict" else "tokens"

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        aim = yield from objective(text, target, self.contrastive)
        players = text.content if self.protocol == "strict" else np.arange(len(text))
        orders = self.orders(text, len(players))
        places = np.argsort(orders, axis=1)  # of each player in each order
        joined = places[:, None, :] < np.arange(1, len(players))[None, :, None]
        keep = np.ones((2 + joined.shape[0] * joined.shape[1], len(text)), dtype=bool)
        keep[0, players] = False
        keep[2:, players] = joined.reshape(-1, len(players))
        logits: Float[np.ndarray, "variants classes"] = yield Logits(text, keep, fill_of(text, self.baseline))
        values = aim.value(logits)
        ends = np.tile(values[:2], (len(orders), 1))
        steps = np.diff(np.column_stack([ends[:, :1], values[2:].reshape(joined.shape[:2]), ends[:, 1:]]), axis=1)
        changes = np.take_along_axis(steps, places, axis=1)
        if self.antithetic:
            changes = changes.reshape(-1, 2, len(players)).mean(axis=1)
        scores, errors = np.zeros(len(text)), np.zeros(len(text))
        scores[players] = changes.mean(axis=0)
        if len(changes) > 1:
            errors[players] = changes.std(axis=0, ddof=1) / np.sqrt(len(changes))
        return Attribution(text.id, target, scores, standard_errors=errors if len(changes) > 1 else None)

    def orders(self, text: Text, players: int) -> Int[np.ndarray, "orders players"]:
        """The orders in which players join; antithetic ones follow each other."""
        draws = generator(text, seed=self.seed)
        count = self.n_permutations // 2 if self.antithetic else self.n_permutations
        drawn = np.array([draws.permutation(players) for _ in range(count)])
        return np.stack([drawn, drawn[:, ::-1]], axis=1).reshape(-1, players) if self.antithetic else drawn
