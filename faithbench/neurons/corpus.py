"""Documents as a model reads them, cut into windows, and divided by document into what is fitted and what is scored."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerBase

from faithbench.activations import NONE, Windows
from faithbench.errors import UserError
from faithbench.types import Example

PARTS = ("fit", "calibrate", "evaluate")
SHARES = (60, 70, 100)  # percent of documents below which a part ends


@dataclass(frozen=True)
class Corpus:
    """Documents in pieces that the model reads, and the windows in them.

    Args:
        pieces: token ids of each, special tokens included, no longer than the model's context.
        places: of each window, its piece and its first token in that.
        windows: all of them.
        part: of each window, a number in `PARTS`.
    """

    pieces: Sequence[Int[np.ndarray, "_"]]
    places: Int[np.ndarray, "windows 2"]
    windows: Windows
    part: Int[np.ndarray, "windows"]


def part_of(document: str) -> int:
    """Which part a document belongs to, by a hash of its id: a number in `PARTS`."""
    drawn = int.from_bytes(hashlib.sha256(document.encode(errors="replace")).digest()[:8], "big") % 100
    return next(part for part, share in enumerate(SHARES) if drawn < share)


def read_corpus(examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase, context: int, window: int) -> Corpus:
    """The documents of a data set as a model reads them.

    Args:
        examples: documents.
        tokenizer: a fast one.
        context: tokens that the model reads at most.
        window: tokens.

    Raises:
        UserError: no document has so many tokens.
    """
    pieces = list[Int[np.ndarray, "_"]]()
    places, ids, documents, following, part = [], [], [], [], []
    longest = 0
    for number, example in enumerate(examples):
        read = tokenizer(
            example.text,
            truncation=True,
            max_length=context,
            return_overflowing_tokens=True,
            return_special_tokens_mask=True,
        )
        for row, special in zip(read["input_ids"], read["special_tokens_mask"], strict=True):
            content = np.flatnonzero(np.array(special) == 0)
            longest = max(longest, len(content))
            if len(content) < window:
                continue
            first, last = int(content[0]), int(content[-1]) + 1
            for start in range(first, last - window + 1, window):
                places.append((len(pieces), start))
                ids.append(row[start : start + window])
                documents.append(number)
                following.append(row[start + window] if start + window < last else NONE)
                part.append(part_of(example.id))
            pieces.append(np.array(row, dtype=np.int32))
    if not ids:
        raise UserError(
            f"no document has a window of {window} tokens; the longest has {longest}: use window={longest}."
        )
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    shown = [tokenizer.convert_tokens_to_string([name]) if name else "" for name in names]
    windows = Windows(np.array(ids), np.array(documents), np.array(following), tuple(shown))
    return Corpus(tuple(pieces), np.array(places), windows, np.array(part))
