"""Words from outside in tables: text in Markdown, LaTeX, CSV and figures, whatever they hold."""

import csv as reader
import html
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hostile_words import OBEYED, TEXTS, WORDS
from hypothesis import given
from markdown_it import MarkdownIt
from records import column, run_of

import faithbench
from faithbench.comparing.heatmap import draw
from faithbench.paper.drawing import draw as draw_paper
from faithbench.shown import visible
from faithbench.tables.latex import ESCAPES, latex
from faithbench.tables.markdown import markdown
from faithbench.tables.parts import Column, Grid, Heading, Lines, Note, Signature, Title, Words
from faithbench.tables.spreadsheet import NUMBER, csv
from faithbench.tables.terminal import terminal

GITHUB = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HARMLESS = {"table", "thead", "tbody", "tr", "th", "td", "p", "strong", "em", "code", "br", "a"}
FORMULAS = tuple("=+-@\t\r\uff1d")


def collapsed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def seen(markup: str) -> tuple[str, set[str]]:
    """The words and the tags of a page."""
    tags = set(re.findall(r"<([a-z0-9]+)[^>]*>", markup))
    return collapsed(html.unescape(re.sub(r"<[^>]+>", " ", markup))), tags


@given(TEXTS)
def test_markdown_shows_a_word_as_it_is(text: str):
    shown = collapsed(visible(text))
    for part in (
        Note(text),
        Title("title", f" {text}"),
        Grid((Column("a"), Column(text)), ((Words(text), Words("b")),)),
    ):
        words, tags = seen(GITHUB.render(markdown([part])))
        assert words.count(shown) >= 1
        assert tags <= HARMLESS - {"a", "br", "em", "code"}
    for part in (Heading(text), Signature(text), Grid((Column("a"),), ((Lines((Words(text), Words(text))),),))):
        assert seen(GITHUB.render(markdown([part])))[1] <= HARMLESS - {"a"}


@given(TEXTS)
def test_a_grid_keeps_its_rows_and_columns(text: str):
    grid = Grid((Column("a"), Column("b")), ((Words(text), Words("x")), (Words("y"), Words(text))))
    page = GITHUB.render(markdown([grid]))
    assert (page.count("<tr>"), page.count("<td"), page.count("<th")) == (3, 4, 3)
    assert latex([grid]).count(r" \\") == 3


@given(TEXTS)
def test_a_link_goes_where_it_should(text: str):
    place = "".join(sign for sign in text if not "\ud800" <= sign <= "\udfff") + "/README.md"
    page = GITHUB.render(markdown([Grid((Column("a"),), ((Words(f"x{text}y", link=place),),), long=True)]))
    (target,) = re.findall(r'<a href="([^"]*)">', page)
    assert re.fullmatch(r"[\w%./~-]+", target)
    assert page.count("<a ") == 1


@given(TEXTS)
def test_latex_holds_no_command_of_a_word(text: str):
    written = latex([Note(text)])
    ours = sorted(ESCAPES.values(), key=len, reverse=True)
    rest = re.sub("|".join(map(re.escape, ours)), "", written)
    assert not re.search(r"[\\%$&#_{}~^]", rest)


def test_no_writer_lets_a_terminal_be_ruled():
    for text in WORDS.values():
        grid = Grid((Column(text, above=text),), ((Words(text, remarks=(text,), label="l"),),))
        parts = [grid, Title(text, text), Heading(text), Note(text, "*"), Signature(text)]
        for write in (markdown, latex, lambda parts: re.sub(r"\x1b\[[0-9;]*m", "", terminal(parts))):
            assert not OBEYED.search(write(parts))


@given(TEXTS)
def test_no_cell_of_a_csv_is_computed(text: str):
    head = "".join(sign for sign in text if not "\ud800" <= sign <= "\udfff")  # pandas takes none as a heading
    written = csv(pd.DataFrame({"name": [text, "b"], f"{head}_": ["c", text]}, dtype=object))
    for cell in (cell for row in reader.reader(io.StringIO(written)) for cell in row):
        assert not cell.startswith(FORMULAS) or NUMBER.match(cell)
        assert not OBEYED.search(cell)
    assert not re.search(r";\s*\"*[=@]", written)


def test_numbers_of_a_csv_stay_numbers():
    frame = pd.DataFrame(
        {
            "n": [-1, 2],
            "x": [-0.5, np.inf],
            "text": ["-4.89", "+1e-5"],
            "mixed": [-1.25, "-2 %"],
            "ok": [True, False],
            "name": ["random(seed=0)", "-2+3"],
            "none": pd.Series([pd.NA, 3], dtype="Int64"),
        }
    )
    assert csv(frame) == (
        "n,x,text,mixed,ok,name,none\n-1,-0.5000,-4.89,-1.25,True,random(seed=0),\n2,inf,+1e-5,-2 %,False,'-2+3,3\n"
    )


@pytest.mark.parametrize("name", [name for name in WORDS if name != "half"])
def test_what_compares_runs_shows_words_as_text(name: str, tmp_path: Path):
    other = [record for i in range(3) for record in column([1.0, 2.0, 3.0 + i], explainer=f"{i}{WORDS[name]}")]
    run = run_of(tmp_path / "run", other)
    found = faithbench.comparison(f"0{WORDS[name]}", f"1{WORDS[name]}", [run])
    assert not OBEYED.search(found.render())
    assert not OBEYED.search(found.render("csv"))
    assert found.render().count("\n") == 3


@pytest.mark.parametrize("name", [name for name in WORDS if name != "half"])
def test_a_figure_draws_names_and_no_mathematics(name: str, tmp_path: Path):
    names = [WORDS[name], r"$\frac{1}{0}$", "$a$ and $b"]
    draw(pd.DataFrame(np.eye(3), index=names, columns=names), [True, False, False], WORDS[name], tmp_path / "map.svg")
    texts = [text.text for text in ET.parse(tmp_path / "map.svg").iter("{http://www.w3.org/2000/svg}text")]
    labels = {re.sub(r"  [123]$", "", text or "") for text in texts if re.search(r"  [123]$", text or "")}
    assert labels == {visible(each) for each in names}


def test_a_figure_of_the_paper_draws_names_and_no_mathematics(tmp_path: Path):
    data = pd.DataFrame(
        {"model": ["$a$\x1b"] * 2, "dataset": ["$b_1$"] * 2, "percentile": 50, "layer": [0, 1], "value": 1}
    )
    draw_paper("figure13", data, tmp_path / "figure.svg")
    texts = [text.text for text in ET.parse(tmp_path / "figure.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {r"$a$\x1b", "on $b_1$"} <= set(texts)
