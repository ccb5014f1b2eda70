"""Rankings of scores: agreement with marks, and with each other. Scores that are no numbers (NaN) give NaN.

Where equal scores leave the order open, a function gives the mean over all orders that break the ties, in closed form;
`average_precision` alone counts equal scores as one threshold, as scikit-learn does.
"""

import math
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float


def average_precision(scores: Float[np.ndarray, "n"], relevant: Bool[np.ndarray, "n"]) -> float:
    """Σ (recall_k − recall_{k−1}) · precision_k over score thresholds, highest first; NaN if nothing is relevant."""
    if not relevant.any() or np.isnan(scores).any():
        return math.nan
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(relevant[order])
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last rank of each threshold
    recalls = hits[ends] / hits[-1]
    return float((np.diff(recalls, prepend=0) * hits[ends] / (ends + 1)).sum())


def expected_hits(scores: Float[np.ndarray, "n"], relevant: Bool[np.ndarray, "n"], k: int) -> float:
    """How many of the k ≤ n highest scores are relevant; of equal ones at the limit, the mean over their orders."""
    if np.isnan(scores).any():
        return math.nan
    limit = np.sort(scores)[-k]
    above, tied = scores > limit, scores == limit
    return float(relevant[above].sum() + (k - above.sum()) * relevant[tied].mean())


def expected_reciprocal_rank(scores: Float[np.ndarray, "n"], relevant: Bool[np.ndarray, "n"]) -> float:
    """1 / rank of the first relevant score; if it has equals, the mean over their orders. NaN if nothing is relevant.

    Of m equal scores after a higher ones, e of them relevant, the first relevant one comes at place r of the m in
    C(m − r, e − 1) of the C(m, e) cases, and its rank is then a + r.
    """
    if not relevant.any() or np.isnan(scores).any():
        return math.nan
    best = scores[relevant].max()
    before, tied = int((scores > best).sum()), scores == best
    return _mean_over_places(before, int(tied.sum()), int(relevant[tied].sum()))


def chance_reciprocal_rank(many: int, few: int) -> float:
    """The mean of 1 / rank of the first relevant one over all orders of so many, of which a few are relevant, 1 up."""
    return _mean_over_places(0, many, few)


def _mean_over_places(before: int, many: int, few: int) -> float:
    places = range(1, many - few + 2)
    mean = sum(Fraction(math.comb(many - place, few - 1), before + place) for place in places)
    return float(mean / math.comb(many, few))


def spearman(one: Float[np.ndarray, "n"], other: Float[np.ndarray, "n"]) -> float:
    """Spearman's rank correlation, equal values at their mean rank; NaN if either is constant or empty."""
    if not len(one) or np.isnan(one).any() or np.isnan(other).any():
        return math.nan
    a, b = (ranks - ranks.mean() for ranks in (mean_ranks(one), mean_ranks(other)))
    norm = math.sqrt((a @ a) * (b @ b))
    return max(-1.0, min(1.0, float(a @ b) / norm)) if norm > 0 else math.nan


def mean_ranks(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Rank of each value from 1 for the smallest; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Float[np.ndarray, "n"] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def expected_average_precision(scores: Float[np.ndarray, "n"], relevant: Bool[np.ndarray, "n"]) -> float:
    """Mean over the relevant scores of the precision down to each, highest first; NaN if nothing is relevant.

    Of equal scores the mean over their orders: of m of them after a higher ones, e and h of these relevant, place j is
    relevant in e/m of the orders, and then h + 1 + (j − 1)·(e − 1)/(m − 1) of the first a + j are.
    """
    if not relevant.any() or np.isnan(scores).any():
        return math.nan
    total = 0.0
    for score in np.unique(scores[relevant]):
        before, tied = scores > score, scores == score
        above, many, few = before.sum(), tied.sum(), relevant[tied].sum()
        place = np.arange(1, many + 1)
        hits = relevant[before].sum() + 1 + (place - 1) * (few - 1) / max(many - 1, 1)
        total += float((few / many * hits / (above + place)).sum())
    return total / int(relevant.sum())


def expected_ndcg(scores: Float[np.ndarray, "n"], gains: Float[np.ndarray, "n"]) -> float:
    """Σ gain / log₂(1 + rank), highest score first, as a share of the most that is possible; NaN if no gain is above 0.

    Equal scores have the mean of their gains, which is the mean over their orders (McSherry & Najork 2008).
    """
    if not (gains > 0).any() or np.isnan(scores).any():
        return math.nan
    discounts = 1 / np.log2(np.arange(2, len(gains) + 2))
    _, place, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=gains) / counts
    return float((np.repeat(means, counts) * discounts).sum() / (np.sort(gains)[::-1] * discounts).sum())


def somers_d(scores: Float[np.ndarray, "n"], truth: Float[np.ndarray, "n"]) -> float:
    """(concordant − discordant) / pairs whose truth differs (Somers 1962); NaN if there are none.

    Kendall's τ over the pairs that the truth tells apart; equal scores count by the mean over their orders, 0.
    """
    i, j = np.triu_indices(len(truth), 1)
    apart, across = np.sign(truth[i] - truth[j]), np.sign(scores[i] - scores[j])
    pairs = np.abs(apart).sum()
    return float((apart * across).sum() / pairs) if pairs else math.nan
