"""Hands scores over from one side's tokens to the other's, where both spell the same."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from faithbench.importing.spelling import Ends
from faithbench.tokens import Scores
from faithbench.types import Text

SPACES = "▁ĠĊĉ \n\t"  # as tokenizers write them
LONGEST = 40  # letters of a token that an error shows


def shared(own: Sequence[str], tokens: Sequence[str], ours: Ends, theirs: Ends, scores: Scores) -> Scores:
    """Scores handed over between every two places where both sides have a boundary; 0 for what spells nothing.

    Args:
        own: the model's tokens.
        tokens: the other side's.
        ours: where in the common spelling the model's end.
        theirs: where the other side's end.
        scores: of the other side's.

    Raises:
        ValueError: between two such places both sides have several tokens.
    """
    out = np.zeros(len(own))
    mine, solid = _solid(ours), _solid(theirs)
    sums = scores[solid]
    for i in np.setdiff1d(np.arange(len(tokens)), solid):
        within = theirs[i] > 0 and theirs[i] not in ours  # one of the model's tokens
        if within or not tokens[i].strip(SPACES):  # a space that stands alone is a piece of what follows
            sums[min(int(np.searchsorted(solid, i)), len(solid) - 1)] += scores[i]
    i = j = 0
    while i < len(mine) and j < len(solid):
        a, b, i, j = i, j, i + 1, j + 1
        while ours[mine[i - 1]] != theirs[solid[j - 1]]:
            if ours[mine[i - 1]] > theirs[solid[j - 1]] and j < len(solid):
                j += 1
            elif ours[mine[i - 1]] < theirs[solid[j - 1]] and i < len(mine):
                i += 1
            else:
                break  # the model cuts the text inside the other side's token, or inside a letter
        if i - a > 1 and j - b > 1:
            raise ValueError(
                f"the file divides {listed([tokens[k] for k in solid[b:j]])} otherwise than the model, which has "
                f"{listed([own[k] for k in mine[a:i]])}; scores of whole words would do"
            )
        out[mine[a:i]] = sums[b:j].sum()
    return out


def filled(text: Text, ends: Ends, scores: Scores) -> Scores:
    """Scores in which a token that spells nothing has that of the next token of its word, or of the one before."""
    words, solid = text.words[text.content], _solid(ends)
    for i in np.setdiff1d(np.arange(len(scores)), solid):
        near = [k for k in (*solid[solid > i][:1], *solid[solid < i][-1:]) if words[k] == words[i]]
        if near:
            scores[i] = scores[near[0]]
    return scores


def _solid(ends: Ends) -> Int[np.ndarray, "solid"]:
    """Positions of the tokens that spell something."""
    return np.flatnonzero(np.diff(ends, prepend=0.0) > 0)


def listed(tokens: Sequence[object]) -> str:
    """Tokens as an error shows them."""
    shown = [repr(token) for token in tokens]
    return " ".join(each if len(each) <= LONGEST else f"{each[:LONGEST]}…" for each in shown)
