"""Scores of somebody else's words or tokens, as scores of the tokens of a text."""

import numpy as np
from jaxtyping import Float

from faithbench.types import Text

Scores = Float[np.ndarray, "tokens"]


def spread(text: Text, scores: Scores) -> Scores:
    """Scores of tokens, of content tokens or of words; each piece of a word gets the word's, special tokens 0.

    Raises:
        ValueError: there are as many scores as none of them has.
    """
    content, words = text.content, np.unique(text.words[text.content])
    if len(scores) == len(text):
        return scores
    out = np.zeros(len(text))
    if len(scores) == len(content):
        out[content] = scores
    elif len(scores) == len(words):
        out[content] = scores[np.searchsorted(words, text.words[content])]
    else:
        raise ValueError(
            f"{len(scores)} scores for {len(text)} tokens, {len(content)} of them not special, in {len(words)} words"
            f"{' (the model cuts the text)' if text.truncated else ''}; tokens would say which is whose"
        )
    return out
