"""What each part of a text does for a yes or no that is a known function of the parts that are there.

Responsibility: Chockler & Halpern 2004 (arXiv cs/0312038); Shapley value: Shapley 1953. Both exact, by going through
all sets of parts.
"""

import math
from collections.abc import Callable, Collection, Mapping
from itertools import combinations

Holds = Callable[[Collection[int]], bool]  # of the parts that are left, by their numbers


def responsibilities(parts: int, holds: Holds) -> tuple[float, ...]:
    """1 / (1 + the least number of other parts to take away until taking this one away undoes what held), 0 if none.

    With those others taken away it must still hold, so that this part alone undoes it.

    Args:
        parts: how many.
        holds: of all of them it must be true.
    """
    known = {left: holds(left) for left in _smallest_first(parts)}
    return tuple(_responsibility(part, known, parts) for part in range(parts))


def _responsibility(part: int, known: Mapping[frozenset[int], bool], parts: int) -> float:
    whole = frozenset(range(parts))
    for others in known:
        if part not in others and known[whole - others] and not known[whole - others - {part}]:
            return 1 / (1 + len(others))
    return 0.0


def shapley_values(parts: int, holds: Holds) -> tuple[float, ...]:
    """How much a part adds to what holds (1) or not (0), the mean over all orders in which parts can come."""
    known = {left: holds(left) for left in _smallest_first(parts)}
    weights = [math.factorial(size) * math.factorial(parts - size - 1) for size in range(parts)]
    sums = [
        sum(weights[len(before)] * (known[before | {part}] - known[before]) for before in known if part not in before)
        for part in range(parts)
    ]
    return tuple(total / math.factorial(parts) for total in sums)


def _smallest_first(parts: int) -> list[frozenset[int]]:
    return [frozenset(chosen) for size in range(parts + 1) for chosen in combinations(range(parts), size)]
