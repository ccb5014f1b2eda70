"""Transfer of scores from one tokenization of a text to another, where both spell the same."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from faithbench.importing.token_spelling import Ends
from faithbench.tokens import Scores
from faithbench.types import Text

SPACES = "▁ĠĊĉ \n\t"  # as tokenizers write them
LONGEST = 40  # letters of a token that an error shows


def transfer_scores(own: Sequence[str], tokens: Sequence[str], ours: Ends, theirs: Ends, scores: Scores) -> Scores:
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
    own_spelled, spelled = _spelling_positions(ours), _spelling_positions(theirs)
    sums = scores[spelled]
    for i in np.setdiff1d(np.arange(len(tokens)), spelled):
        within = theirs[i] > 0 and theirs[i] not in ours  # one of the model's tokens
        if within or not tokens[i].strip(SPACES):  # a space that stands alone is a piece of what follows
            sums[min(int(np.searchsorted(spelled, i)), len(spelled) - 1)] += scores[i]
    i = j = 0
    while i < len(own_spelled) and j < len(spelled):
        a, b, i, j = i, j, i + 1, j + 1
        while ours[own_spelled[i - 1]] != theirs[spelled[j - 1]]:
            if ours[own_spelled[i - 1]] > theirs[spelled[j - 1]] and j < len(spelled):
                j += 1
            elif ours[own_spelled[i - 1]] < theirs[spelled[j - 1]] and i < len(own_spelled):
                i += 1
            else:
                break  # the model cuts the text inside the other side's token, or inside a letter
        if i - a > 1 and j - b > 1:
            raise ValueError(
                f"the file divides {listed([tokens[k] for k in spelled[b:j]])} otherwise than the model, which has "
                f"{listed([own[k] for k in own_spelled[a:i]])}; scores of whole words would do"
            )
        out[own_spelled[a:i]] = sums[b:j].sum()
    return out


def fill_blanks(text: Text, ends: Ends, scores: Scores) -> Scores:
    """Scores in which a token that spells nothing has that of the next token of its word, or of the one before."""
    words, spelled = text.words[text.content], _spelling_positions(ends)
    for i in np.setdiff1d(np.arange(len(scores)), spelled):
        near = [k for k in (*spelled[spelled > i][:1], *spelled[spelled < i][-1:]) if words[k] == words[i]]
        if near:
            scores[i] = scores[near[0]]
    return scores


def _spelling_positions(ends: Ends) -> Int[np.ndarray, "spelled"]:
    """Positions of the tokens that spell something."""
    return np.flatnonzero(np.diff(ends, prepend=0.0) > 0)


def listed(tokens: Sequence[object]) -> str:
    """Tokens as an error shows them."""
    shown = [repr(token) for token in tokens]
    return " ".join(each if len(each) <= LONGEST else f"{each[:LONGEST]}…" for each in shown)
