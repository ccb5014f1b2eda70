"""Documents as a model reads them, cut into windows, and divided by document into what is fitted and what is scored.

A document is its text: the same text twice lies in one part, whatever its ids. It is read in pieces of at most the
model's context, each with the special tokens that the tokenizer puts around a text; windows follow each other in a
piece, and none holds a special token or reaches over the end of a piece. What is kept of the documents are token ids, 4
bytes each, once in pieces and once in windows.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Bool, Int
from transformers import PreTrainedTokenizerBase

from faithbench.activations import NONE, Windows
from faithbench.errors import UserError
from faithbench.neurons.pieces import Pieces
from faithbench.shown import counted
from faithbench.types import Example

PARTS = ("fit", "calibrate", "evaluate")
FIT, CALIBRATE, EVALUATE = range(3)
SHARES = (60, 70, 100)  # percent of documents below which a part ends
AT_ONCE = 64  # documents that are tokenized together


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents in pieces that the model reads, and the windows in them.

    Pieces, and so windows, are in the order in which they are read: by part, and within it long ones first.

    Args:
        names: ids of the documents, by number.
        ids: tokens of all pieces one after another, special tokens included.
        bounds: where each piece begins in them, and where the last ends.
        windows: all of them, by piece and start.
        part: of each window, a number in `PARTS`.
    """

    names: tuple[str, ...]
    ids: Int[np.ndarray, "tokens"]
    bounds: Int[np.ndarray, "bounds"]
    windows: Windows
    part: Int[np.ndarray, "windows"]

    @property
    def pieces(self) -> int:
        """How many there are."""
        return len(self.bounds) - 1

    @property
    def lengths(self) -> Int[np.ndarray, "pieces"]:
        """Tokens of each piece."""
        return np.diff(self.bounds)

    @property
    def documents(self) -> int:
        """How many have a window."""
        return len(np.unique(self.windows.documents))

    @property
    def places(self) -> Int[np.ndarray, "windows 2"]:
        """Of each window, its piece and its first token in that."""
        assert self.windows.places is not None
        return self.windows.places

    def piece(self, number: int) -> Int[np.ndarray, "_"]:
        """The tokens of one."""
        return self.ids[self.bounds[number] : self.bounds[number + 1]]


def part_of(text: str) -> int:
    """Which part a document belongs to, by a hash of its text, white space aside: a number in `PARTS`."""
    digest = hashlib.sha256(" ".join(text.split()).encode(errors="replace")).digest()
    drawn = int.from_bytes(digest[:8], "big") % 100
    return next(part for part, share in enumerate(SHARES) if drawn < share)


@dataclass(frozen=True)
class _Frame:
    """How a tokenizer reads a text: what it puts before and behind, and which tokens are no content."""

    before: Int[np.ndarray, "_"]
    behind: Int[np.ndarray, "_"]
    special: Int[np.ndarray, "_"]
    room: int


@dataclass(frozen=True)
class _Piece:
    """A piece of a document, and the windows in it."""

    document: int
    part: int
    ids: Int[np.ndarray, "_"]
    starts: Int[np.ndarray, "_"]
    following: Int[np.ndarray, "_"]


def read_corpus(examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase, context: int, window: int) -> Corpus:
    """The documents of a data set as a model reads them; those of a pair of texts are the two, one behind the other.

    Args:
        examples: documents.
        tokenizer: of the model.
        context: tokens that the model reads at most.
        window: tokens.

    Raises:
        UserError: no document has so many tokens, or a part has no window.
    """
    frame = _frame(tokenizer, context)
    if window > frame.room:
        raise UserError(
            f"window={window} is too long: the model reads {counted(frame.room, 'token')} of a document at once; use "
            f"window={frame.room} or less."
        )
    names, pieces, longest = [], list[_Piece](), 0
    for number, (name, text, ids) in enumerate(_tokenized(examples, tokenizer)):
        names.append(name)
        found = list(_pieces(number, part_of(text), np.array(ids, dtype=np.int32), frame, window))
        longest = max([longest, *(length for length, _ in found)])
        pieces += [piece for _, piece in found if len(piece.starts)]
    _check(pieces, names, window, longest)
    return _joined(tuple(names), sorted(pieces, key=lambda piece: (piece.part, -len(piece.ids))), tokenizer, window)


def _tokenized(examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[str, str, list[int]]]:
    """Ids, texts and tokens of documents."""
    rest = iter(examples)
    while some := list(islice(rest, AT_ONCE)):
        texts = [each.text if each.pair is None else f"{each.text}\n{each.pair}" for each in some]
        read = tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        yield from zip([each.id for each in some], texts, read, strict=True)


def _frame(tokenizer: PreTrainedTokenizerBase, context: int) -> _Frame:
    alone = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    begins = next((at for at in range(len(whole)) if whole[at : at + len(alone)] == alone), 0)
    before, behind = whole[:begins], whole[begins + len(alone) :]
    marks = [getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "sep", "pad", "cls", "mask")]
    content = {tokenizer.unk_token_id} - set(marks)  # GPT-2's is its end of a text, too
    special = set(tokenizer.all_special_ids) - content
    told = [np.array(ids, dtype=np.int32) for ids in (before, behind, sorted(special))]
    return _Frame(told[0], told[1], told[2], context - len(before) - len(behind))


def _pieces(
    document: int, part: int, ids: Int[np.ndarray, "_"], frame: _Frame, window: int
) -> Iterator[tuple[int, _Piece]]:
    """The pieces of a document, each with the number of its tokens that are content and stand together."""
    content = ~np.isin(ids, frame.special)
    behind = np.where(np.append(content[1:], False), np.append(ids[1:], NONE), NONE).astype(np.int32)
    for start in range(0, len(ids), frame.room):
        stop = min(start + frame.room, len(ids))
        runs = _runs(content[start:stop])
        starts = [first for begin, end in runs for first in range(begin, end - window + 1, window)]
        places = np.array(starts, dtype=np.int32)
        row = np.concatenate([frame.before, ids[start:stop], frame.behind])
        piece = _Piece(document, part, row, places + len(frame.before), behind[start + places + window - 1])
        yield max((end - begin for begin, end in runs), default=0), piece


def _runs(content: Bool[np.ndarray, "_"]) -> list[tuple[int, int]]:
    """Where tokens of content stand together: [begin, end)."""
    steps = np.diff(np.concatenate([[0], content.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True))


def _check(pieces: list[_Piece], names: list[str], window: int, longest: int) -> None:
    """Raises a UserError where there are too few windows."""
    if not pieces and longest < 2:
        raise UserError(f"{counted(len(names), 'document')} have no two tokens that stand together; use longer ones.")
    if not pieces:
        raise UserError(
            f"no document has a window of {window} tokens; the longest has {longest}: use window={longest} or less."
        )
    lacking = [name for part, name in enumerate(PARTS) if all(piece.part != part for piece in pieces)]
    if lacking:
        count = len({piece.document for piece in pieces})
        raise UserError(
            f"of {counted(count, 'document')} with a window of {window} tokens none is left to "
            f"{' and '.join(lacking)}, for a hash of its text says which part a document is in; use more documents, "
            "or a shorter window."
        )


def _joined(names: tuple[str, ...], pieces: list[_Piece], tokenizer: PreTrainedTokenizerBase, window: int) -> Corpus:
    counts = [len(piece.starts) for piece in pieces]
    numbers = np.repeat(np.arange(len(pieces), dtype=np.int32), counts)
    starts = np.concatenate([piece.starts for piece in pieces])
    bounds = np.concatenate([[0], np.cumsum([len(piece.ids) for piece in pieces])])
    ids = np.concatenate([piece.ids for piece in pieces])
    windows = Windows(
        ids[bounds[numbers, None] + starts[:, None] + np.arange(window)],
        np.repeat(np.array([piece.document for piece in pieces], dtype=np.int32), counts),
        np.concatenate([piece.following for piece in pieces]),
        Pieces(tokenizer),
        np.stack([numbers, starts], axis=1),
    )
    return Corpus(names, ids, bounds, windows, np.repeat(np.array([piece.part for piece in pieces]), counts))
