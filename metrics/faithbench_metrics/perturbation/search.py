"""Search for the order in which a text's tokens matter most to a model (after Hase et al. 2021, arXiv 2106.00786).

Greedy or beam search. Gains are updated lazily, as in lazy greedy search (Minoux 1978): a step tries only the tokens
whose gain was largest when it was last measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.conversations import Asking, gather
from faithbench.types import Target, Text
from faithbench_metrics.perturbation.operators import Operator

Order = Int[np.ndarray, "content"]  # positions, most important first


@dataclass(frozen=True)
class Search:
    """Candidates for the best order; what they are does not depend on any explainer.

    Args:
        operator: how tokens are taken away.
        beam: partial orders kept; 1 is greedy search.
        width: tokens that a step tries on each of them.
        worst: search for the order in which tokens matter least instead.
    """

    operator: Operator
    beam: int
    width: int
    worst: bool = False

    def candidates(self, text: Text, target: Target) -> Asking[list[Order]]:
        """Orders by what each token does alone, and those that removal and insertion end with.

        At most 2 · (n + 1) + 2 · beam · width · n rows for n content tokens.
        """
        searches = [self._search(text, target, remove) for remove in (True, False)]
        removals, insertions = yield from gather(searches)
        lost, won = removals.first, insertions.first
        alone = [text.content[np.argsort(-gains, kind="stable")] for gains in (lost, np.abs(lost), won, lost + won)]
        return [*alone, *removals.orders, *insertions.orders]

    def _search(self, text: Text, target: Target, remove: bool) -> Asking["_Found"]:
        """Takes tokens away so that the probability falls early, or puts them in so that it rises early."""
        tokens = len(text.content)
        start = [(), *((token,) for token in range(tokens))]
        costs = yield from self._costs(text, target, start, remove)
        first = costs[0] - costs[1:]
        states = [_State((), float(costs[0]), 0.0, first)]
        for _ in range(tokens):
            tried = [state.worth_trying(self.width) for state in states]
            rows = [(*state.order, token) for state, some in zip(states, tried, strict=True) for token in some]
            costs = yield from self._costs(text, target, rows, remove)
            children: list[_State] = []
            for state, some in zip(states, tried, strict=True):
                children += state.children(some, costs[: len(some)])
                costs = costs[len(some) :]
            states = _best(children, self.beam)
        return _Found(first, [text.content[list(state.order)] for state in states])

    def _costs(
        self, text: Text, target: Target, orders: Sequence[tuple[int, ...]], remove: bool
    ) -> Asking[Float[np.ndarray, "orders"]]:
        """What is to be made small: the probability without these tokens, or minus that with no others.

        For the worst order the other way round.
        """
        taken: Bool[np.ndarray, "orders tokens"] = np.zeros((len(orders), len(text)), dtype=bool)
        for row, order in zip(taken, orders, strict=True):
            row[text.content[list(order)]] = True
        chances = (yield from self.operator.chances(text, ~taken if remove else taken | text.special))[:, target]
        chances = np.nan_to_num(chances)  # the search goes on; the metric will say that it is not defined
        return chances if remove != self.worst else -chances


@dataclass(frozen=True, eq=False)
class _Found:
    """What each token alone does to the probability, taken away from all or put to none; and the orders at the end."""

    first: Float[np.ndarray, "content"]
    orders: list[Order]


@dataclass(frozen=True, eq=False)
class _State:
    """Part of an order: what it costs now, what it has cost so far, and what each other token last saved."""

    order: tuple[int, ...]
    cost: float
    total: float
    gains: Float[np.ndarray, "content"]  # −∞ for tokens that are taken

    def worth_trying(self, width: int) -> list[int]:
        most = np.argsort(-self.gains, kind="stable")[:width]
        return [int(token) for token in most if np.isfinite(self.gains[token])]

    def children(self, tokens: Sequence[int], costs: Float[np.ndarray, "tokens"]) -> list["_State"]:
        gains = self.gains.copy()
        gains[list(tokens)] = self.cost - costs
        found = []
        for token, cost in zip(tokens, map(float, costs), strict=True):
            left = gains.copy()
            left[token] = -np.inf
            found.append(_State((*self.order, token), cost, self.total + cost, left))
        return found


def _best(states: Sequence[_State], beam: int) -> list[_State]:
    """Those that cost least so far, one for each set of tokens."""
    best: dict[frozenset[int], _State] = {}
    for state in sorted(states, key=lambda state: state.total):
        best.setdefault(frozenset(state.order), state)
    return list(best.values())[:beam]
