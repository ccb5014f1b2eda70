"""Tokenization of next-token questions: a prefix, and the first pieces in which its two continuations differ."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from faithbench.errors import UserError, short
from faithbench.models.reading import Reading, read_encoding, taken
from faithbench.shown import counted
from faithbench.types import Example

NOTHING = "has an empty prefix: there is no token to explain"


def read_question(
    tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int
) -> tuple[Reading, tuple[int, int]]:
    """The prefix as a language model reads it, and the ids of the tokens that it chooses between, the good one first.

    The prefix is read as the beginning of a text that goes on: with what the tokenizer puts before texts, without what
    it puts behind them. Both continuations are read behind it and a space, as the tokenizer reads the whole text.
    Pieces with which both begin are part of what the model reads and are marked special: nobody asks what they
    contribute. The candidates are the first pieces in which they differ.

    Args:
        tokenizer: of the library `tokenizers`.
        example: `text` is the prefix; `good` and `bad` are words that might follow.
        max_length: most tokens that the model reads; nothing is cut, as it might be what decides.

    Raises:
        UserError: the prefix is empty or too long, or there is no pair of tokens that tells the continuations apart.
    """
    stem, gap = _parted(example)
    whole = [_encoded(tokenizer, stem + gap + word) for word in _continuations(example)]
    good, bad = (_opened(each) for each in whole)
    shared = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(good, bad, strict=False)))
    begins = _boundary(tokenizer, example, stem, whole, shared)
    _check_known(tokenizer, example, [good[begins : shared + 1], bad[begins : shared + 1]])
    if good == bad:
        raise _refusal(example, "has continuations that are the same tokens")
    if shared == min(len(good), len(bad)):
        raise _refusal(example, "has continuations of which one begins with the other")
    if shared > max_length:
        told = tokens_said(shared, sum(whole[0].special_tokens_mask[:shared]))
        raise _refusal(example, f"has a prefix of {told}, and the model reads {max_length:,}")
    read = read_encoding(whole[0], stem + gap + (example.good or "").strip())
    prefix = _prefix(read, shared, begins, example.text)
    if prefix.special.all():
        raise _refusal(example, NOTHING)
    return prefix, (good[shared], bad[shared])


def read_beginning(tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int) -> Reading:
    """The beginning of a text, as a language model reads it that goes on with it; as the prefix of a question.

    Args:
        tokenizer: of the library `tokenizers`.
        example: `text` is the beginning.
        max_length: most tokens that the model reads; nothing is cut.

    Raises:
        UserError: it is empty or too long.
    """
    stem, _ = _parted(example)
    whole = _encoded(tokenizer, stem)
    count = len(_opened(whole))
    if count > max_length:
        told = tokens_said(count, sum(whole.special_tokens_mask[:count]))
        raise _refusal(example, f"has {told}, and the model reads {max_length:,}")
    return _prefix(read_encoding(whole, stem), count, count, stem)


def tokens_said(count: int, special: int) -> str:
    """How many tokens a text has, in words, as people count them: special ones apart."""
    apart = f" besides {counted(special, 'special one')}" if special else ""
    return f"{counted(count - special, 'token')}{apart}"


def _parted(example: Example) -> tuple[str, str]:
    """The prefix without spaces at its end, and what is between it and what follows: a space, unless a line ends."""
    stem = example.text.rstrip(" ")
    if not stem.strip():
        raise _refusal(example, NOTHING)
    return stem, "" if stem[-1].isspace() else " "


def _continuations(example: Example) -> tuple[str, str]:
    if example.good is None or example.bad is None:
        raise _refusal(
            example,
            "has no continuations, good and bad, that a language model could choose between; a file of questions has "
            "the columns prefix, good and bad",
        )
    good, bad = example.good.strip(), example.bad.strip()
    for name, word in (("good", good), ("bad", bad)):
        if not word:
            raise _refusal(example, f"has an empty continuation ({name})")
    if good == bad:
        raise _refusal(example, f"has the same continuation twice: {short(good)} is both good and bad")
    return good, bad


def _encoded(tokenizer: PreTrainedTokenizerBase, text: str) -> Any:
    return tokenizer(text, truncation=False, verbose=False, return_special_tokens_mask=True).encodings[0]


def _opened(encoding: Any) -> list[int]:
    """The ids without what the tokenizer puts behind a text."""
    content = [i for i, part in enumerate(encoding.sequence_ids) if part is not None]
    return list(encoding.ids[: content[-1] + 1]) if content else []


def _boundary(
    tokenizer: PreTrainedTokenizerBase, example: Example, stem: str, whole: Sequence[Any], shared: int
) -> int:
    """How many of the shared tokens are of the prefix.

    As many as it has alone; or, where it is read in another way with something behind it, those that begin in it.
    """
    alone = _opened(_encoded(tokenizer, stem))
    both = [_opened(each) for each in whole]
    strange = [word for word, ids in zip(_continuations(example), both, strict=True) if ids[: len(alone)] != alone]
    if not strange:
        return len(alone)
    if any(shared < len(ids) and each.offsets[shared][0] < len(stem) for ids, each in zip(both, whole, strict=True)):
        raise _refusal(
            example,
            f"has a continuation {short(strange[0])} that does not follow its prefix: the "
            "tokenizer makes one token of the end of the one and the beginning of the other",
        )
    return sum(1 for start, _ in whole[0].offsets[:shared] if start < len(stem))


def _check_known(tokenizer: PreTrainedTokenizerBase, example: Example, pieces: Sequence[Sequence[int]]) -> None:
    for word, ids in zip(_continuations(example), pieces, strict=True):
        if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
            raise _refusal(example, f"has a continuation {short(word)} that the tokenizer does not know")


def _prefix(read: Reading, shared: int, begins: int, text: str) -> Reading:
    """The tokens before the candidates; those from `begins` on are of no text that is explained."""
    places = np.arange(len(read.ids))
    cut = taken(read, places < shared)
    special = cut.special | (places[:shared] >= begins)
    return replace(
        cut,
        special=special,
        words=np.where(special, -1, cut.words),
        segments=np.where(special, -1, cut.segments),
        offsets=np.where(special[:, None], 0, cut.offsets),
        source=text,
    )


def _refusal(example: Example, why: str) -> UserError:
    return UserError(f"text {example.id!r} {why}.")
