"""Tokens in the order of their scores, and the masks of taking the first of them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.types import Text


def ranked(text: Text, scores: Float[np.ndarray, "tokens"], last_first: bool = False) -> Int[np.ndarray, "content"]:
    """Content positions, highest signed score first. Ties: first position first, or last."""
    content = text.content[::-1] if last_first else text.content
    return content[np.argsort(-scores[content], kind="stable")]


def first_of(text: Text, order: Int[np.ndarray, "content"], sizes: Sequence[int]) -> Bool[np.ndarray, "sizes tokens"]:
    """For each size, which tokens are among so many first of the order."""
    taken = np.zeros((len(sizes), len(text)), dtype=bool)
    for row, size in zip(taken, sizes, strict=True):
        row[order[:size]] = True
    return taken


def each_alone(text: Text) -> Bool[np.ndarray, "content tokens"]:
    """A row for each content token, in which it alone is marked."""
    marked: Bool[np.ndarray, "content tokens"] = text.content[:, None] == np.arange(len(text))
    return marked


def all_and_without_each(text: Text) -> Bool[np.ndarray, "variants tokens"]:
    """What to keep: first everything, then everything but one content token at a time."""
    return np.concatenate([np.ones((1, len(text)), dtype=bool), ~each_alone(text)])


def even_sizes(tokens: int, steps: int) -> list[int]:
    """From 0 to all tokens in at most so many steps, as even as whole numbers can be."""
    count = min(tokens, steps)
    return [tokens * step // count for step in range(count + 1)] if count else [0]
