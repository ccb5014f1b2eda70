"""Scores of somebody else's tokens, as scores of the model's tokens."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from itertools import product
from typing import TypeVar

import numpy as np

from faithbench.importing.score_transfer import fill_blanks, listed, transfer_scores
from faithbench.importing.token_spelling import UNKNOWN, Spelling, common_ends, folded, plain, spellings
from faithbench.tokens import Scores
from faithbench.types import Text

PADS = frozenset(("[PAD]", "<pad>"))
SPECIAL = frozenset(("[CLS]", "[SEP]", "<s>", "</s>", "<bos>", "<eos>", "<|endoftext|>"))
MARK = "\ufffc"  # a letter that no text has
SHOWN = 3  # tokens of each side that an error shows
Token = TypeVar("Token", str, int)
Match = Callable[[Text, Sequence[Token], Sequence[Token], Scores], Scores]


def align(text: Text, tokens: Sequence[str], scores: Scores) -> Scores:
    """Scores of any tokens of the text: words, or pieces of another tokenizer.

    Both sides' tokens are matched by what they spell, in order; white space does not count, nor do case and accents if
    they have to be overlooked. A token that covers several of the model's gives each of them its score; several that
    make up one of the model's are added. Special tokens and padding at the ends count only for the same special token
    of the model; the model's others get 0. If the model cuts the text, tokens beyond the cut are dropped.

    Raises:
        ValueError: the tokens spell another text, or divide it so that no side's token covers the other's.
    """
    return _placed(text, text.tokens, tokens, scores, PADS, _matched)


def align_ids(text: Text, ids: Sequence[int], scores: Scores) -> Scores:
    """Scores of the model's own token ids, perhaps padded.

    Raises:
        ValueError: the ids are others than the model's.
    """
    return _placed(text, text.ids.tolist(), ids, scores, {text.pad_id}, _differing)


def check_same(given: str, own: str) -> None:
    """That two texts are the same but for white space, case and accents.

    Raises:
        ValueError: they are not.
    """
    one, other = ("".join(map(folded, text)) for text in (given, own))
    at = _common(one, other)
    if one != other:
        raise ValueError(
            f"its text is another: {one[at : at + 20]!r} follows {one[max(0, at - 20) : at]!r}, where the data set has "
            f"{other[at : at + 20]!r}"
        )


def _placed(
    text: Text,
    own: Sequence[Token],
    tokens: Sequence[Token],
    scores: Scores,
    pads: Collection[Token],
    match: Match[Token],
) -> Scores:
    """Scores of the content as `match` gives them, and of special tokens where both sides have the same."""
    if len(tokens) != len(scores):
        raise ValueError(f"{len(scores)} scores for {len(tokens)} tokens")
    inner = [i for i, token in enumerate(tokens) if token not in pads]
    if not inner:
        raise ValueError("no tokens but padding")
    theirs, scores = list(tokens[inner[0] : inner[-1] + 1]), scores[inner[0] : inner[-1] + 1]
    if theirs == list(own):
        return scores
    special = SPECIAL.union(own[i] for i in np.flatnonzero(text.special).tolist())
    begin, end = int(theirs[0] in special), len(theirs) - int(theirs[-1] in special)
    out, content = np.zeros(len(text)), text.content
    try:
        out[content] = _content(text, own, theirs[begin:end], scores[begin:end], match)
    except ValueError:
        with suppress(ValueError):  # what looks like a special token may be a word
            out[content] = _content(text, own, theirs, scores, match)
            return out
        raise
    for position, index in ((content[0] - 1, begin - 1), (content[-1] + 1, end)):
        if 0 <= index < len(theirs) and 0 <= position < len(text) and own[position] == theirs[index]:
            out[position] = scores[index]
    return out


def _content(text: Text, own: Sequence[Token], tokens: Sequence[Token], scores: Scores, match: Match[Token]) -> Scores:
    """Scores of the content tokens: those of the same tokens, else as `match` gives them."""
    mine = [own[i] for i in text.content]
    if mine == list(tokens[: len(mine)]) and (text.truncated or len(mine) == len(tokens)):
        return scores[: len(mine)]
    return match(text, mine, tokens, scores)


def _matched(text: Text, own: Sequence[str], tokens: Sequence[str], scores: Scores) -> Scores:
    """Scores by spelling: exactly if possible, else but for case and accents."""
    pairs: list[tuple[Spelling, Spelling]] = []
    sides = [bool(UNKNOWN.intersection(side)) for side in (own, tokens)]
    mark = MARK if all(sides) else ""  # where both have unknown tokens, they must meet
    for fold in (folded,) if any(sides) else (plain, folded):
        pairs = list(product(spellings(own, fold, mark), spellings(tokens, fold, mark)))
        for ours, theirs in pairs:
            if ends := common_ends(ours, theirs, text.truncated):
                return fill_blanks(text, ends[0], transfer_scores(own, tokens, *ends, scores))
    common = [_common(ours.letters, theirs.letters) for ours, theirs in pairs]
    best = int(np.argmax(common))
    boundaries = np.intersect1d(pairs[best][0].ends, pairs[best][1].ends)
    last = float(max(boundaries[boundaries <= common[best]], default=0.0))
    i, j = (_token_after(side, last) for side in pairs[best])
    raise ValueError(_difference(own, tokens, i, j))


def _differing(text: Text, own: Sequence[int], tokens: Sequence[int], scores: Scores) -> Scores:
    at = _common(own, tokens)
    raise ValueError(_difference(own, tokens, at, at))


def _token_after(side: Spelling, place: float) -> int:
    """The first token, known or not, that begins at a boundary."""
    found = int(np.searchsorted(side.ends, place, side="right"))
    while found and side.unknown[found - 1]:
        found -= 1
    return found


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """How far two sequences are the same."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _difference(own: Sequence[object], tokens: Sequence[object], i: int, j: int) -> str:
    """Where two sides part: at the model's token i and the other side's token j."""
    before = f"after {listed(tokens[max(0, j - SHOWN) : j])}" if j else "at the beginning"
    return (
        f"{before} the file has {listed(tokens[j : j + SHOWN]) or 'nothing'}, where the model has "
        f"{listed(own[i : i + SHOWN]) or 'nothing'}"
    )
