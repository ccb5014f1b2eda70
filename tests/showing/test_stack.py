"""Windows token by token: one scale for all of them, signs below their tokens at every door, and nothing is obeyed."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hostile_words import OBEYED, WORDS
from rich.cells import cell_len

from faithbench.showing.html import stack_html
from faithbench.showing.page import page_html
from faithbench.showing.sheet import Row, Sheet
from faithbench.showing.stack import LONGEST, Stack, stacks
from faithbench.showing.terminal import stack_lines
from faithbench.tables.figure import write_figure

TOKENS = [["Once", " upon", " a", " time"], [" the", " cat", " sat", "."]]
ACTIVATIONS = [[0.0, 8.0, 0.9, 0.5], [-2.0, 4.0, 5.0, 0.0]]
PREDICTED = {"one": [[0.0, 0.1, 0.0, 0.0], [0.0, 0.0, 0.05, 0.0]]}


def windows() -> tuple[Stack, ...]:
    return stacks(["first", "second"], TOKENS, ACTIVATIONS, PREDICTED)


class Columns(HTMLParser):
    """The columns of a window in HTML: the token, and what stands below."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.columns: list[list[str]] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "span":
            self.columns.append([])
        elif tag in ("mark", "i"):
            self.columns[-1].append("")

    def handle_data(self, data):
        if self.columns:
            self.columns[-1][-1] += data


def test_all_windows_have_one_scale_and_each_describer_its_own():
    signs = [[mark.suffix for mark in marks] for window in windows() for _, marks in window.below]
    assert signs == [["", "++", "", ""], ["", "++", "", ""], ["\u2212", "+", "++", ""], ["", "", "+", ""]]
    assert [name for name, _ in windows()[0].below] == ["activation", "one"]


def test_in_html_signs_stand_below_their_tokens():
    first, *columns = Columns(stack_html(windows()[1])).columns
    assert first == ["\xa0", "activation", "one"]
    assert columns == [[" the", "\u2212", ""], [" cat", "+", ""], [" sat", "++", "+"], ["."]]


def test_a_quiet_window_has_no_line_of_signs():
    quiet = stacks(["a", "b"], TOKENS, [[0.0] * 4, [1.0, 0, 0, 0]], {})[0]
    assert "<i" not in stack_html(quiet)
    assert [line.plain.split() for line in stack_lines(quiet)] == [["a"], ["Once", "upon", "a", "time"]]


@pytest.mark.parametrize("width", [40, 80])
def test_in_a_terminal_lines_fit_and_signs_stand_below_their_tokens(width: int):
    draws, words = np.random.default_rng(0), [f"w{n}" + "x" * (n % 7) for n in range(40)]
    values = np.maximum(draws.normal(size=(1, 40)), 0)
    window = stacks(["head"], [words], values.tolist(), {"one": values[:, ::-1].tolist()})[0]
    _, *lines = [line.plain for line in stack_lines(window, width=width)]
    assert max(map(cell_len, lines)) <= width
    starts: dict[str, tuple[int, int]] = {}
    signs: dict[str, dict[str, str]] = {"activation": {}, "one": {}}
    for line in lines:
        name = line[:11].strip()
        if name:
            assert name in signs
            signs[name] |= {word: line[begin:end].strip() for word, (begin, end) in starts.items()}
        else:
            starts = {each[0]: each.span() for each in re.finditer(r"\S+", line)}
    for name, marks in window.below:
        wanted = {word: mark.suffix for word, mark in zip(words, marks, strict=True) if mark.suffix}
        assert {word: sign for word, sign in signs[name].items() if sign} == wanted


def test_a_long_token_is_cut():
    window = stacks(["head"], [["x" * 500]], [[1.0]], {})[0]
    assert len(window.tokens[0].text) == LONGEST


def test_words_from_outside_are_shown_and_not_obeyed(tmp_path: Path):
    words = list(WORDS.values())
    values = [[float(n) for n in range(len(words))]]
    window = stacks([WORDS["html"]], [words], values, {WORDS["html"] + WORDS["screen"]: values})
    page = page_html("title", [Sheet("t", (Row("windows", (), stacks=window),))])
    assert set(Columns(stack_html(window[0])).tags) == {"p", "div", "span", "mark", "i"}
    assert "<script" not in page
    assert not OBEYED.search(page.replace("\n", ""))
    assert not any(OBEYED.search(line.plain) for line in stack_lines(window[0]))
    path = write_figure(
        "faithbench.showing.drawing:draw_sheets", tmp_path / "a.svg", [Sheet("t", (Row("w", (), stacks=window),))]
    )
    drawn = path.read_text(encoding="utf-8")
    assert "<script" not in drawn
    assert not OBEYED.search(drawn.replace("\n", ""))


def test_a_picture_has_all_tokens_and_signs(tmp_path: Path):
    sheet = Sheet("t", (Row("w", (), stacks=windows()),))
    drawn = write_figure("faithbench.showing.drawing:draw_sheets", tmp_path / "a.svg", [sheet]).read_text(
        encoding="utf-8"
    )
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", drawn)
    words = [word for row in TOKENS for word in row]
    assert [text for text in texts if text in words] == words
    assert sorted(text for text in texts if text in ("+", "++", "\u2212")) == ["+", "+", "++", "++", "++", "\u2212"]
