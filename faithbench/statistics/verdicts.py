"""What is shown of columns measured on the same texts: one rule for tables, comparisons, boards and reports.

Pure functions on arrays; see docs/statistics.md.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

ALPHA = 0.05
NEGLIGIBLE = 1 / 40_000  # of a metric's range: smaller differences are none, whatever a test says of them
ROUNDING = 1e-4  # of values: what single precision may change where the same is computed in another way
EQUAL_TEXTS = 5  # on which two columns have to be equal, at least, to be one
NEARLY = 0.9  # of the texts of a column that alone has them
MIDDLE = (5, 95)  # percentiles of the values that stand in for a range without ends


def width_of(limits: tuple[float, float] | None, values: Float[np.ndarray, "*any"]) -> float:
    """That of a metric's range; where it has no end, of the middle 90 % of the values; 0 if there are none."""
    if limits is not None and math.isfinite(limits[1] - limits[0]):
        return limits[1] - limits[0]
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, MIDDLE) if known.size else (0.0, 0.0)
    return float(high - low)


def is_negligible(gaps: Float[np.ndarray, "*any"], widths: Float[np.ndarray, "*any"]) -> Bool[np.ndarray, "*any"]:
    """Which mean differences are none, given how wide their metrics' ranges are."""
    small: Bool[np.ndarray, "*any"] = np.abs(gaps) < NEGLIGIBLE * widths
    return small | (gaps == 0)


def least_texts(pairs: int, alpha: float = ALPHA) -> int:
    """The fewest texts on which a sign-flip test can show anything once so many pairs are corrected.

    n texts allow no p below 2^(1 − n), and Holm's correction multiplies the smallest by the number of pairs.
    """
    return 1 if pairs < 1 else math.floor(1 + math.log2(pairs / alpha)) + 1


def common_texts(measured: Bool[np.ndarray, "texts columns"]) -> Bool[np.ndarray, "texts"]:
    """The texts on which columns are compared: all those of the fullest columns.

    Where one column alone is fullest, the most texts that two have in common, if that is nearly as many.
    """
    sizes = measured.sum(axis=0)
    fullest: Bool[np.ndarray, "texts"] = _most_held(measured, measured[:, sizes == sizes.max(initial=0)])
    if (measured[fullest].all(axis=0)).sum() > 1:
        return fullest
    numbers = measured.astype(np.int64)
    shared = np.triu(numbers.T @ numbers, 1)
    places = np.argwhere(shared == shared.max(initial=0))
    common = _most_held(measured, np.stack([measured[:, i] & measured[:, j] for i, j in places], axis=1))
    return common if common.sum() >= NEARLY * fullest.sum() else fullest


def _most_held(
    measured: Bool[np.ndarray, "texts columns"], sets: Bool[np.ndarray, "texts sets"]
) -> Bool[np.ndarray, "texts"]:
    """Of several sets of texts the one that most columns hold."""
    holders = [int(measured[each].all(axis=0).sum()) for each in sets.T]
    found: Bool[np.ndarray, "texts"] = sets[:, int(np.argmax(holders))]
    return found


def enough_values(
    measured: Bool[np.ndarray, "texts columns"], defined: Bool[np.ndarray, "texts columns"], least: int
) -> Bool[np.ndarray, "columns"]:
    """Which columns were measured on all of these texts and have a value on enough of them.

    A value that is not defined does not make a text unmeasured. Enough is as many as a test needs, and half of those
    on which the fullest column has a value.
    """
    counts = defined.sum(axis=0)
    most = int(counts.max(initial=0))
    return measured.all(axis=0) & (counts >= max(1, least)) & (2 * counts >= most)


def equal_columns(
    values: Float[np.ndarray, "texts columns metrics"], widths: Float[np.ndarray, "metrics"]
) -> Int[np.ndarray, "columns"]:
    """For each column the first to which it is equal by all metrics on all texts that both have, itself if none.

    Equal are values that differ by no more than what is negligible of the metric's range, or than rounding.
    Where all values of a metric are one, it says nothing of two columns; they are equal only if another metric has
    texts enough.
    """
    found = np.arange(values.shape[1])
    for column in range(1, len(found)):
        for other in np.flatnonzero(found[:column] == np.arange(column)):
            if _are_equal(values[:, column], values[:, other], widths):
                found[column] = other
                break
    return found


def _are_equal(
    a: Float[np.ndarray, "texts metrics"], b: Float[np.ndarray, "texts metrics"], widths: Float[np.ndarray, "metrics"]
) -> bool:
    both = np.isfinite(a) & np.isfinite(b)
    sizes = np.where(both, np.maximum(np.abs(a), np.abs(b)), 0.0)
    if (np.where(both, np.abs(a - b), 0.0) > np.maximum(NEGLIGIBLE * widths, ROUNDING * sizes)).any():
        return False
    spread = np.where(both, a, -np.inf).max(axis=0, initial=-np.inf) - np.where(both, a, np.inf).min(
        axis=0, initial=np.inf
    )
    return bool((both[:, spread > NEGLIGIBLE * widths].any(axis=1)).sum() >= EQUAL_TEXTS)


def tie_groups(
    scores: Float[np.ndarray, "columns"],
    beats: Bool[np.ndarray, "columns columns"],
    tied: Bool[np.ndarray, "columns columns"],
) -> Int[np.ndarray, "columns"]:
    """Groups from the best down; 0 for a column without a score.

    Each group is led by the best that is left, and holds, from there down, whoever is tied with all that are in it:
    nobody shares a group with one that beats it, nor with one to which it could not be compared.

    Args:
        scores: higher is better.
        beats: whether the first is shown to be better than the second.
        tied: whether they were compared and neither is shown to be better.
    """
    groups = np.zeros(len(scores), dtype=np.int64)
    left = [int(i) for i in np.argsort(-scores, kind="stable") if not math.isnan(scores[i])]
    while left:
        members: list[int] = []
        for column in _best_first(left, beats):
            if tied[column, members].all():
                members.append(column)
        groups[members] = groups.max() + 1
        left = [i for i in left if i not in members]
    return groups


def _best_first(columns: Sequence[int], beats: Bool[np.ndarray, "columns columns"]) -> Iterator[int]:
    """Columns by their scores, but none before one that beats it."""
    left = list(columns)
    while left:
        chosen = next((i for i in left if not beats[left, i].any()), left[0])
        left.remove(chosen)
        yield chosen
