"""Rows as a device gets them: written out there from masks, as they would be written out here."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import KINDS, random_texts, tiny_classifier

from faithbench.answering.rows import rows_of
from faithbench.blocks import Masked, Rows, packed_bits
from faithbench.errors import QuestionError
from faithbench.models.batches import ids_on
from faithbench.questions import GONE, HIDDEN, Logits, Row

CPU = torch.device("cpu")


def some_rows(lengths: list[int], fill: int, seed: int = 0) -> Rows:
    """Rows of texts of these lengths, three of each."""
    draws = np.random.default_rng(seed)
    blocks = [
        Masked(draws.integers(1, 9, n), None, None, fill, packed_bits(draws.random((3, n)) < 0.5)) for n in lengths
    ]
    return Rows([(block, np.array([2, 0, 1])) for block in blocks])


@pytest.mark.parametrize("lengths", [[1], [8], [16, 16], [9, 8, 7, 31], [40, 3]])
@pytest.mark.parametrize("fill", [0, 5, HIDDEN])
def test_ids_of_a_device_are_those_of_the_host(lengths: list[int], fill: int):
    rows = some_rows(lengths, fill)
    ids, visible = ids_on(rows.packed(), CPU)
    np.testing.assert_array_equal(ids.numpy(), rows.rectangle())
    assert ids.dtype == torch.int64
    if visible is None:
        assert (rows.rectangle() != HIDDEN).all()
    else:
        np.testing.assert_array_equal(visible.numpy(), rows.rectangle() != HIDDEN)


def test_masks_are_less_to_send_than_rows_where_texts_are_asked_often():
    often = Rows([(some_rows([512], 0).slices[0][0], np.zeros(100, dtype=int))])
    assert often.packed().nbytes < often.packed().written / 20
    once = Rows([(some_rows([4], 0).slices[0][0], np.zeros(1, dtype=int))])
    assert once.packed().nbytes > once.packed().written


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fill", [None, 5, HIDDEN, GONE])
def test_logits_of_blocks_are_those_of_their_rows(kind: str, fill: int | None):
    classifier = tiny_classifier(kind, dtype=torch.float64)
    keep = [np.random.default_rng(0).random((6, len(one))) < 0.7 for one in random_texts(classifier, (5, 9))]
    slices = []
    for one, kept in zip(random_texts(classifier, (5, 9)), keep, strict=True):
        kept[:, 0] = True
        slices += [(r.block, np.arange(len(r.keys))) for r in rows_of(Logits(one, kept, fill))[1]]
    rows = Rows(slices)
    alone = np.concatenate([classifier.logits([row]) for row in rows])
    np.testing.assert_allclose(classifier.logits(rows), alone, rtol=0, atol=1e-12)
    np.testing.assert_allclose(classifier.logits(list(rows)), alone, rtol=0, atol=1e-12)


def test_a_model_that_cannot_hide_refuses_hidden_tokens_and_not_padding():
    classifier = tiny_classifier("bert")
    classifier.can = replace(classifier.can, hides=False)
    assert classifier.logits(some_rows([5, 4], 3)).shape == (6, 2)
    for rows in (some_rows([5, 4], HIDDEN), [Row(np.array([1, HIDDEN, 2]))]):
        with pytest.raises(QuestionError, match="cannot hide a token"):
            classifier.logits(rows)


def test_named_outputs_are_those_of_the_blocks():
    classifier = tiny_classifier("bert", classes=3)
    blocks = [
        Masked(np.arange(2, 7), None, outputs, 0, packed_bits(np.ones((2, 5), dtype=bool))) for outputs in ((2,), (1,))
    ]
    whole = classifier.logits([Row(np.arange(2, 7))])[0]
    rows = Rows([(block, np.arange(2)) for block in blocks])
    np.testing.assert_allclose(classifier.logits(rows)[:, 0], whole[[2, 2, 1, 1]], rtol=0, atol=1e-6)
