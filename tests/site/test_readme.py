"""The README is a page, and what it says is what the demo prints."""

import re

from places import ROOT

README = (ROOT / "README.md").read_text()


def rows(text: str) -> list[list[str]]:
    """The cells of every row of a pipe table."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_it_is_a_page() -> None:
    assert len(README.splitlines()) <= 100
    pictures = [ROOT / place for place in re.findall(r"!\[.*?\]\((.*?)\)", README)]
    assert 1 <= len(pictures) <= 2
    assert sum(picture.stat().st_size for picture in pictures) < 300_000


def test_its_table_is_an_excerpt_of_the_demo() -> None:
    demo = (ROOT / "docs/demo.md").read_text()
    printed = rows(demo[demo.index("**bcos-tiny**") : demo.index("**conv-tiny**")])
    heads, _, *shown = rows(README)[:8]
    assert heads == ["explainer", "evidence", "comprehensiveness"]
    for name, *values in shown:
        told = {cell for row in printed if row[0] == name for cell in row[1:]}
        assert set(values) <= told, name
    assert "random" in {row[0] for row in shown}
