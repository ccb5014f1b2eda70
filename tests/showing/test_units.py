"""Words and tokens as units of a line: whatever the script and the tokenizer, all scores and all characters stay."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from builders import tiny_classifier
from hypothesis import given
from hypothesis import strategies as st

from faithbench.showing.marked import boundary, by_token, by_word, marked, units, unread
from faithbench.types import Attribution, Example, Target, Text


def text(source: str, spans: list[tuple[int, int]], words: list[int], **more: object) -> Text:
    count = len(spans)
    offsets = np.array([(0, 0), *spans, (0, 0)]).reshape(-1, 2)
    special = np.array([True, *[False] * count, True])
    return Text(
        "x",
        ids=np.arange(count + 2),
        special=special,
        words=np.array([-1, *words, -1]),
        tokens=tuple("t" * (count + 2)),
        mask_id=0,
        source=source,
        offsets=offsets,
        **more,
    )


def attribution(count: int) -> Attribution:
    return Attribution("x", Target(0), np.array([9.0, *range(1, count + 1), 9.0]))


def test_bytes_of_an_emoji_are_one_unit():
    found = text("a 😀 b", [(0, 1), (2, 3), (2, 3), (2, 3), (4, 5)], [0, 1, 1, 1, 2])
    spans, scores = by_token(found, attribution(5).scores)
    assert (spans, list(scores)) == ([(0, 1), (2, 3), (4, 5)], [1.0, 2.0 + 3 + 4, 5.0])
    assert [mark.text for mark in marked(found, attribution(5), "token").scored] == ["a", "😀", "b"]


def test_tokens_without_characters_join_a_neighbour():
    found = text("ab", [(0, 0), (0, 1), (1, 1), (1, 2)], [0, 1, 1, 2])
    spans, scores = by_token(found, attribution(4).scores)
    assert (spans, list(scores)) == ([(0, 1), (1, 2)], [6.0, 4.0])


def test_where_a_token_without_characters_stands_says_nothing_of_its_unit():
    found = text("石油", [(0, 1), (0, 0), (1, 2)], [0, 0, 0])
    spans, scores = by_word(found, attribution(3).scores)
    assert (spans, list(scores)) == ([(0, 1), (1, 2)], [1.0, 5.0])


def test_a_word_of_a_script_without_spaces_falls_into_tokens():
    found = text("油价下跌 now", [(0, 2), (2, 4), (5, 8)], [0, 0, 1])
    assert list(units(found)) == [0, 1, 2]
    latin = text("oilprice now", [(0, 3), (3, 8), (9, 12)], [0, 0, 1])
    assert list(units(latin)) == [0, 0, 1]
    spans, scores = by_word(latin, attribution(3).scores)
    assert (spans, list(scores)) == ([(0, 8), (9, 12)], [3.0, 3.0])


def test_blanks_that_a_tokenizer_counts_in_are_not_coloured():
    found = text("a  dull", [(0, 1), (1, 7)], [0, 1])
    assert [mark.text for mark in marked(found, attribution(2)).marks] == ["a", "  ", "dull"]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3), st.booleans()), max_size=8), st.sampled_from("wt"))
def test_no_score_is_lost_and_spans_do_not_overlap(parts: list[tuple[int, int, bool]], by: str):
    source, starts = "石油 prices ไทย", sorted(start for start, _, _ in parts)
    spans = [(start, min(start + size, len(source))) for start, (_, size, _) in zip(starts, parts, strict=True)]
    words = list(np.cumsum([new for _, _, new in parts]))
    found = text(source, spans, [int(word) for word in words])
    ends, scores = (by_word if by == "w" else by_token)(found, attribution(len(spans)).scores)
    assert scores.sum() == pytest.approx(sum(range(1, len(spans) + 1)))
    assert all(a[1] <= b[0] for a, b in pairwise(ends))
    assert marked(found, attribution(len(spans)), "word" if by == "w" else "token").text == source


def test_a_text_without_offsets_shows_its_tokens():
    found = replace(text("a b", [(0, 1), (2, 3)], [0, 1]), offsets=None, tokens=("[CLS]", "a", "b", "[SEP]"))
    shown = marked(found, attribution(2))
    assert shown.text == "[CLS] a b [SEP]"
    assert [(mark.text, mark.score) for mark in shown.scored] == [("a", 1.0), ("b", 2.0)]


def test_where_a_pair_begins_and_what_was_cut_of_both():
    classifier = tiny_classifier("bert")
    short = classifier.encode(Example("x", "a dull\nlion", None, pair="an old boat"))
    assert short.source[boundary(short) :] == "an old boat"
    assert boundary(classifier.encode(Example("x", "a dull\nlion", None))) is None
    long = classifier.encode(Example("x", "a dull lion " * 20, None, pair="an old boat " * 20))
    cut = unread(long)
    assert len(cut) == 2
    read = len(long.source) - sum(end - start for start, end in cut)
    assert read < sum(len(token) + 1 for token in long.tokens)
    assert marked(long, Attribution("x", Target(0), np.ones(len(long)))).text == long.source
