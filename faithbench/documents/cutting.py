"""Texts cut to a number of tokens: decoded, so that they are texts again, and encoded again as a check."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase


def cut_texts(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], tokens: int) -> tuple[int, Mapping[int, str]]:
    """How many texts have so many tokens, special ones included, and those that still do when they are cut to that.

    A token that stands for what the vocabulary lacks, such as [UNK], is kept: as its name where that is read as the
    token again, or else the text is cut as it was written. Other special tokens inside a text are not kept, so that it
    falls short.

    Returns:
        The number, and the cut texts by their places.
    """
    encoded = tokenizer(list(texts), truncation=True, max_length=tokens, return_special_tokens_mask=True)
    full = [i for i, ids in enumerate(encoded["input_ids"]) if len(ids) == tokens]
    decoded = dict(zip(full, _decoded(tokenizer, [_content(encoded, i) for i in full]), strict=True))
    unknown = _unknown(tokenizer)
    cut = _same(tokenizer, {i: encoded["input_ids"][i] for i in full}, decoded)
    left = {i: encoded["input_ids"][i] for i in full if i not in cut and unknown in _content(encoded, i)}
    as_written = {i: texts[i][: _end(tokenizer, texts[i], tokens)] for i in left}
    cut |= _same(tokenizer, left, as_written)
    return len(full), {i: cut[i] for i in full if i in cut}


def _unknown(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """The token of unknown words; None if there is none that has no other office."""
    others = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    return None if tokenizer.unk_token_id in others else tokenizer.unk_token_id


def _content(encoded: "BatchEncoding", i: int) -> list[int]:
    pairs = zip(encoded["input_ids"][i], encoded["special_tokens_mask"][i], strict=True)
    return [token for token, special in pairs if not special]


def _decoded(tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Sequence[int]]) -> list[str]:
    """The tokens as text, without special ones but for that of unknown words."""
    others = set(tokenizer.all_special_ids) - {_unknown(tokenizer)}
    return tokenizer.batch_decode([[token for token in row if token not in others] for row in rows]) if rows else []


def _same(
    tokenizer: "PreTrainedTokenizerBase", wanted: Mapping[int, Sequence[int]], texts: Mapping[int, str]
) -> dict[int, str]:
    """The texts that have as many tokens as they had, and unknown ones in the same places."""
    again = tokenizer(list(texts.values()))["input_ids"] if texts else []
    unknown = _unknown(tokenizer)
    return {
        i: text
        for (i, text), ids in zip(texts.items(), again, strict=True)
        if [token == unknown for token in ids] == [token == unknown for token in wanted[i]]
    }


def _end(tokenizer: "PreTrainedTokenizerBase", text: str, tokens: int) -> int:
    """Where the last of so many tokens ends in a text."""
    offsets = tokenizer(text, truncation=True, max_length=tokens, return_offsets_mapping=True)["offset_mapping"]
    return max(end for _, end in offsets)
