"""Coloured lines: the same pieces, strengths and signs at each door; hostile text does nothing."""

import html as library
import math
import re

import numpy as np
import pytest
from browser import browser, complaints, page
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from faithbench.showing.html import AGAINST, FOR, LINE_CSS, line_html
from faithbench.showing.marked import line, strengths
from faithbench.showing.terminal import line_text

TEXT, SPANS = "a superb, dull film", [(0, 1), (2, 8), (10, 14), (15, 19)]
SCORES = np.array([0.1, 2.0, -1.1, 0.5])
HOSTILE = """<script>document.title='broken'</script><img src=x onerror="document.title='broken'">"'&\x1b[31m\u202e"""


def test_a_line_holds_the_text_with_strengths_beside_the_largest():
    marked = line(TEXT, SPANS, SCORES, np.array([False, True, False, False]))
    assert "".join(mark.text for mark in marked.marks) == TEXT
    assert [mark.strength for mark in marked.scored] == [0, 4, 3, 1]
    assert [mark.sign for mark in marked.scored] == [0, 1, -1, 1]
    assert [mark.suffix for mark in marked.scored] == ["", "++", "−−", "+"]
    assert [mark.framed for mark in marked.scored] == [False, True, False, False]


@given(st.lists(st.floats(-1e6, 1e6), max_size=8))
def test_strengths_do_not_depend_on_scale_or_sign(scores):
    found = strengths(np.array(scores))
    assert ((found >= 0) & (found <= 4)).all()
    np.testing.assert_array_equal(found, strengths(np.array(scores) * -8.0))


@given(st.text(max_size=20), st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)), max_size=6))
def test_whatever_the_spans_the_pieces_are_the_text(text, spans):
    inside = sorted((min(a, len(text)), min(b, len(text))) for a, b in spans)
    marked = line(text, inside, np.ones(len(inside)))
    assert "".join(mark.text for mark in marked.marks) == text


def test_signs_are_readable_in_a_terminal_without_colour():
    marked = line(TEXT, SPANS, SCORES, np.array([False, True, False, False]))
    assert line_text(marked).plain == "a [superb]++, dull−− film+"
    assert line_text(marked, "ascii").plain == "a [superb]++, dull-- film+"
    console = Console(force_terminal=True, color_system="truecolor", width=80)
    with console.capture() as shown:
        console.print(line_text(marked))
    assert f"48;2;{';'.join(str(int(FOR[3][i : i + 2], 16)) for i in (1, 3, 5))}m" in shown.get()


def test_a_terminal_obeys_nothing_in_a_text():
    assert "\x1b" not in line_text(line(HOSTILE, [(0, 8)], np.ones(1))).plain


def contrast(colour: str) -> float:
    """With black, as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) / 0.05


@pytest.mark.parametrize("tint", [*FOR, *AGAINST])
def test_tints_keep_a_contrast(tint):
    assert contrast(tint) > 4.5 * 1.5


@given(st.text(max_size=30))
def test_html_says_the_text_and_no_more(text):
    shown = line_html(line(text, [(0, len(text))], np.full(1, math.nan)))
    assert "<mark" not in shown or text
    inner = re.sub(r"<[^>]*>", "", shown)
    assert not re.search(r"<(?!/?(?:div|mark|sup)\b)", shown)
    assert "\x00" not in library.unescape(inner)


@pytest.mark.slow
def test_hostile_text_runs_nothing_in_a_browser(tmp_path):
    file = tmp_path / "line.html"
    body = line_html(line(HOSTILE, [(0, 20), (25, len(HOSTILE))], np.array([1.0, -1.0])))
    file.write_text(f"<!doctype html><meta charset=utf-8><title>fine</title><style>{LINE_CSS}</style>{body}", "utf-8")
    with browser() as opened:
        opened.get(page(file))
        assert opened.title == "fine"
        assert complaints(opened) == []
        assert "<script>" in opened.find_element("class name", "fb-line").text
