"""Tables as LaTeX: captions, labels and width; whole by its syntax, and compiled where there is something to do it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hostile_words import TEXTS, WORDS
from hypothesis import given
from records import column, run_of

from faithbench.tables.latex import latex
from faithbench.tables.parts import Column, Grid, Heading, Note, Number, Signature, Title, Words
from faithbench.tables.table import render

COMPILERS = [name for name in ("tectonic", "pdflatex") if shutil.which(name)]
PAGE = "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs, graphicx}\n\\begin{document}\n"
IN_ASCII = [text for text in WORDS.values() if text.isascii()]


def of_word(text: str, columns: int = 3) -> str:
    heads = tuple(Column(text, above=text if i else "", right=i > 1) for i in range(columns))
    row = (Words(text, remarks=(text,)), *(Number(-1.5, low=-2.0, high=0.0) for _ in heads[1:]))
    return latex([Title(text, f" on {text}"), Heading(text), Grid(heads, (row, row)), Note(text), Signature(text)])


def check_syntax(text: str) -> None:
    """Groups and environments are closed in their order, and each row has a cell for each column."""
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    depth = 0
    for sign in re.sub(r"(?m)%.*$", "", bare):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    for spec, body in re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        lines = [line for line in body.strip().splitlines() if line.endswith(r" \\")]
        assert len(lines) >= 2
        for line in lines:
            spanned = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert len(re.findall(r"(?<!\\)&", line)) + spanned == len(spec) - 1


def test_a_grid_is_a_table_with_caption_label_and_a_width_that_fits():
    grid = Grid((Column("a_b"),), ((Words("x & y"),),))
    text = latex([Title("Table 2", " with 5 %"), Heading("comp"), grid, Heading("suff"), grid, grid])
    assert text.count(r"\begin{table}[htbp]") == 3
    assert r"\caption{Table 2 with 5 \%: comp}" in text
    assert re.findall(r"\\label\{(.*)\}", text) == [
        "tab:table-2-with-5-comp",
        "tab:table-2-with-5-suff",
        "tab:table-2-with-5-suff-2",
    ]
    assert text.count(r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%") == 3
    check_syntax(text)


@given(TEXTS)
def test_whatever_a_name_is_the_table_is_whole(text: str):
    check_syntax(of_word(text))


def test_a_table_of_records_is_whole(tmp_path: Path):
    records = [r for name in IN_ASCII for r in column([1.0, 2.0, 4.0], explainer=name)]
    text = render([run_of(tmp_path / "run", records)], "latex")
    assert r"\caption{Models}" in text
    assert r"\label{tab:models}" in text
    check_syntax(text)


def test_the_check_sees_what_is_broken():
    whole = of_word("a & b")
    for broken in (
        whole.replace(" & ", " ", 1),
        whole.replace(r"\label{", r"\label", 1),
        whole.replace(r"\end{table}", ""),
    ):
        with pytest.raises(AssertionError):
            check_syntax(broken)


@pytest.mark.slow
@pytest.mark.skipif(not COMPILERS, reason="neither tectonic nor pdflatex is there")
def test_hostile_names_compile(tmp_path: Path):
    body = "\n\\clearpage\n".join(of_word(text) for text in IN_ASCII)
    (tmp_path / "page.tex").write_text(f"{PAGE}{body}\\end{{document}}\n", encoding="utf-8")
    options = ["-interaction=nonstopmode", "-halt-on-error"] if COMPILERS[0] == "pdflatex" else []
    subprocess.run([COMPILERS[0], *options, "page.tex"], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    assert (tmp_path / "page.pdf").stat().st_size > 1000
