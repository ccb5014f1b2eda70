"""What soft comprehensiveness and soft sufficiency share (Zhao & Aletras 2023, arXiv 2305.10496)."""

import math

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.draws import generator
from faithbench.parameters import check_seed, check_whole
from faithbench.probability import probabilities
from faithbench.questions import Embeddings, LogitsAt
from faithbench.types import Attribution, Text


def check_erasures(draws: int, seed: int) -> None:
    """Raises a ValueError for anything but a number of draws that makes sense, and a seed."""
    check_whole("draws", draws, 1, 10_000)
    check_seed(seed)


def soft_drops(
    text: Text, attribution: Attribution, draws: int, seed: int, remove: bool
) -> Asking[tuple[float, float]]:
    """How far the target's probability falls, 0 where it rises: with elements erased at random, and with all of them.

    Each element of a content token's embedding is kept with a probability that is the token's share, or without (for
    `remove`) 1 − its share; the drop is the mean over the draws.
    """
    whole = np.ones((1, len(text)), dtype=bool)
    (embeddings,) = yield Embeddings(text, whole)
    likely = shares(text, attribution.scores)
    likely = np.where(text.special, 1.0, 1 - likely if remove else likely)
    noise = generator(text, "elements", seed).random((draws, *embeddings.shape))
    kept = np.concatenate([noise < likely[:, None], np.broadcast_to(text.special[:, None], (1, *embeddings.shape))])
    rows = np.concatenate([embeddings[None], np.where(kept, embeddings, 0)]).astype(embeddings.dtype)
    logits: Float[np.ndarray, "rows classes"] = yield LogitsAt(text, rows)
    chances = probabilities(logits, text.link)[:, attribution.target]
    drops = np.maximum(0, chances[0] - chances[1:])
    return float(drops[:-1].mean()), float(drops[-1])


def shares(text: Text, scores: Float[np.ndarray, "tokens"]) -> Float[np.ndarray, "tokens"]:
    """Scores of content tokens, brought to 0 … 1 by their least and largest; all 1/2 where they are equal."""
    content = scores[text.content].astype(np.float64)
    found = np.zeros(len(text))
    if len(content):
        least, most = content.min(), content.max()
        found[text.content] = (content - least) / (most - least) if most > least else 0.5
    return found


def ratio(part: float, whole: float) -> float:
    """The share of the whole in percent; NaN if there is none."""
    return 100 * part / whole if whole > 0 else math.nan
