"""Rows of a text as arrays: how the rows of a question reach a model without each being made by itself.

A classifier is given a sequence of `Row`. Where it is `Rows`, a model that puts rows below each other anyway can take
them so; to every other it is a sequence like any.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, overload

import numpy as np
from jaxtyping import Int, UInt8

from faithbench.questions import HIDDEN, Row

Outputs = tuple[int, ...] | None  # and candidates
ALL = 0xFF  # eight places that are kept


@dataclass(frozen=True, eq=False)
class Masked:
    """A text under masks.

    Args:
        ids: of its tokens.
        types: of its tokens; None where the model is left its default.
        outputs: numbers of the outputs that are wanted; None for all.
        fill: what stands in the place of a token that is not kept, an id or `HIDDEN`.
        bits: a mask a row, eight places a byte, the first place in the highest bit; 1 where the token is kept, and
            behind the last.
        candidates: of a language model's next token; None for other models.
    """

    ids: Int[np.ndarray, "tokens"]
    types: Int[np.ndarray, "tokens"] | None
    outputs: Outputs
    fill: int
    bits: UInt8[np.ndarray, "rows bytes"]
    candidates: Outputs = None

    @property
    def length(self) -> int:
        """Tokens of each row."""
        return len(self.ids)

    def ids_of(self, places: Int[np.ndarray, "some"]) -> Int[np.ndarray, "some tokens"]:
        """Ids of some of the rows."""
        ids = np.unpackbits(self.bits[places], axis=1, count=len(self.ids)).astype(np.int64)
        ids *= self.ids - self.fill
        ids += self.fill
        return ids

    def types_of(self, places: Int[np.ndarray, "some"]) -> Int[np.ndarray, "some tokens"] | None:
        """Token types of some of the rows."""
        return None if self.types is None else np.broadcast_to(self.types, (len(places), len(self.types)))


@dataclass(frozen=True, eq=False)
class Given:
    """Rows of one length whose ids are written out."""

    ids: Int[np.ndarray, "rows tokens"]
    types: Int[np.ndarray, "rows tokens"] | None
    outputs: Outputs
    candidates: Outputs = None

    @property
    def length(self) -> int:
        """Tokens of each row."""
        return self.ids.shape[1]

    def ids_of(self, places: Int[np.ndarray, "some"]) -> Int[np.ndarray, "some tokens"]:
        """Ids of some of the rows."""
        return self.ids[places]

    def types_of(self, places: Int[np.ndarray, "some"]) -> Int[np.ndarray, "some tokens"] | None:
        """Token types of some of the rows."""
        return None if self.types is None else self.types[places]


Block = Masked | Given
Slice = tuple[Block, Int[np.ndarray, "some"]]  # some rows of a block, by their places in it


class Packed(NamedTuple):
    """Masked rows of several texts with nothing written twice: what has to be sent to a device, and no more.

    Args:
        ids: of each text, `HIDDEN` behind its end.
        fills: of each text.
        which: the text of each row.
        bits: the masks, as in `Masked`, all kept behind a text's end.
    """

    ids: Int[np.ndarray, "texts longest"]
    fills: Int[np.ndarray, "texts 1"]
    which: Int[np.ndarray, "rows"]
    bits: UInt8[np.ndarray, "rows bytes"]

    @property
    def nbytes(self) -> int:
        """Its size."""
        return sum(array.nbytes for array in self)

    @property
    def written(self) -> int:
        """The size of the rows written out."""
        return len(self.which) * self.ids.shape[1] * self.ids.itemsize

    def rectangle(self) -> Int[np.ndarray, "rows longest"]:
        """The rows written out."""
        ids = np.unpackbits(self.bits, axis=1, count=self.ids.shape[1]).astype(np.int64)
        if len(self.ids) == 1:
            ids *= self.ids[0] - self.fills[0]
            ids += self.fills[0]
            return ids
        ids *= (self.ids - self.fills)[self.which]
        ids += self.fills[self.which]
        return ids


class Rows(Sequence[Row]):
    """Rows of blocks, each made when somebody looks at it.

    All name as many outputs, or none does; and as many candidates.
    """

    def __init__(self, slices: Sequence[Slice]) -> None:
        self.slices = slices
        self.counts = [len(places) for _, places in slices]

    def __len__(self) -> int:
        return sum(self.counts)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self._made[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._made)

    @cached_property
    def _made(self) -> list[Row]:
        return [row for block, places in self.slices for row in _rows_of(block, places)]

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return max(block.length for block, _ in self.slices)

    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [block.length for (block, _), count in zip(self.slices, self.counts, strict=True) for _ in range(count)]

    def packed(self) -> Packed | None:
        """The rows in brief; None where some are written out."""
        blocks = [block for block, _ in self.slices if isinstance(block, Masked)]
        if len(blocks) < len(self.slices):
            return None
        ids = [block.ids for block in blocks]
        bits = [block.bits[places] for block, (_, places) in zip(blocks, self.slices, strict=True)]
        return Packed(
            _below(ids, HIDDEN),
            np.array([[block.fill] for block in blocks]),
            np.repeat(np.arange(len(blocks)), self.counts),
            _side_by_side(bits),
        )

    def rectangle(self) -> Int[np.ndarray, "rows longest"]:
        """Ids below each other; what is not there is hidden."""
        packed = self.packed()
        if packed is not None:
            return packed.rectangle()
        return self._below([block.ids_of(places) for block, places in self.slices], HIDDEN)

    def types(self) -> Int[np.ndarray, "rows longest"] | None:
        """Token types below each other, 0 where a row has none; None where no row has some."""
        found = [block.types_of(places) for block, places in self.slices]
        if all(types is None for types in found):
            return None
        return self._below([np.zeros((0, 0), np.int64) if types is None else types for types in found], 0)

    def outputs(self) -> Int[np.ndarray, "rows outputs"] | None:
        """The outputs that each row names; None where they name none."""
        if self.slices[0][0].outputs is None:
            return None
        return np.repeat([block.outputs for block, _ in self.slices], self.counts, axis=0)

    def candidates(self) -> Int[np.ndarray, "rows candidates"] | None:
        """The candidates of each row; None where they have none."""
        if self.slices[0][0].candidates is None:
            return None
        return np.repeat([block.candidates for block, _ in self.slices], self.counts, axis=0)

    def _below(self, parts: Sequence[Int[np.ndarray, "_ _"]], missing: int) -> Int[np.ndarray, "rows longest"]:
        whole, start = np.full((len(self), self.longest), missing), 0
        for part, count in zip(parts, self.counts, strict=True):
            whole[start : start + len(part), : part.shape[1]] = part
            start += count
        return whole


def packed_bits(keep: np.ndarray) -> UInt8[np.ndarray, "rows bytes"]:
    """Masks eight places a byte, 1 behind the last place."""
    bits = np.packbits(keep if keep.dtype == bool else keep.astype(bool), axis=1)
    if behind := -keep.shape[1] % 8:
        bits[:, -1] |= (1 << behind) - 1
    return bits


def _rows_of(block: Block, places: Int[np.ndarray, "some"]) -> Iterator[Row]:
    types = block.types_of(places)
    for number, ids in enumerate(block.ids_of(places)):
        yield Row(ids, None if types is None else types[number], None, block.outputs, block.candidates)


def _below(rows: Sequence[np.ndarray], missing: int) -> np.ndarray:
    """Rows of several lengths below each other."""
    longest = max(map(len, rows))
    if all(len(row) == longest for row in rows):
        return np.array(rows)
    whole = np.full((len(rows), longest), missing, dtype=rows[0].dtype)
    for own, row in zip(whole, rows, strict=True):
        own[: len(row)] = row
    return whole


def _side_by_side(parts: Sequence[UInt8[np.ndarray, "_ _"]]) -> UInt8[np.ndarray, "rows bytes"]:
    """Masks of several lengths below each other, all kept behind the shorter ones."""
    longest = max(part.shape[1] for part in parts)
    if all(part.shape[1] == longest for part in parts):
        return np.concatenate(parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, longest - part.shape[1])), constant_values=ALL) for part in parts])
