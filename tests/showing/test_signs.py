"""Units never begin within what is written as one sign, and tokens without characters belong to their own word."""

import numpy as np
import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from faithbench.showing.html import line_html
from faithbench.showing.marked import continues, marked, units
from faithbench.types import Attribution, Target, Text

SIGNS = {
    "accents": "cafe\u0301 e\u0301toile\u0308 z\u0301\u0302\u0303a\u0327lgo",
    "vowel signs": "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e",
    "points": "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd",
    "joined": "\U0001f469\u200d\U0001f52c \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "dressed": "1\ufe0f\u20e3 \U0001f44d\U0001f3fd \u2764\ufe0f",
    "flags": "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
    "tones": "\u0e44\u0e21\u0e48\u0e21\u0e35\u0e19\u0e49\u0e33",
    "jamo": "\u1112\u1161\u11ab\u1100\u1173\u11af \uac00\u11ab",
}
VIRAMA = "\u094d"  # what it binds depends on the version of Unicode
LETTERS = sorted(set("".join(SIGNS.values())) - {VIRAMA}) + list("ab \n\t\x00\u202e,.")


def of_letters(source: str, words: list[int] | None = None, empty: tuple[int, ...] = ()) -> Text:
    """A text with a token for each letter; the letters at some places have, before them, a token of none."""
    spans = [span for n in range(len(source)) for span in ([(n, n)] if n in empty else []) + [(n, n + 1)]]
    return Text(
        id="t",
        ids=np.arange(len(spans)),
        special=np.zeros(len(spans), dtype=bool),
        words=np.arange(len(spans)) if words is None else np.array(words),
        tokens=tuple("x" * len(spans)),
        mask_id=0,
        source=source,
        offsets=np.array(spans),
    )


@pytest.mark.parametrize("source", SIGNS.values(), ids=list(SIGNS))
@pytest.mark.parametrize("by", ["word", "token"])
def test_every_unit_is_whole_signs(source, by):
    text = of_letters(source)
    line = marked(text, Attribution("t", Target(0), np.ones(len(text))), by)
    assert line.text == source
    assert [mark.text for mark in line.scored if mark.text.strip()] == [
        sign for sign in regex.findall(r"\X", source) if sign.strip()
    ]
    assert sum(mark.score for mark in line.scored) == len(source)


@given(st.text(st.sampled_from(LETTERS), max_size=12))
@example("\U0001f1e9\U0001f1ea\U0001f1eb")
def test_signs_are_those_of_unicode(source):
    ours = [at for at in range(1, len(source)) if not continues(source, at)]
    theirs = [found.start() for found in regex.finditer(r"\X", source)][1:]
    assert {at for at in theirs if source[at] != "\n"} - set(ours) <= {
        at
        for at in theirs
        if source[at - 1] == "\u200d"  # which binds anything here
    }
    lost = set(ours) - set(theirs)
    assert all(source[at - 1].isspace() for at in lost)  # blanks and marks behind them are no words


def test_a_token_of_no_characters_is_of_its_own_word():
    text = of_letters("ab cd", words=[0, 0, 1, 1, 1, 1], empty=(2,))  # "▁" and then " ", "c", "d"
    np.testing.assert_array_equal(units(text), [0, 0, 1, 1, 1, 1])
    alone = of_letters("ab", words=[0, 1, 2], empty=(1,))  # it is no piece of a neighbour's word
    np.testing.assert_array_equal(units(alone), [0, 0, 1])
    assert list(units(of_letters("ab", words=[0, 0, 0], empty=(0,)))) == [0, 0, 0]


def test_no_sign_stands_between_a_letter_and_its_accent():
    text = of_letters(SIGNS["accents"])
    html = line_html(marked(text, Attribution("t", Target(0), np.arange(len(text)) - 5.0), "token"))
    assert not regex.search(r">\p{M}", html)


def test_each_row_of_flags_is_looked_at_once():
    source = f"{SIGNS['flags'] * 10_000} a {SIGNS['flags'][:3]}"  # minutes where each letter counts those before it
    begins = [at for at in range(1, len(source)) if not continues(source, at)]
    assert begins == [*range(2, 40_000, 2), 40_000, 40_001, 40_002, 40_003, 40_005]
