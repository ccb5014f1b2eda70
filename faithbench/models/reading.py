"""Tokenization of an example: one text, or the segments of a document with separators between."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int
from transformers import PreTrainedTokenizerBase

from faithbench.types import Example, Span

ARRAYS = ("ids", "special", "words", "offsets", "segments")


@dataclass(frozen=True, eq=False)
class Reading:
    """Tokens in the order of the model's input, with the characters that each stands for."""

    ids: Int[np.ndarray, "tokens"]
    special: Bool[np.ndarray, "tokens"]
    words: Int[np.ndarray, "tokens"]
    tokens: tuple[str, ...]
    offsets: Int[np.ndarray, "tokens 2"]
    segments: Int[np.ndarray, "tokens"]
    truncated: bool = False

    def marked(self, spans: tuple[Span, ...] | None) -> Bool[np.ndarray, "tokens"] | None:
        """The tokens that overlap one of the character spans."""
        if spans is None:
            return None
        hit = np.zeros(len(self.offsets), dtype=bool)
        for start, end in spans:
            hit |= (self.offsets[:, 0] < end) & (self.offsets[:, 1] > start)
        return hit & ~self.special


def read_text(tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int) -> Reading:
    """An example as the tokenizer reads it, cut to so many tokens.

    Several segments are read one by one and joined as the tokenizer joins a pair: [CLS] s1 [SEP] s2 [SEP], for RoBERTa
    <s> s1 </s></s> s2 </s>, with more segments likewise.
    """
    if not example.segments:
        return _read(tokenizer, example.text, max_length)
    before, between, after = _frame(tokenizer)
    pieces = [before]
    for index, (start, end, _) in enumerate(example.segments):
        words = max(piece.words.max(initial=-1) for piece in pieces) + 1
        part = _read(tokenizer, example.text[start:end], max_length)
        pieces += [between] * (index > 0) + [_segment(part, index, start, int(words))]
    whole, room = _concatenated(pieces), max_length - len(after.ids)
    cut = _taken(whole, np.arange(len(whole.ids)) < room)
    return _concatenated([replace(cut, truncated=whole.truncated or len(whole.ids) > room), after])


def _read(tokenizer: PreTrainedTokenizerBase, text: str, max_length: int) -> Reading:
    encoding = tokenizer(
        text,
        truncation=True,
        max_length=max_length,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_overflowing_tokens=True,
    )
    first = encoding.encodings[0]
    special = np.array(first.special_tokens_mask, dtype=bool)
    return Reading(
        ids=np.array(first.ids, dtype=np.int64),
        special=special,
        words=np.array([-1 if word is None else word for word in first.word_ids]),
        tokens=tuple(first.tokens),
        offsets=np.array(first.offsets).reshape(-1, 2),
        segments=np.where(special, -1, 0),
        truncated=len(encoding.encodings) > 1,
    )


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
    )
    first, last = np.flatnonzero(~special)[[0, -1]]
    places = np.arange(count)
    return tuple(
        _taken(whole, special & where) for where in (places < first, (first < places) & (places < last), places > last)
    )  # type: ignore[return-value]


def _segment(part: Reading, index: int, start: int, words: int) -> Reading:
    """The content of a text as a segment that begins at a character, and whose words are counted on."""
    content = _taken(part, ~part.special)
    return replace(
        content, words=content.words + words, offsets=content.offsets + start, segments=np.full(len(content.ids), index)
    )


def _taken(reading: Reading, where: Bool[np.ndarray, "tokens"]) -> Reading:
    tokens = tuple(token for token, taken in zip(reading.tokens, where, strict=True) if taken)
    return replace(reading, tokens=tokens, **{name: getattr(reading, name)[where] for name in ARRAYS})


def _concatenated(readings: Sequence[Reading]) -> Reading:
    return Reading(
        **{name: np.concatenate([getattr(reading, name) for reading in readings]) for name in ARRAYS},
        tokens=tuple(token for reading in readings for token in reading.tokens),
        truncated=any(reading.truncated for reading in readings),
    )
