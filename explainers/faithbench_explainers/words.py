"""Scores of whole words: another explainer's, summed over the pieces of each word."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking, ask
from faithbench.plugins import spec
from faithbench.plugins.spec import Component
from faithbench.types import Attribution, Target, Text


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

    def __post_init__(self) -> None:
        if spec.parse(self.explainer)[0] == "imported":
            raise ValueError("imported attributions never run; sum them over words before they are imported.")
        built = spec.build("explainer", self.explainer)
        object.__setattr__(self, "explainer", built.identity)
        object.__setattr__(self, "inner", built)

    @cached_property
    def inner(self) -> Component:
        """The explainer of pieces."""
        return spec.build("explainer", self.explainer)

    @property
    def class_sensitive(self) -> bool:
        """As the explainer of pieces."""
        return self.inner.traits.class_sensitive

    @property
    def version(self) -> int:
        """As the explainer of pieces."""
        return self.inner.traits.version

    def resolve(self) -> None:
        """Lets the explainer of pieces import what it needs."""
        getattr(self.inner.object, "resolve", lambda: None)()

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
