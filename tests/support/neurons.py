"""Neurons whose rule is known, in documents whose tokens are drawn: what tests of describers and scores are made of.

Half of the tokens are drawn from common words, half from those of the document's topic, each by Zipf's law, and all
independently: so what the best description can reach is known in closed form (`bigram_by_table`, `fitted_noise`).
"""

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from faithbench.activations import NONE, Neuron, Recording, Windows

VOCABULARY, COMMON, TOPICS = 1_500, 700, 4
DOCUMENTS, EACH, TOKENS = 400, 2, 32  # documents, windows of each, tokens of a window
SHARES = (6, 7, 10)  # tenths of the documents below which a part ends: fit, calibrate, evaluate
FIRST, SECOND = np.arange(0, 30), np.arange(30, 50)  # common words: a bigram is one of these, then one of those
UNIGRAM = np.arange(20, 40)  # words that a unigram neuron fires on, each with its strength
ODD = np.arange(COMMON, COMMON + 5)  # of one topic
TENTH = 0.1  # the value that a stuck neuron always has, whose mean is not itself but for rounding
DENSE = 5.0  # how far a dense neuron is above 0
Rule = Callable[[Windows], Float[np.ndarray, "windows tokens"]]


@cache
def word_shares() -> Float[np.ndarray, "topics vocabulary"]:
    """How often each word is drawn in documents of each topic."""
    shares = np.zeros((TOPICS, VOCABULARY))
    shares[:, :COMMON] = zipf(COMMON) / 2
    own = (VOCABULARY - COMMON) // TOPICS
    for topic in range(TOPICS):
        start = COMMON + topic * own
        shares[topic, start : start + own] = zipf(own) / 2
    return shares


def zipf(words: int) -> Float[np.ndarray, "words"]:
    """Shares that fall as 1 / rank, nearly."""
    weights = 1 / (np.arange(words) + 3.0)
    return weights / weights.sum()


@cache
def corpus(seed: int = 0, documents: int = DOCUMENTS, each: int = EACH, tokens: int = TOKENS) -> Windows:
    """Windows of documents; the topic of document i is i modulo `TOPICS`."""
    draws = np.random.default_rng(seed)
    texts = [draws.choice(VOCABULARY, each * tokens, p=word_shares()[number % TOPICS]) for number in range(documents)]
    ids = np.concatenate([text.reshape(each, tokens) for text in texts])
    following = np.concatenate([np.append(text[tokens::tokens], NONE) for text in texts])
    return Windows(ids, np.repeat(np.arange(documents), each), following, tuple(f"w{i}" for i in range(VOCABULARY)))


def part(windows: Windows, number: int) -> Windows:
    """Those of the documents to fit (0), to calibrate (1), to evaluate (2)."""
    tenths = windows.documents // TOPICS % 10
    return windows.take(np.flatnonzero(np.searchsorted(SHARES, tenths, side="right") == number))


def table_of(words: Int[np.ndarray, "words"], strengths: Float[np.ndarray, "words"] | float = 1.0) -> np.ndarray:
    """A number for each word of the vocabulary and, last, for `NONE`."""
    table = np.zeros(VOCABULARY + 1)
    table[words] = strengths
    return table


def unigram(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Fires on some words."""
    return table_of(UNIGRAM, 1 + np.arange(len(UNIGRAM)) / 10)[windows.ids]


def bigram(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Fires on some words behind some others; never on a window's first token."""
    before = np.concatenate([np.full((len(windows), 1), NONE), windows.ids[:, :-1]], axis=1)
    return table_of(FIRST)[before] * table_of(SECOND)[windows.ids]


def topic(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Fires on everything in documents of topic 0."""
    return np.repeat((windows.documents % TOPICS == 0)[:, None], windows.ids.shape[1], axis=1).astype(np.float64)


def next_token(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Fires before some words."""
    return table_of(UNIGRAM)[windows.next_ids]


def position(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Rises along a window."""
    return np.tile(np.arange(windows.ids.shape[1], dtype=np.float64), (len(windows), 1))


def noise(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Draws that belong to a window, above 0 on half of the tokens."""
    return np.maximum(0, np.stack([_drawn(row) for row in windows.ids]))


def dead(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Never fires."""
    return np.zeros(windows.ids.shape)


def dense(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Always fires, more on some words."""
    return DENSE + unigram(windows)


def gelu(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """GELU of a number for each word: below 0 for most, never below −0.17."""
    inputs = table_of(np.arange(VOCABULARY), np.random.default_rng(1).normal(-0.7, 1, VOCABULARY))[windows.ids]
    return inputs * (1 + np.vectorize(math.erf)(inputs / math.sqrt(2))) / 2


def stuck(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """The same number on every token."""
    return np.full(windows.ids.shape, TENTH)


def rare(windows: Windows) -> Float[np.ndarray, "windows tokens"]:
    """Fires on a few words of one topic."""
    return table_of(ODD)[windows.ids]


RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (unigram, bigram, topic, next_token, position, noise, dead, stuck, dense, gelu, rare)
}


def _drawn(row: Int[np.ndarray, "tokens"]) -> Float[np.ndarray, "tokens"]:
    return np.random.default_rng(zlib.crc32(row.tobytes())).normal(size=len(row))


def bigram_by_table() -> float:
    """Correlation of a bigram neuron with the best table of current tokens, in percent.

    With p the share of second words and q that of tokens behind a first word, which a window's first token is never,
    the table's best is q on second words: √(q (1 − p) / (1 − p q)).
    """
    common = word_shares()[0]
    p, q = float(common[SECOND].sum()), float(common[FIRST].sum()) * (TOKENS - 1) / TOKENS
    return 100 * math.sqrt(q * (1 - p) / (1 - p * q))


def fitted_noise(fit: Recording) -> float:
    """Correlation, in percent, of noise with the means of tokens over the same noise: √((types − 1) / (tokens − 1))."""
    return 100 * math.sqrt((len(np.unique(fit.windows.ids)) - 1) / (fit.windows.ids.size - 1))


def recorded(rule: Rule, windows: Windows) -> Recording:
    """What a neuron of this rule does."""
    return Recording(windows, rule(windows))


def neuron(rule: Rule, windows: Windows | None = None, unit: str = "") -> Neuron:
    """A neuron of this rule, in the parts of a corpus."""
    windows = corpus() if windows is None else windows
    parts = (recorded(rule, part(windows, number)) for number in range(3))
    return Neuron(unit or f"layers.0.{rule.__name__}:7", 0, 7, *parts)


@dataclass(frozen=True)
class Said:
    """A description that predicts by a rule."""

    rule: Rule
    text: str = "a rule"
    bits: float = 8.0

    def simulate(self, windows: Windows) -> Float[np.ndarray, "windows tokens"]:
        return self.rule(windows)


def token_table(fit: Recording, smoothing: float = 1.0) -> Said:
    """The smoothed mean of each token, (Σa + κ·mean) / (n + κ), by a loop."""
    sums, counts = np.zeros(VOCABULARY), np.zeros(VOCABULARY)
    for token, activation in zip(fit.windows.ids.ravel(), fit.activations.ravel(), strict=True):
        sums[token] += activation
        counts[token] += 1
    means = (sums + smoothing * fit.activations.mean()) / np.maximum(counts + smoothing, 1)
    return Said(lambda windows: means[windows.ids], "a table")
