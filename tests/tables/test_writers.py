"""All writers show the same parts; each escapes what it would read as a command."""

import math
import re
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest
from fixtures_run import call
from records import COMP, ENTROPY, column, record, run_of
from rich.text import Text

import faithbench
from faithbench.tables import html, latex, markdown
from faithbench.tables.parts import (
    EMPTY,
    Cell,
    Column,
    Grid,
    Heading,
    Lines,
    Note,
    Number,
    Part,
    Several,
    Signature,
    Title,
    Words,
)
from faithbench.tables.table import render
from faithbench.tables.terminal import terminal
from faithbench.tables.writers import FORMATS, WRITERS

EVIL = "a|b *c* _d_ `e` <b> &amp; x_y [red]f[/] [l](u) ~g~ $h$ \\input{i} 5% #1 {j}"
CELLS: dict[str, Cell] = {  # and how every writer words them
    "": EMPTY,
    "52.9 ± 0.8": Number(52.9, 1, 52.1, 53.7),
    "3.6 (1.6, 9.5)": Number(3.6, 1, 1.6, 9.5),
    "0.50 (0.40, 0.60)": Number(0.5, low=0.4, high=0.6, bounds=True),
    "−5.0 (3 failed, of 80 texts)": Number(-5.0, 1, remarks=("3 failed", "of 80 texts"), bold=True),
    "(2 undefined)": Words("", remarks=("2 undefined",)),
    "7.0 ± 1.0; seeds ± 0.3": Number(7.0, 1, 6.0, 8.0, deviation=0.31, bold=True),
    "15,383": Number(15383),
    "0.00": Number(-0.001),
    "0.25*": Number(0.25, mark="*"),
    "9.0 (80); paper 8.50 (+0.5, inside)": Several(
        (
            Number(9.0, 1, remarks=(Number(80),)),
            Number(8.5, 2, label="paper", remarks=(Number(0.5, 1, signed=True), "inside")),
        )
    ),
    "one more": Lines((Words("one"), Words("more"))),
    EVIL: Words(EVIL),
}
GRID = Grid(
    (Column("name"), Column("comp", "imdb"), Column("suff", "imdb"), Column("n", right=True)),
    tuple((Words(f"row{i}"), cell, EMPTY, Number(i)) for i, cell in enumerate(CELLS.values())),
    minus="−",
)
DOCUMENT: list[Part] = [
    Title("model_x", " on data"),
    Heading("faithfulness: does it?"),
    GRID,
    Note("1. no list, # no heading"),
    Note("what a mark says.", "*"),
    Signature("faithbench:0.1.0|seed:0,1"),
]


def read_markdown(text: str) -> str:
    """What a reader of Markdown sees: without escapes, emphasis and breaks."""
    text = re.sub(r"(?<!\\)(\*\*|`)", "", text.replace("<br>", " "))
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


def read_latex(text: str) -> str:
    text = re.sub(r"\\shortstack\[l\]\{(.*?) \\\\ (.*?)\}", r"\1 \2", text)
    text = re.sub(r"\\textbf\{(.*?)\}", r"\1", text)
    for sign, command in sorted(latex.ESCAPES.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(command, sign)
    return text


def read_html(text: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", text.replace("<br>", " "))).strip()


def rows_of(format: str) -> list[list[str]]:
    """The cells of the grid as a reader sees them."""
    text = WRITERS[format](DOCUMENT)
    if format == "markdown":
        lines = [line for line in text.splitlines() if line.startswith("| row")]
        return [[read_markdown(cell).strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    if format == "latex":
        lines = re.findall(r"^(row.*) \\\\$", text, re.MULTILINE)
        return [[read_latex(cell).strip() for cell in line.split(" & ")] for line in lines]
    if format == "html":
        lines = re.findall(r"<tr>(<th scope=\"row\".*?)</tr>", text)
        return [[read_html(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)] for line in lines]
    lines, rows = Text.from_ansi(terminal(DOCUMENT, 200)).plain.splitlines(), []
    heading = next(line for line in lines if line.startswith("name"))
    ends = [0, heading.index("imdb comp"), heading.index("imdb suff"), len(heading) + 1]
    for line in lines[lines.index(heading) + 2 :]:
        cells = [line[a:b].strip() for a, b in pairwise(ends)]
        *rest, last = [*cells[:2], *(cells[2].split() or [""])]
        if cells[0]:
            rows.append([*rest, "", last])
        elif cells[1]:
            rows[-1][1] += f" {cells[1]}"
        if cells[0] == f"row{len(CELLS) - 1}":
            return rows
    raise AssertionError(lines)


@pytest.mark.parametrize("format", WRITERS)
def test_every_writer_shows_the_same_cells(format: str):
    expected = [[f"row{i}", worded, "", str(i)] for i, worded in enumerate(CELLS)]
    assert rows_of(format) == expected


def test_bold_is_the_number_alone_in_every_writer():
    cell, remark = CELLS["7.0 ± 1.0; seeds ± 0.3"], CELLS["−5.0 (3 failed, of 80 texts)"]
    grid = Grid((Column("a"), Column("b")), ((cell, remark),), minus="−")
    assert "| **7.0 ± 1.0**; seeds ± 0.3 | **−5.0** (3 failed, of 80 texts) |" in markdown.markdown([grid])
    assert r"\textbf{7.0 $\pm$ 1.0}; seeds $\pm$ 0.3 & \textbf{$-$5.0} (3 failed, of 80 texts) \\" in latex.latex(
        [grid]
    )
    assert '<th scope="row" data-value="7"><strong>7.0 ± 1.0</strong>; seeds ± 0.3</th>' in html.html([grid])
    assert '<td data-value="-5"><strong>−5.0</strong> (3 failed, of 80 texts)</td>' in html.html([grid])
    shown = Text.from_ansi(terminal([replace(grid, columns=(Column(""), Column("")))]))
    bold = {shown.plain[span.start : span.end].strip() for span in shown.spans if "bold" in str(span.style)}
    assert bold - {""} == {"7.0 ± 1.0", "−5.0"}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (EVIL, r"a\|b \*c\* \_d\_ \`e\` \<b> \&amp; x_y [red]f[/] [l\](u) \~g\~ \$h\$ \input{i} 5% #1 {j}"),
        ("seqpg(judge='conv-minilm(seed=42)', segment=25)", "seqpg(judge='conv-minilm(seed=42)', segment=25)"),
        ("p < 0.001 & 50.9 ± 3.9, a/b_c.csv", "p < 0.001 & 50.9 ± 3.9, a/b_c.csv"),
        ("a\\", r"a\\"),
        ("C:\\*", r"C:\\\*"),
    ],
)
def test_markdown_is_escaped_where_it_would_be_read_and_nowhere_else(text: str, written: str):
    assert markdown.escape(text) == written


def test_markdown_paragraphs_are_no_lists_headings_or_quotations():
    starts = {"1. a": "1\\. a", "# a": "\\# a", "- a": "\\- a", "> a": "\\> a", "150 texts.": "150 texts.", "-1": "-1"}
    for text, written in starts.items():
        assert markdown.markdown([Note(text)]) == f"{written}\n"
    assert markdown.markdown([Note("a mark.", "*")]) == "* a mark.\n"


def test_a_text_from_outside_stays_in_its_cell_and_rules_no_terminal():
    grid = Grid((Column("a\nb"), Column("c")), ((Words("x\ny\x1b[31mz"), Words("\r\n")),))
    for write in WRITERS.values():
        text = write([grid, Signature("d\ne"), Title("f\ng"), Note("h\x07i")])
        assert r"x\ny\x1b[31mz" in text.replace("{[}", "[").replace("\\[", "[").replace(r"\textbackslash{}", "\\")
        assert "\r" not in text
        assert "\x07" not in text
        assert "\x1b[31m" not in text
    assert len(markdown.markdown([grid]).splitlines()) == 3


def test_links_and_long_cells_are_plain_lines():
    grid = Grid((Column("a"), Column("b", right=True)), ((Words("x_y|z", link="x/README.md"), Number(5)),), long=True)
    assert markdown.markdown([grid]) == "| a | b |\n| --- | ---: |\n| [x_y\\|z](x/README.md) | 5 |\n"


def test_html_escapes_what_it_would_read_and_links_to_paths_alone():
    link = Words("<i>", link="a b/javascript:x")
    text = html.html([Title("<b>", "&"), Grid((Column("<u>"),), ((link,),)), Signature("</html>")])
    assert "<b>" not in text.replace("<body>", "")
    assert '<a href="a%20b/javascript%3Ax">&lt;i&gt;</a>' in text
    assert "<code>&lt;/html&gt;</code>" in text
    assert '<th scope="col">&lt;u&gt;</th>' in text
    assert text.startswith('<!doctype html>\n<html lang="en">\n<meta charset="utf-8">')


def test_a_terminal_of_80_columns_is_never_overrun():
    columns = (Column("explainer"), *(Column(f"comprehensiveness(operator=number{i})") for i in range(6)))
    cell = Number(12.5, 1, 10.0, 18.0, remarks=("of 40 texts",))
    names = [f"an_explainer(with={'many' * 15}, parameters={i})" for i in range(2)]
    grid = Grid(columns, tuple((Words(name), *[cell] * 6) for name in names))
    text = Text.from_ansi(terminal([grid, Note("word " * 100), Signature("s" * 200)], 80)).plain
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("12.5 (10.0, 18.0) (of 40 texts)") == 12
    assert all(text.count(name[:20]) >= 2 for name in names)  # names come again where the grid goes on
    assert re.sub(r"\s", "", text).count("s" * 200) == 1


def test_a_row_needs_a_cell_for_each_column():
    with pytest.raises(ValueError, match="a row has 1 cells, and there are 2 columns"):
        Grid((Column("a"), Column("b")), ((EMPTY,),))


def test_missing_numbers_of_a_column_are_shown_as_such():
    grid = Grid((Column("a", right=True),), ((Number(math.nan),), (Number(2.5),)))
    assert markdown.markdown([grid]).splitlines()[2:] == ["| nan    |", "|   2.50 |"]
    lines = latex.latex([grid]).splitlines()
    assert lines[lines.index(r"\midrule") + 1 :][:2] == [r" \\", r"2.50 \\"]


def test_a_table_of_records_says_the_same_in_every_format(tmp_path: Path):
    records = [
        *column([1.0, 2.0, 4.0], explainer="evil_|x|*"),
        *column([0.1, 0.2, 9.0], explainer="b"),
        record(math.nan, 3, explainer="b", error="ValueError: no"),
        *column([1.0, 1.5], metric=ENTROPY),
    ]
    run = run_of(tmp_path / "run", records)
    texts = {name: render([run], name) for name in FORMATS}
    numbers = [re.findall(r"\d+\.\d+", read_markdown(line)) for line in texts["markdown"].splitlines() if "±" in line]
    latex_text = read_latex(texts["latex"])
    shown = Text.from_ansi(texts["terminal"]).plain
    for number in (each for line in numbers for each in line):
        assert number in latex_text
        assert number in shown
    assert r"evil\_\|x\|\*" in texts["markdown"]
    assert r"evil\_\textbar{}x\textbar{}{*}" in texts["latex"]
    assert "evil_|x|*" in shown
    assert "evil_|x|*" in texts["html"]
    assert "evil_|x|*" in texts["csv"]
    assert all("(1 failed)" in text for text in (texts["markdown"], texts["latex"], shown))


def test_a_terminal_gets_a_drawn_table_and_a_pipe_markdown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    run = run_of(tmp_path / "run", column([1.0, 2.0], metric=COMP))
    assert call(capsys, "table", run).out == faithbench.render([run])
    monkeypatch.setattr("faithbench.commands.output.out_console._force_terminal", True)
    monkeypatch.setenv("COLUMNS", "80")
    shown = call(capsys, "table", run).out
    assert shown == faithbench.render([run], "terminal")
    assert "──" in shown
    assert call(capsys, "table", run, "--format", "markdown").out == faithbench.render([run])
