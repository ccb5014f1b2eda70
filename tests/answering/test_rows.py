"""Questions as arrays: the rows that they come to, what tells these apart, and how they are written out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from builders import text

from faithbench.answering.ledger import Ledger
from faithbench.answering.rows import rows_of
from faithbench.blocks import Masked, Rows, packed_bits
from faithbench.questions import GONE, HIDDEN, Attentions, Embeddings, Logits, Row
from faithbench.types import Text

FILLS = (None, 0, 5, 9, HIDDEN, GONE, "each")
TYPED = replace(text([1, 5, 5, 0, 7, 5, 8, 2, 1], name="typed"), types=np.array([0, 0, 0, 0, 0, 1, 1, 1, 1]))
NAMED = replace(TYPED, outputs=(2, 0))
ASKED = replace(TYPED, candidates=(4, 2))
TURNED = replace(text([5] * 16), candidates=(2, 4))
TEXTS = [text([1, 5, 6, 7, 1]), text([1, 1]), text([1, *[5, 6] * 9, 1]), text([5] * 16), TYPED, NAMED, ASKED, TURNED]


def random_question(one: Text, fill: object, seed: int) -> Logits:
    """Masks of which some are alike and some keep everything."""
    draws = np.random.default_rng(seed)
    keep = draws.random((12, len(one))) < 0.7
    keep[::4] = True
    keep[:, 0] = True  # something is left of each
    if fill == "each":
        fill = np.where(draws.random((12, 1)) < 0.5, 5, draws.choice([0, 5, 9, HIDDEN], keep.shape))
    return Logits(one, keep, fill)


def slow_rows(question: Logits) -> list[tuple]:
    """Ids, types, outputs and candidates of each row, from what a question says."""
    one, fill = question.text, question.text.mask_id if question.fill is None else question.fill
    rows, named = [], (one.outputs, one.candidates)
    for number, kept in enumerate(question.keep):
        places = range(len(one))
        if isinstance(fill, int) and fill == GONE:
            places = [place for place in places if kept[place]]
        here = fill[number] if isinstance(fill, np.ndarray) else [fill] * len(one)
        ids = tuple(int(one.ids[place] if kept[place] else here[place]) for place in places)
        rows.append((ids, None if one.types is None else tuple(one.types[list(places)].tolist()), *named))
    return rows


def told(row: Row) -> tuple:
    """A row as `slow_rows` has it."""
    return (
        tuple(row.ids.tolist()),
        None if row.types is None else tuple(row.types.tolist()),
        row.outputs,
        row.candidates,
    )


def written(question: Logits) -> list[tuple]:
    """The rows of a question as a model would see them, in the question's order."""
    rows: list = [None] * len(question.keep)
    for rowset in rows_of(question)[1]:
        places = np.arange(len(rowset.keys))
        made = Rows([(rowset.block, places)])
        for place, row in zip(places if rowset.places is None else rowset.places, made, strict=True):
            rows[place] = told(row)
    return rows


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_rows_are_those_that_the_question_describes(number: int, fill: object):
    for seed in range(4):
        question = random_question(TEXTS[number], fill, seed)
        assert written(question) == slow_rows(question)


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_rows_of_all_questions_have_one_number_if_and_only_if_they_are_equal(number: int):
    ledger, numbers = Ledger(stacked=True), {}
    for seed in range(3):
        for fill in FILLS:
            question = random_question(TEXTS[number], fill, seed)
            entered = np.full(len(question.keep), -1)
            for rowset in rows_of(question)[1]:
                known, new = ledger.enter(rowset)
                assert len(set(known[new])) == len(new)
                entered[slice(None) if rowset.places is None else rowset.places] = known
            for row, found in zip(slow_rows(question), entered.tolist(), strict=True):
                assert numbers.setdefault(row, found) == found, "equal rows have one number"
    assert len(set(numbers.values())) == len(numbers) == ledger.count, "and different rows do not"


def test_texts_of_the_same_tokens_and_other_candidates_share_no_row():
    ledger, numbers = Ledger(stacked=True), []
    for fill in (None, GONE, "each"):
        for one in (ASKED, replace(ASKED, candidates=(2, 4)), TYPED):
            for rowset in rows_of(random_question(one, fill, 0))[1]:
                numbers.append((one.candidates, ledger.enter(rowset)[0].tolist()))
    known = {
        candidates: {n for found, some in numbers if found == candidates for n in some} for candidates, _ in numbers
    }
    assert len(known) == 3
    assert sum(map(len, known.values())) == len(set.union(*known.values())) == ledger.count


def test_rows_of_language_models_and_of_others_are_rows_of_different_lanes():
    keep = np.ones((1, len(TYPED)), dtype=bool)
    assert rows_of(Logits(TYPED, keep))[0] != rows_of(Logits(ASKED, keep))[0]
    assert rows_of(Attentions(TYPED))[0] != rows_of(Attentions(ASKED))[0]


def test_candidates_are_told_for_each_row():
    blocks = [rows_of(random_question(one, None, 0))[1][0].block for one in (ASKED, replace(ASKED, candidates=(8, 7)))]
    rows = Rows([(blocks[0], np.arange(2)), (blocks[1], np.arange(1))])
    assert rows.candidates().tolist() == [[4, 2], [4, 2], [8, 7]]
    assert [row.candidates for row in rows] == [(4, 2), (4, 2), (8, 7)]
    assert mixed(0).candidates() is None


def test_embeddings_and_logits_are_rows_of_different_lanes():
    keep = np.ones((1, 5), dtype=bool)
    assert rows_of(Logits(TEXTS[0], keep))[0] != rows_of(Embeddings(TEXTS[0], keep))[0]


@pytest.mark.parametrize("fill", [1.5, float("nan"), "a"])
def test_a_fill_that_is_no_id_makes_no_sense(fill):
    question = Logits(TEXTS[0], np.zeros((1, 5), dtype=bool))
    object.__setattr__(question, "fill", fill)
    with pytest.raises((TypeError, ValueError)):
        rows_of(question)


def mixed(seed: int, hidden: bool = True) -> Rows:
    """Some rows of several texts of several lengths."""
    draws = np.random.default_rng(seed)
    slices = []
    for length in draws.integers(1, 40, draws.integers(1, 6)):
        keep = draws.random((7, length)) < 0.5
        fill = int(draws.choice([0, 3, HIDDEN] if hidden else [0, 3]))
        block = Masked(draws.integers(1, 99, length), None, None, fill, packed_bits(keep))
        slices.append((block, draws.integers(0, 7, draws.integers(1, 9))))
    return Rows(slices)


def slow_rectangle(rows: Sequence[Row]) -> np.ndarray:
    """Row by row."""
    ids = np.full((len(rows), max(len(row.ids) for row in rows)), HIDDEN)
    for own, row in zip(ids, rows, strict=True):
        own[: len(row.ids)] = row.ids
    return ids


@pytest.mark.parametrize("seed", range(12))
def test_masks_of_many_texts_are_written_out_at_once(seed: int):
    rows = mixed(seed)
    assert rows.packed() is not None
    np.testing.assert_array_equal(rows.rectangle(), slow_rectangle(rows))
    assert rows.lengths() == [len(row.ids) for row in rows]
    assert rows.packed().written == rows.rectangle().nbytes


def test_what_stands_below_each_other_may_have_no_types_or_be_written_out_already():
    blocks = [rowset.block for fill in (None, GONE) for rowset in rows_of(random_question(TYPED, fill, 0))[1]]
    plain = rows_of(random_question(TEXTS[2], "each", 1))[1]
    rows = Rows([(block, np.arange(1)) for block in (*blocks, *(rowset.block for rowset in plain))])
    assert rows.packed() is None
    np.testing.assert_array_equal(rows.rectangle(), slow_rectangle(rows))
    for own, row in zip(rows.types(), rows, strict=True):
        expected = np.zeros(rows.longest) if row.types is None else np.pad(row.types, (0, rows.longest - len(row.ids)))
        np.testing.assert_array_equal(own, expected)


def test_rows_are_a_sequence_like_any():
    rows = mixed(3)
    made = list(rows)
    assert len(rows) == len(made)
    assert rows[0] is made[0]
    assert rows[-1] is made[-1]
    assert [row is other for row, other in zip(rows[1:3], made[1:3], strict=True)] == [True, True]
    assert all(isinstance(row, Row) for row in rows)


def test_outputs_are_told_for_each_row():
    blocks = [rows_of(random_question(one, None, 0))[1][0].block for one in (NAMED, replace(NAMED, outputs=(1, 2)))]
    rows = Rows([(blocks[0], np.arange(2)), (blocks[1], np.arange(1))])
    assert rows.outputs().tolist() == [[2, 0], [2, 0], [1, 2]]
    assert mixed(0).outputs() is None


def test_answers_of_two_precisions_are_kept_in_the_finer_one():
    ledger, keep = Ledger(stacked=True), np.ones((2, 5), dtype=bool)
    keep[1, 2] = False
    (rowset,) = rows_of(Logits(TEXTS[0], keep))[1]
    numbers, _ = ledger.enter(rowset)
    third = np.array([[1 / 3]])
    ledger.put(numbers[:1], third, 1.0)
    ledger.put(numbers[1:], third.astype(np.float32), 2.0)
    assert ledger.answers(numbers).tolist() == [[1 / 3], [float(np.float32(1 / 3))]]
    assert (ledger.seconds(numbers), ledger.seconds(numbers[[1, 1]])) == (3.0, 4.0)
