"""Pairs of texts as one input, and words of tokenizers that know of none."""

import numpy as np
import pytest
from networks import LIMIT, SENTENCES, byte_pairs, end_of_text_pairs, generic, unbounded_words, word_pieces
from transformers import PreTrainedTokenizerBase

from faithbench.models.reading import read_text
from faithbench.types import Example

FIRST, SECOND = "the old garden", "a fresh bench and trees"
TOKENIZERS = pytest.mark.parametrize("make", [word_pieces, byte_pairs, end_of_text_pairs])


def pair(text: str = FIRST, other: str = SECOND, **marks: object) -> Example:
    return Example("0", text, None, pair=other, **marks)


@TOKENIZERS
def test_a_pair_is_what_the_tokenizer_makes_of_it(make):
    found = read_text(make(), pair(), LIMIT)
    expected = make()(FIRST, SECOND, return_special_tokens_mask=True).encodings[0]
    assert found.ids.tolist() == expected.ids
    assert found.types.tolist() == expected.type_ids
    assert found.special.tolist() == [bool(flag) for flag in expected.special_tokens_mask]
    assert found.source == f"{FIRST}\n{SECOND}"
    assert not found.truncated


@TOKENIZERS
def test_offsets_of_the_second_text_count_on_behind_a_line_break(make):
    found = read_text(make(), pair(), LIMIT)
    pieces = [found.source[start:end] for start, end in found.offsets[~found.special]]
    assert "".join("".join(pieces).split()) == (FIRST + SECOND).replace(" ", "")
    span = (len(FIRST) + 1 + SECOND.index("bench"), len(FIRST) + 1 + SECOND.index("bench") + len("bench"))
    marked = found.marked((span,))
    assert "".join(found.source[start:end] for start, end in found.offsets[marked]).strip() == "bench"


@TOKENIZERS
def test_words_are_counted_on_in_the_second_text(make):
    found = read_text(make(), pair(), LIMIT)
    content = found.words[~found.special]
    assert sorted(set(content.tolist())) == list(range(8))
    assert (np.diff(content) >= 0).all()
    second = found.words[~found.special & (found.offsets[:, 0] > len(FIRST))]
    assert second.min() == 3


@TOKENIZERS
@pytest.mark.parametrize("limit", [8, 9, 12])
def test_of_two_that_are_too_long_the_longer_is_cut_and_it_is_said(make, limit: int):
    whole, cut = read_text(make(), pair(), LIMIT), read_text(make(), pair(), limit)
    assert cut.ids.tolist() == make()(FIRST, SECOND, truncation=True, max_length=limit).input_ids
    assert len(cut.ids) == min(limit, len(whole.ids))
    assert cut.truncated == (len(whole.ids) > limit)


def test_a_pair_whose_first_text_alone_is_cut_is_said_to_be_cut():
    length = len(read_text(word_pieces(), pair(SECOND * 3, "a"), LIMIT).ids)
    assert read_text(word_pieces(), pair(SECOND * 3, "a"), length - 1).truncated
    assert not read_text(word_pieces(), pair(SECOND * 3, "a"), length).truncated


def test_marks_over_both_texts_find_tokens_of_both():
    text = generic("Bert").encode(pair(rationale=((4, 7), (len(FIRST) + 1 + 2, len(FIRST) + 1 + 7))))
    pieces = "".join(token.removeprefix("##") for token, mark in zip(text.tokens, text.rationale, strict=True) if mark)
    assert pieces == "oldfresh"
    assert set(text.types[text.rationale].tolist()) == {0, 1}


def test_a_single_text_has_no_types_to_pass_on():
    assert generic("Bert").encode(Example("0", FIRST, None)).types is None


class TestWordsByWhiteSpace:
    """A tokenizer of SentencePiece may call a whole text one word."""

    def words(self, tokenizer: PreTrainedTokenizerBase, example: Example) -> list[str]:
        found = read_text(tokenizer, example, LIMIT)
        numbers = found.words[~found.special]
        offsets = found.offsets[~found.special]
        words = [offsets[numbers == number] for number in range(numbers.max() + 1)]
        return [found.source[word[:, 0].min() : word[:, 1].max()].strip() for word in words]

    def test_the_tokenizer_itself_knows_of_one_word(self):
        assert set(unbounded_words()(SENTENCES[0]).word_ids()) == {0}

    @pytest.mark.parametrize("sentence", [*SENTENCES, "  soup   warm\tand bread ", "the soup was\nwarm"])
    def test_words_are_what_white_space_parts(self, sentence: str):
        assert self.words(unbounded_words(), Example("0", sentence, None)) == sentence.split()

    def test_and_of_pairs(self):
        assert self.words(unbounded_words(), pair()) == [*FIRST.split(), *SECOND.split()]

    def test_of_tokenizers_that_know_words_theirs_are_kept(self):
        found = read_text(word_pieces(), Example("0", "the soup, the bread", None), LIMIT)
        assert found.words.max() + 1 == 5  # the comma is one
