"""Triangles of generated texts: folding and blocks lose nothing, all doors show the same signs, nothing is obeyed."""

import re
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from faithbench.showing.html import triangle_html
from faithbench.showing.sheet import Row, Sheet
from faithbench.showing.terminal import triangle_lines
from faithbench.showing.triangle import FAINT, NAME, Said, Triangle
from faithbench.tables.figure import write_figure

HOSTILE = """<script>alert(1)</script><img src=x onerror="alert(2)">"'&\x1b[31m\u202e$\\frac{1}{2}$"""


def triangle(given: int = 5, steps: int = 4, name: str = "token{}") -> Triangle:
    draws = np.random.default_rng(0)
    columns = tuple(name.format(n) for n in range(given + steps - 1))
    rows = tuple(Said(f"said{n}", "0.50", f"rival{n}", draws.normal(size=given + n)) for n in range(steps))
    return Triangle(columns, given, rows)


def signs(found: Triangle) -> list[str]:
    return [cell.text for row in found.rows for cell in row.cells]


def test_each_row_is_scaled_by_its_own_largest():
    row = Said("a", "1", "b", np.array([1.0, 0.4, -0.6, 0.1, np.nan]))
    assert [cell.text for cell in row.cells] == ["++", "+", "\u2212\u2212", FAINT, ""]
    assert [cell.strength for cell in row.cells] == [4, 2, 3, 0, 0]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_blocks_fit_a_terminal_and_hold_every_cell_once(width: int):
    found = triangle(30, 6)
    lines = [line.plain for line in triangle_lines(found, width=width)]
    assert max(map(cell_len, lines)) <= width
    assert sorted(re.findall(r"token\d+", " ".join(lines))) == sorted(found.columns)
    cells = " ".join(line.partition(")")[2] for line in lines if "rival" in line).split()
    assert sorted(cells) == sorted(signs(found))
    assert all(line.partition(")")[2].strip() for line in lines if "rival" in line)
    assert {line.partition(" ")[0] for line in lines if "rival" in line} == {f"said{n}" for n in range(6)}


def test_names_stand_above_their_cells():
    found = triangle(3, 2)
    head, *rows = [line.plain for line in triangle_lines(found)]
    for place, name in enumerate(found.columns):
        at = head.index(name)
        for row, shown in zip(found.rows, rows, strict=True):
            if place < len(row.scores):
                assert shown[at : at + 2].strip() == row.cells[place].text
            else:
                assert not shown[at:].strip()


def test_wide_letters_and_plain_encodings_keep_columns_in_place():
    found = triangle(3, 2, "日本語{}")
    assert len({cell_len(line.plain) for line in list(triangle_lines(found))[:1]}) == 1
    plain = [line.plain for line in triangle_lines(triangle(3, 2), "ascii")]
    assert all(line.isascii() for line in plain)
    assert plain[0].index("token1") == next(triangle_lines(triangle(3, 2))).plain.index("token1")


def test_folding_keeps_the_strongest_columns_and_counts_the_others():
    found = triangle(100, 3)
    short = found.folded(10)
    names = [name for name in short.columns if not name.startswith("…")]
    assert len(names) == 10
    weights = np.zeros(102)
    for row in found.rows:
        size = np.abs(row.scores)
        weights[: len(size)] = np.maximum(weights[: len(size)], size / size.max())
    assert {found.columns.index(name) for name in names} == set(np.argsort(-weights)[:10])
    assert sum(int(name[2:]) for name in short.columns if name.startswith("…")) == 92
    assert triangle().folded(10).columns == triangle().columns
    for whole, row in zip(found.rows, short.rows, strict=True):
        kept = {name: score for name, score in zip(short.columns, row.scores, strict=False) if name in names}
        assert kept == {name: whole.scores[found.columns.index(name)] for name in kept}


def test_a_page_shows_what_the_terminal_shows():
    found = triangle()
    page = triangle_html(found, "lime")
    cells = re.findall(r"<td(?: class=\"[pn]\d\")? title=\"[^\"]*\">([^<]*)</td>", page)
    assert cells == signs(found)
    assert page.count('class="fb-said"') == 3


def test_hostile_tokens_do_nothing(tmp_path: Path):
    rows = (Said(HOSTILE, "0.5", HOSTILE, np.array([1.0])), Said("\n", "0.5", " ", np.array([1.0, np.inf])))
    found = Triangle((HOSTILE, "\x1b[31m"), 1, rows)
    page = triangle_html(found, HOSTILE)
    assert "<script" not in page
    assert "<img" not in page
    assert "\x1b" not in page
    assert all("\x1b" not in line.plain and "\n" not in line.plain for line in triangle_lines(found))
    assert HOSTILE[: NAME - 1].replace("<", "&lt;").replace(">", "&gt;") in page
    path = tmp_path / "x.svg"
    write_figure("faithbench.showing.drawing:draw_sheets", path, [Sheet("a", (Row("b", (), triangle=found),))])
    assert "<script" not in path.read_text("utf-8")


def test_a_picture_has_every_name_and_sign(tmp_path: Path):
    found, path = triangle(60, 3), tmp_path / "x.svg"
    write_figure("faithbench.showing.drawing:draw_sheets", path, [Sheet("a", (Row("b", (), triangle=found),))])
    text = path.read_text("utf-8")
    short = found.folded()
    assert all(f">{name}<" in text for name in short.columns)
    assert text.count(">++<") == signs(short).count("++")
