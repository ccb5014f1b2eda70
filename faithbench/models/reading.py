"""Tokenization of an example: one text, a pair of texts, or the segments of a document with separators between."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from transformers import PreTrainedTokenizerBase

from faithbench.types import Example, Span, Weighed

ARRAYS = ("ids", "special", "words", "offsets", "segments", "types")


@dataclass(frozen=True, eq=False)
class Reading:
    """Tokens in the order of the model's input, with the characters that each stands for."""

    ids: Int[np.ndarray, "tokens"]
    special: Bool[np.ndarray, "tokens"]
    words: Int[np.ndarray, "tokens"]
    tokens: tuple[str, ...]
    offsets: Int[np.ndarray, "tokens 2"]
    segments: Int[np.ndarray, "tokens"]
    types: Int[np.ndarray, "tokens"]
    truncated: bool = False
    source: str = ""

    def marked(self, spans: tuple[Span, ...] | None) -> Bool[np.ndarray, "tokens"] | None:
        """The tokens that overlap one of the character spans."""
        if spans is None:
            return None
        hit = np.zeros(len(self.offsets), dtype=bool)
        for start, end in spans:
            hit |= (self.offsets[:, 0] < end) & (self.offsets[:, 1] > start)
        return hit & ~self.special

    def weighed(self, weights: Weighed | None) -> Float[np.ndarray, "tokens"] | None:
        """The number of each token, that of the character span that it overlaps, else 0."""
        if weights is None:
            return None
        found = np.zeros(len(self.offsets))
        for start, end, weight in weights:
            hit = self.marked(((start, end),))
            found[hit] = weight
        return found


def read_text(tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int) -> Reading:
    """An example as the tokenizer reads it, cut to so many tokens.

    A pair is one input of two texts, as the tokenizer joins them, with its token types; of two that are too long the
    longer is cut. Several segments are read one by one and joined likewise: [CLS] s1 [SEP] s2 [SEP], for RoBERTa
    <s> s1 </s></s> s2 </s>, with more segments likewise; their token types are those of one text.
    """
    if not example.segments:
        return _read(tokenizer, example.text, max_length, example.pair)
    before, between, after = _frame(tokenizer)
    pieces = [before]
    for index, (start, end, _) in enumerate(example.segments):
        words = max(piece.words.max(initial=-1) for piece in pieces) + 1
        part = _read(tokenizer, example.text[start:end], max_length)
        pieces += [between] * (index > 0) + [_segment(part, index, start, int(words))]
    whole, room = _concatenated(pieces), max_length - len(after.ids)
    cut = taken(whole, np.arange(len(whole.ids)) < room)
    joined = _concatenated([replace(cut, truncated=whole.truncated or len(whole.ids) > room), after])
    return replace(joined, types=np.zeros_like(joined.types), source=example.text)


def _read(tokenizer: PreTrainedTokenizerBase, text: str, max_length: int, pair: str | None = None) -> Reading:
    encoding = tokenizer(
        text,
        pair,
        truncation=True,
        max_length=max_length,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_overflowing_tokens=True,
    )
    read = read_encoding(encoding.encodings[0], text, pair)
    cut = len(encoding.encodings) > 1 or (pair is not None and _cut(tokenizer, text, pair, max_length))
    return replace(read, truncated=cut)


def read_encoding(first: Any, text: str, pair: str | None = None) -> Reading:
    """What a tokenizer, of the library `tokenizers`, gave for a text or pair."""
    special = np.array(first.special_tokens_mask, dtype=bool)
    parts = np.array([-1 if part is None else part for part in first.sequence_ids])
    offsets = np.array(first.offsets).reshape(-1, 2)
    offsets[parts == 1] += len(text) + 1
    source = text if pair is None else f"{text}\n{pair}"
    return Reading(
        ids=np.array(first.ids, dtype=np.int64),
        special=special,
        words=_words(first, source, offsets, special, parts),
        tokens=tuple(map(sys.intern, first.tokens)),  # each kept once for all texts
        offsets=offsets,
        segments=np.where(special, -1, 0),
        types=np.array(first.type_ids, dtype=np.int64),
        source=source,
    )


def _cut(tokenizer: PreTrainedTokenizerBase, text: str, pair: str, max_length: int) -> bool:
    """Whether a pair is too long; of pairs, tokenizers do not tell what they cut."""
    return len(tokenizer(text, pair, truncation=False, verbose=False).input_ids) > max_length


def _words(
    encoding: Any,
    source: str,
    offsets: Int[np.ndarray, "tokens 2"],
    special: Bool[np.ndarray, "tokens"],
    parts: Int[np.ndarray, "tokens"],
) -> Int[np.ndarray, "tokens"]:
    """The word of each token, those of a second text counted on; by white space where the tokenizer knows of none."""
    words = np.array([-1 if word is None else word for word in encoding.word_ids])
    if (parts == 1).any():
        words[parts == 1] += words[parts == 0].max(initial=-1) + 1
    blind = len(np.unique(words[~special])) <= len(np.unique(parts[~special])) and len(source.split()) > 2
    return _by_white_space(source, offsets, special) if blind else words


def _by_white_space(
    source: str, offsets: Int[np.ndarray, "tokens 2"], special: Bool[np.ndarray, "tokens"]
) -> Int[np.ndarray, "tokens"]:
    """The number of the stretch without white space that a token's first visible character is in."""
    spaces = np.array([character.isspace() for character in source] + [True])
    begins = ~spaces[: len(source)] & np.concatenate([[True], spaces[: len(source)]])[: len(source)]
    number = np.cumsum(begins) - 1
    visible = [next((i for i in range(start, end) if not spaces[i]), start) for start, end in offsets]
    inside = np.minimum(np.array(visible, dtype=np.int64), max(len(source) - 1, 0))
    return np.where(special, -1, np.maximum(number[inside], 0))


def _frame(tokenizer: PreTrainedTokenizerBase) -> tuple[Reading, Reading, Reading]:
    """The special tokens before, between and after the two texts of a pair."""
    pair = tokenizer("a", "a", return_special_tokens_mask=True).encodings[0]
    special = np.array(pair.special_tokens_mask, dtype=bool)
    count = len(special)
    whole = Reading(
        ids=np.array(pair.ids, dtype=np.int64),
        special=special,
        words=np.full(count, -1),
        tokens=tuple(pair.tokens),
        offsets=np.zeros((count, 2), dtype=np.int64),
        segments=np.full(count, -1),
        types=np.zeros(count, dtype=np.int64),
    )
    first, last = np.flatnonzero(~special)[[0, -1]]
    places = np.arange(count)
    return tuple(
        taken(whole, special & where) for where in (places < first, (first < places) & (places < last), places > last)
    )  # type: ignore[return-value]


def _segment(part: Reading, index: int, start: int, words: int) -> Reading:
    """The content of a text as a segment that begins at a character, and whose words are counted on."""
    content = taken(part, ~part.special)
    return replace(
        content, words=content.words + words, offsets=content.offsets + start, segments=np.full(len(content.ids), index)
    )


def taken(reading: Reading, where: Bool[np.ndarray, "tokens"]) -> Reading:
    """Some of the tokens."""
    tokens = tuple(token for token, taken in zip(reading.tokens, where, strict=True) if taken)
    return replace(reading, tokens=tokens, **{name: getattr(reading, name)[where] for name in ARRAYS})


def _concatenated(readings: Sequence[Reading]) -> Reading:
    arrays: dict[str, Any] = {name: np.concatenate([getattr(reading, name) for reading in readings]) for name in ARRAYS}
    tokens = tuple(token for reading in readings for token in reading.tokens)
    truncated = any(reading.truncated for reading in readings)
    return replace(readings[0], tokens=tokens, truncated=truncated, **arrays)
