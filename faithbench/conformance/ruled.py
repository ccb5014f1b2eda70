"""Neurons whose rule is known, to try describers and scores on: some words, some words before others, nothing."""

import math
import zlib
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from faithbench.activations import NONE, Neuron, Overwritten, Recording, Windows

Rule = Callable[[Windows], Float[np.ndarray, "windows tokens"]]
WORDS, DOCUMENTS, EACH, TOKENS = 30, 60, 2, 16
SHARES = (6, 7, 10)  # tenths of the documents below which a part ends
STRENGTHS = np.where(np.arange(WORDS) % 6 == 2, 1 + np.arange(WORDS) / 8, 0)  # exact in half precision


def words(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Fires on every sixth word."""
    return STRENGTHS[windows.ids]


def before(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Fires where such a word comes next."""
    return np.append(STRENGTHS, 0)[windows.next_ids]


def never(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Does not fire."""
    return np.zeros(windows.ids.shape)


RULES: Mapping[str, Rule] = {f"layers.0.{rule.__name__}:0": rule for rule in (words, before, never)}


def drawn(draw: int) -> Rule:
    """A number for each token, drawn, which says nothing of any neuron."""
    return lambda windows: np.stack([_drawn(draw, row) for row in windows.ids])


def rule_of(neuron: Neuron) -> Rule:
    """The rule of one of the neurons."""
    return RULES[neuron.unit]


def neurons() -> tuple[Neuron, ...]:
    """One of each rule, in the same documents, of which six in ten are to fit and three to evaluate."""
    windows = _windows()
    tenths = windows.documents % 10
    parts = [windows.take(np.flatnonzero(np.searchsorted(SHARES, tenths, side="right") == part)) for part in range(3)]
    return tuple(Neuron(name, 0, 0, *(Recording(part, rule(part)) for part in parts)) for name, rule in RULES.items())


def moved(question: Overwritten, rule: Rule) -> Float[np.ndarray, "windows tokens"]:
    """What a model whose divergence grows with the square of a neuron's distance from its rule would answer."""
    return np.minimum(math.log(2), (question.values - rule(question.windows)) ** 2 / 64)


def _windows() -> Windows:
    texts = np.random.default_rng(0).integers(WORDS, size=(DOCUMENTS, EACH * TOKENS))
    following = np.append(texts, np.full((DOCUMENTS, 1), NONE), axis=1)[:, TOKENS::TOKENS]
    names = tuple(f"w{word}" for word in range(WORDS))
    return Windows(texts.reshape(-1, TOKENS), np.repeat(np.arange(DOCUMENTS), EACH), following.ravel(), names)


def _drawn(draw: int, row: np.ndarray) -> Float[np.ndarray, "tokens"]:
    return np.random.default_rng([draw, zlib.crc32(np.ascontiguousarray(row).tobytes())]).normal(size=len(row))
