"""Open rows by lane and length, and how batches are filled from them."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Int

from faithbench.answering.ledger import Ledger
from faithbench.answering.rows import Lane, Singles
from faithbench.blocks import Block, Rows
from faithbench.questions import Inside

MAX_PADDING = 1 / 16  # share of a batch that may be padding

Owner = TypeVar("Owner")


@dataclass(eq=False)
class Part(Generic[Owner]):
    """Rows of one length that a question has opened.

    Args:
        owner: the conversation.
        age: of the owner; the least is the oldest.
        lane: of the rows.
        ledger: where their answers belong.
        block: in which they are.
        places: in the block.
        numbers: in the ledger.
        taken: how many of them have been given to the model.
    """

    owner: Owner
    age: int
    lane: Lane
    ledger: Ledger
    block: Block | Singles
    places: Int[np.ndarray, "rows"]
    numbers: Int[np.ndarray, "rows"]
    taken: int = 0

    @property
    def left(self) -> int:
        """How many rows still are open."""
        return len(self.places) - self.taken


@dataclass(frozen=True, eq=False)
class Share(Generic[Owner]):
    """The rows of a part that are in a batch."""

    part: Part[Owner]
    places: Int[np.ndarray, "some"]
    numbers: Int[np.ndarray, "some"]


Batch = Sequence[Share[Owner]]


class Queue(Generic[Owner]):
    """What waits for the model. Running counts, so that a batch costs what it holds, however much waits."""

    def __init__(self) -> None:
        self.tokens = 0  # of all open rows
        self._lanes: dict[Lane, dict[int, deque[Part[Owner]]]] = {}
        self._oldest: list[tuple[int, int, Part[Owner]]] = []  # a heap
        self._count = 0
        self._spent = 0  # parts in the heap that have no open rows any more

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def add(self, part: Part[Owner]) -> None:
        """Rows to be asked."""
        self._lanes.setdefault(part.lane, {}).setdefault(part.block.length, deque()).append(part)
        self._count += 1
        heappush(self._oldest, (part.age, self._count, part))
        self.tokens += part.left * part.block.length

    def take(self, batch: Batch[Owner]) -> None:
        """Rows that the model has been given."""
        for share in batch:
            part, lengths = share.part, self._lanes[share.part.lane]
            part.taken += len(share.places)
            self.tokens -= len(share.places) * part.block.length
            parts = lengths[part.block.length]
            while parts and not parts[0].left:
                parts.popleft()
            if not parts:
                del lengths[part.block.length]
            if not lengths:
                del self._lanes[part.lane]
            self._spent += not part.left
        if 2 * self._spent > len(self._oldest):
            self._oldest, self._spent = [entry for entry in self._oldest if entry[-1].left], 0
            heapify(self._oldest)

    def pack(self, budget: int) -> list[Share[Owner]]:
        """Fills a batch of the oldest's lane with rows of its length, then of the nearest lengths; at least one row.

        Args:
            budget: tokens that it may hold, padding included.
        """
        leader = self._leader()
        batch: list[Share[Owner]] = []
        longest = rows = tokens = 0
        for part in self._nearest(leader):
            length = part.block.length
            width = max(longest, length)
            fit = min(max(budget // width - rows, 0 if rows else 1), part.left)
            fit = min(fit, 1 - rows) if part.lane.kind is Inside else fit
            fit = _padded(fit, length, width, rows, tokens)
            if fit <= 0:
                break
            chosen = slice(part.taken, part.taken + fit)
            batch.append(Share(part, part.places[chosen], part.numbers[chosen]))
            longest, rows, tokens = width, rows + fit, tokens + fit * length
        return batch

    @property
    def lane(self) -> Lane:
        """Of the oldest open row."""
        return self._leader().lane

    def _leader(self) -> Part[Owner]:
        while not self._oldest[0][-1].left:
            heappop(self._oldest)
            self._spent -= 1
        return self._oldest[0][-1]

    def _nearest(self, leader: Part[Owner]) -> Iterator[Part[Owner]]:
        """Parts with open rows: the leader, those of its length, then of lengths ever further from it."""
        lengths, own = self._lanes[leader.lane], leader.block.length
        yield leader
        yield from (part for part in self._open(lengths, own) if part is not leader)
        for length in sorted(lengths, key=lambda length: abs(length - own)):
            if length != own:
                yield from self._open(lengths, length)

    @staticmethod
    def _open(lengths: dict[int, deque[Part[Owner]]], length: int) -> Iterator[Part[Owner]]:
        return (part for part in lengths[length] if part.left)


def _padded(fit: int, length: int, width: int, rows: int, tokens: int) -> int:
    """How many of so many rows of a length a batch can be given without too much padding."""
    room = MAX_PADDING * width * rows - (width * rows - tokens)
    over = width - length - MAX_PADDING * width  # padding beyond what each such row allows for
    if over <= 0:
        return fit if room - over * fit >= 0 else 0
    return min(fit, int(room / over))


def rows_for(batch: Batch[Owner]) -> Sequence[Any]:
    """What the model is given for a batch."""
    first = batch[0].part.block
    if not isinstance(first, Singles):
        return Rows([(share.part.block, share.places) for share in batch])  # type: ignore[misc]  # of one kind
    blocks = ((share.part.block, share.places) for share in batch)
    return [block.rows[place] for block, places in blocks if isinstance(block, Singles) for place in places.tolist()]
