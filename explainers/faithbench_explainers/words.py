"""Scores of whole words: another explainer's, summed over the pieces of each word."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking, ask
from faithbench.types import Attribution, Target, Text
from faithbench_explainers import another


@dataclass(frozen=True)
class Words:
    """Each piece of a word gets the sum of the scores of all its pieces; special tokens keep theirs.

    So metrics that rank tokens take or leave whole words (but for a word that a ratio cuts through), and explainers
    that score pieces can be compared with those that score words. Standard errors are added in squares, as if pieces
    were independent.

    Args:
        explainer: a spec, as in `words(lime(n_samples=500))`.
    """

    explainer: str
    inner = another.inner
    class_sensitive = another.class_sensitive
    version = another.version
    resolve = another.resolve

    def __post_init__(self) -> None:
        another.build_inner(self, "sum them over words")

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        return _summed(self.inner.object, text, target)

    def repeats(self) -> tuple[Callable[[Text, Target], Asking[Attribution]], ...]:
        """Those of the explainer of pieces, summed likewise; none where it has none."""
        others = self.inner.object.repeats() if self.inner.traits.repeats else ()
        return tuple(partial(_summed, other) for other in others)


def _summed(explainer: Any, text: Text, target: Target) -> Asking[Attribution]:
    """What an explainer of pieces says, summed over words."""
    found: Attribution = yield from ask(explainer, text, target)
    errors = found.standard_errors
    return replace(
        found,
        scores=by_word(text, np.asarray(found.scores, dtype=np.float64)),
        standard_errors=None if errors is None else np.sqrt(by_word(text, errors**2)),
    )


def by_word(text: Text, scores: Float[np.ndarray, "tokens"]) -> Float[np.ndarray, "tokens"]:
    """Each piece's sum over its word; tokens that belong to no word keep their own."""
    inside = text.words >= 0
    sums = np.bincount(text.words[inside], weights=scores[inside], minlength=1)
    return np.where(inside, sums[np.maximum(text.words, 0)], scores)
