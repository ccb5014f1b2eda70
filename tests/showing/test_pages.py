"""Explained texts as pages, in terminals and as pictures: hostile texts do nothing, long ones are folded."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from browser import browser, complaints, page
from rich.console import Console

from faithbench.errors import UserError
from faithbench.showing.marked import line
from faithbench.showing.page import page_html
from faithbench.showing.sheet import LONG, Row, Sheet, folded, scale_of
from faithbench.showing.terminal import sheet_text
from faithbench.tables.figure import write_figure

HOSTILE = """</title><script>document.title='broken'</script><img src=x onerror="document.title='broken'">"'&
\x1b[31m\u202e[bold]$\\frac{1}{2}$ &lt; <a href="javascript:alert(1)">"""


def hostile_sheet() -> Sheet:
    lines = (line(HOSTILE, [(0, 8), (16, 60)], np.array([1.0, -1.0])),)
    return Sheet(HOSTILE, (Row(HOSTILE, lines, HOSTILE, (HOSTILE,)),), (HOSTILE,), HOSTILE)


def long_line(words: int = 900):
    source = " ".join(f"word{n}" for n in range(words))
    spans, at = [], 0
    for word in source.split():
        spans.append((at, at + len(word)))
        at += len(word) + 1
    scores = np.zeros(words)
    scores[[words * 4 // 9, words * 7 // 9]] = 2.0, -1.5
    return line(source, spans, scores)


def test_a_long_line_is_folded_around_what_is_strong():
    short = folded(long_line())
    assert len(short.text) < LONG
    assert short.text.startswith("word0 ")
    assert [mark.text for mark in short.scored if mark.sign] == ["word400", "word700"]
    lost = sum(int(part.split()[0]) for part in short.text.split("[… ")[1:])
    assert lost + sum(1 for _ in short.scored) == 900
    assert folded(line("a dull film", [(2, 6)], np.ones(1))) == line("a dull film", [(2, 6)], np.ones(1))


def test_the_largest_score_is_named():
    assert scale_of([line("a dull film", [(0, 1), (2, 6)], np.array([1.0, -2.5]))]) == "largest: “dull” −2.5"
    assert scale_of([line("a dull film", [(0, 1)], np.zeros(1))]) == "all scores are 0"


def test_a_terminal_obeys_nothing_and_reads_no_markup():
    console = Console(width=80, force_terminal=True, color_system="truecolor")
    with console.capture() as shown:
        console.print(sheet_text(hostile_sheet()))
    assert "\x1b[31m" not in shown.get()
    assert "\u202e" not in shown.get()
    assert "[bold]" in shown.get()


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_a_picture_shows_hostile_texts_as_texts(ending: str, tmp_path: Path):
    path = tmp_path / f"x{ending}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_figure("faithbench.showing.drawing:draw_sheets", path, [hostile_sheet()])
    if ending == ".svg":
        svg = path.read_text("utf-8")
        assert "<script" not in svg
        assert "frac{1}{2}$" in svg
        assert "\x1b" not in svg


def test_lines_are_drawn_the_same_again_and_within_the_picture(tmp_path: Path):
    lines = [("bcos", long_line(120)), ("lime", line("石油 😀 أسعار", [(0, 2), (3, 4)], np.ones(2)))]
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    for path in (first, second):
        write_figure("faithbench.showing.drawing:draw_lines", path, lines, "Business 0.97")
    assert first.read_bytes() == second.read_bytes()
    assert first.read_text("utf-8").count(">word") == 120
    with pytest.raises(UserError, match="does not end in"):
        write_figure("faithbench.showing.drawing:draw_lines", tmp_path / "a.gif", lines, "Business")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_a_page_runs_nothing_and_fits(width: int, tmp_path: Path):
    file = tmp_path / "x.html"
    long = Sheet("Business 0.97", (Row("bcos", (long_line(),)),))
    file.write_text(page_html("fine", [hostile_sheet(), long]), "utf-8")
    with browser(width) as opened:
        opened.get(page(file))
        assert opened.title == "fine"
        assert complaints(opened) == []
        assert opened.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        assert opened.execute_script("return document.scripts.length + document.images.length") == 0
        assert "<script>" in opened.find_element("css selector", ".fb-line").text
        opened.find_element("css selector", "details summary").click()
        assert "word555" in opened.find_element("css selector", "details").text


@pytest.mark.slow
def test_an_svg_runs_nothing(tmp_path: Path):
    path = tmp_path / "x.svg"
    write_figure("faithbench.showing.drawing:draw_sheets", path, [hostile_sheet()])
    with browser() as opened:
        opened.get(page(path))
        assert complaints(opened) == []
        assert opened.execute_script("return document.querySelectorAll('script').length") == 0


def test_quoted_words_keep_their_direction_to_themselves():
    row = Row("bcos", (), "largest: “مرة” +1", ("Masking the first 2 words (“مرة”, “<b>”) takes it away.",))
    html = page_html("x", [Sheet("x", (row,))])
    assert "(“<bdi>مرة</bdi>”, “<bdi>&lt;b&gt;</bdi>”)" in html
    assert "largest: “<bdi>مرة</bdi>” +1" in html
