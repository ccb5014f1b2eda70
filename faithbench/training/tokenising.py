"""Texts as what training reads: rows of token ids, small enough that whole data sets fit into memory."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

IDS, TYPES = "input_ids", "token_type_ids"
SPECIAL = "special_tokens_mask"  # True at special tokens, which are not to be masked
KINDS = {IDS: np.int32, TYPES: np.int8, SPECIAL: np.bool_}
AT_ONCE = 1024  # texts that are tokenised together

Tokenised = dict[str, Any]


def tokenised(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, limit: int, pairs: Sequence[str] | None = None
) -> Iterator[Tokenised]:
    """Token ids and which of them are special, text by text; of pairs, token types where the tokenizer has them.

    What else a tokenizer tells of all texts would take most of the memory, and so would lists of numbers.

    Args:
        texts: what is read.
        tokenizer: of the model.
        limit: tokens a text, or a pair, is cut to.
        pairs: the second text of each.
    """
    for begin in range(0, len(texts), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        some = [list(texts[part]), *([] if pairs is None else [list(pairs[part])])]
        encoded = tokenizer(*some, truncation=True, max_length=limit, return_special_tokens_mask=True)
        names = [name for name in KINDS if name in encoded and (name != TYPES or pairs is not None)]
        for i in range(len(some[0])):
            yield {name: np.asarray(encoded[name][i], KINDS[name]) for name in names}
