"""Sentences of pages that are written by hand: what they must and must not say."""

import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from faithbench.boards.findings import own_finding
from faithbench.tables.comparing_neurons import bare

HOME = Path(__file__).parents[2]
BOARDS = sorted(page.parent for page in (HOME / "leaderboards").glob("*/README.md"))
PAGES = [HOME / "README.md", HOME / "docs/results.md", *(board / "README.md" for board in BOARDS)]


def plain(page: Path) -> str:
    return " ".join(page.read_text().split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_no_order_is_called_the_best_that_there_is_and_exact_sig_not_slow(page: Path):
    text = plain(page)
    assert "attainable" not in text
    assert not re.search(r"SIG, slow", text)
    assert not re.search(r"likely cause|is the cause\b|The cause is", text)  # none was tested


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_significance_comes_with_its_size(page: Path):
    text = plain(page)
    for told in re.finditer(r"\bp [<=] 0\.\d+", text):
        before = text[max(0, told.start() - 200) : told.start()]
        assert told.group() == "p < 0.05" or re.search(r"\d to −?\d|−?\d; −?\d", before), text[
            told.start() - 200 : told.end()
        ]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_board_of_few_trainings_speaks_of_these_models_alone(board: Path):
    models = pd.read_csv(board / "table.csv", usecols=["model"])["model"].unique()
    trainings = Counter(map(bare, models))
    text = plain(board / "README.md")
    assert re.search(r"One training (each|of each)[^.]*", text) or min(trainings.values()) > 1
    most = {1: "", 2: "two trainings", 3: "three trainings"}[max(trainings.values())]
    assert most in text.lower()
    if any("bcos" in model for model in models):
        assert re.search(r"B-cos (does )?as a method", text)
    if any(model.startswith("crate") for model in models):
        assert "not of CRATE as a method" in text


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_board_says_in_a_sentence_what_was_found_and_the_overview_repeats_it(board: Path):
    sentence = own_finding(board / "README.md")
    assert sentence.endswith(".")
    assert f"| [{board.name}]({board.name}/README.md) | {sentence} |" in (board.parent / "README.md").read_text()


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_no_file_of_a_board_says_where_something_lay_on_a_machine(board: Path):
    files = [path for path in board.iterdir() if path.suffix in (".json", ".md", ".csv", ".toml")]
    assert files
    for path in files:
        assert re.findall(r"(?<![\w./])/(?:root|home|tmp|work|Users|mnt|var)/[^\s\"']*", path.read_text("utf-8")) == []


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_page_has_a_claim_a_picture_its_table_doubts_and_how_it_was_made(board: Path):
    """In this order: whoever reads on from the claim sees what it rests on."""
    text = (board / "README.md").read_text()
    heads = [text.index(f"\n## {head}") for head in ("What to doubt", "How it was made")]
    says, doubts = text[: heads[0]], text[heads[0] : heads[1]]
    assert heads == sorted(heads)
    assert re.search(r"\*\*[^*]{20,}\*\*", says), "no claim in bold"
    assert re.search(r"!\[[^\]]+\]\((\w|-)+\.svg\)", says), "no picture"
    assert "](table.md)" in text
    assert len(doubts.split()) > 20
    assert re.search(r"^ *faithbench (run|train|table)", text[heads[1] :], re.M), "no command that made it"
