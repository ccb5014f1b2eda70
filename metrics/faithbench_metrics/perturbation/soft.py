"""What soft comprehensiveness and soft sufficiency share (Zhao & Aletras 2023, arXiv 2305.10496).

How much of a text is kept depends on the shape of the scores there, which rewards scores for their mean. So scores are
shifted until the expected share is a given one, as arXiv 2601.03089 asks (π-Soft-NC, π-Soft-NS); that it is done by a
shift, and which shares are taken, is our choice.
"""

import math

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.draws import generator
from faithbench.parameters import check_seed, check_whole
from faithbench.probability import probabilities
from faithbench.questions import Embeddings, LogitsAt
from faithbench.types import Attribution, Text

EXPECTED = (0.1, 0.3, 0.5, 0.7, 0.9)  # the shares of embedding elements that are meant, whatever the scores


def check_erasures(draws: int, seed: int) -> None:
    """Raises a ValueError for anything but a number of draws that makes sense, and a seed."""
    check_whole("draws", draws, 1, 10_000)
    check_seed(seed)


def soft_drops(
    text: Text, attribution: Attribution, draws: int, seed: int, remove: bool
) -> Asking[tuple[float, float]]:
    """How far the target's probability falls, 0 where it rises: with elements erased at random, and with all of them.

    Each element of a content token's embedding is kept with a probability that is the token's share, or without (for
    `remove`) 1 − its share; the drop is the mean over the expected shares and the draws, the same draws for all shares.
    """
    whole = np.ones((1, len(text)), dtype=bool)
    (embeddings,) = yield Embeddings(text, whole)
    likely = shares(text, attribution.scores)
    likely = np.where(text.special, 1.0, 1 - likely if remove else likely)
    noise = generator(text, "elements", seed).random((draws, *embeddings.shape))
    kept = (noise < likely[:, None, :, None]).reshape(-1, *embeddings.shape)
    kept = np.concatenate([kept, np.broadcast_to(text.special[:, None], (1, *embeddings.shape))])
    rows = np.concatenate([embeddings[None], np.where(kept, embeddings, 0)]).astype(embeddings.dtype)
    logits: Float[np.ndarray, "rows classes"] = yield LogitsAt(text, rows)
    chances = probabilities(logits, text.link)[:, attribution.target]
    drops = np.maximum(0, chances[0] - chances[1:])
    return float(drops[:-1].mean()), float(drops[-1])


def shares(text: Text, scores: Float[np.ndarray, "tokens"]) -> Float[np.ndarray, "expected tokens"]:
    """For each expected share, shares of the content tokens whose mean it is, in the order of their scores."""
    content = scores[text.content].astype(np.float64)
    found = np.zeros((len(EXPECTED), len(text)))
    if len(content):
        found[:, text.content] = [shifted(unit_interval(content), mean) for mean in EXPECTED]
    return found


def unit_interval(scores: Float[np.ndarray, "content"]) -> Float[np.ndarray, "content"]:
    """Scores brought to 0 … 1 by their least and largest; all 0 where they are equal."""
    above = scores - scores.min()
    return above / above.max() if above.max() > 0 else above


def shifted(values: Float[np.ndarray, "content"], mean: float) -> Float[np.ndarray, "content"]:
    """Values of 0 … 1, all moved by the same amount and cut off at 0 and 1, so that they have this mean.

    There is just one such amount for a mean between 0 and 1: the mean is a piecewise linear function of it that rises.
    """
    amounts = np.unique(np.concatenate([-values, 1 - values]))
    means = np.clip(values + amounts[:, None], 0, 1).mean(axis=1)
    moved: Float[np.ndarray, "content"] = np.clip(values + np.interp(mean, means, amounts), 0, 1)
    return moved


def ratio(part: float, whole: float) -> float:
    """The share of the whole in percent; NaN if there is none."""
    return 100 * part / whole if whole > 0 else math.nan
