"""Batches: the oldest first, like lengths, little padding, and nothing lost or twice."""

import numpy as np
import pytest

from faithbench.answering.ledger import Ledger
from faithbench.answering.queue import MAX_PADDING, Part, Queue
from faithbench.answering.rows import Lane, Singles
from faithbench.questions import Attentions, Inside, Logits, Row

LANE = Lane(Logits)


def part(length: int, rows: int, age: int, lane: Lane = LANE) -> Part[str]:
    """Open rows of a conversation that is called by its age."""
    block = Singles([Row(np.zeros(length, dtype=int))] * rows, length)
    return Part(str(age), age, lane, Ledger(stacked=True), block, np.arange(rows), np.arange(rows))


def drained(queue: Queue[str], budget: int) -> list[list[tuple[str, int, int]]]:
    """Batches until nothing waits: whose rows, how many, of what length."""
    batches = []
    while queue:
        batch = queue.pack(budget)
        queue.take(batch)
        batches.append([(share.part.owner, len(share.places), share.part.block.length) for share in batch])
    return batches


@pytest.mark.parametrize("seed", range(20))
def test_every_row_is_in_one_batch_and_no_batch_is_too_large_or_padded_too_much(seed: int):
    draws = np.random.default_rng(seed)
    parts = [part(int(n), int(k), age) for age, (n, k) in enumerate(draws.integers(1, 60, (80, 2)))]
    queue, budget = Queue(), int(draws.integers(50, 900))
    for one in parts:
        queue.add(one)
    assert queue.tokens == sum(one.left * one.block.length for one in parts)
    batches = drained(queue, budget)
    for batch in batches:
        rows, width = sum(count for _, count, _ in batch), max(length for *_, length in batch)
        assert rows == 1 or rows * width <= budget
        assert rows * width - sum(count * length for _, count, length in batch) <= MAX_PADDING * rows * width + 1e-9
    taken = {one.owner: 0 for one in parts}
    for owner, count, _ in (share for batch in batches for share in batch):
        taken[owner] += count
    assert taken == {one.owner: len(one.places) for one in parts}
    assert queue.tokens == 0
    assert not queue._lanes
    assert not queue._oldest, "nothing is kept of what has been taken"


def test_a_part_is_taken_in_order_and_none_of_it_twice():
    queue, one = Queue(), part(10, 25, 0)
    queue.add(one)
    places = []
    while queue:
        batch = queue.pack(70)
        queue.take(batch)
        places += [place for share in batch for place in share.places.tolist()]
    assert places == list(range(25))


def test_a_batch_that_was_not_taken_is_packed_again():
    queue = Queue()
    queue.add(part(10, 5, 0))
    assert [len(share.places) for share in queue.pack(100)] == [5]
    assert [len(share.places) for share in queue.pack(20)] == [2]


def test_the_oldest_conversation_leads_then_its_length_then_the_nearest():
    queue = Queue()
    for length, rows, age in ((32, 1, 3), (31, 1, 2), (30, 1, 1), (30, 1, 4), (90, 9, 0)):
        queue.add(part(length, rows, age))
    assert [[owner for owner, *_ in batch] for batch in drained(queue, 1000)] == [["0"], ["1", "4", "2", "3"]]


def test_lanes_never_meet_and_functions_look_one_at_a_time():
    queue = Queue()
    for age, lane in enumerate((LANE, Lane(Attentions), LANE, Lane(Inside, "a"), Lane(Inside, "a"))):
        queue.add(part(5, 2, age, lane))
    owners = [[owner for owner, *_ in batch] for batch in drained(queue, 1000)]
    assert owners == [["0", "2"], ["1"], ["3"], ["3"], ["4"], ["4"]]


def test_rows_of_which_padding_allows_few_are_added_as_far_as_it_does():
    queue = Queue()
    queue.add(part(16, 16, 0))
    queue.add(part(8, 50, 1))
    assert drained(queue, 10_000)[0] == [("0", 16, 16), ("1", 2, 8)]  # 16 of 288 tokens are padding, 24 of 304 were not
