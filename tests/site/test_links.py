"""Links of pages of the repository lead to the site's own pages."""

from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="the docs' extra is not installed")

from links import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    for place in ("README.md", "docs/data.md", "docs/tutorials/one.md", "leaderboards/a/README.md", "src/code.py"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("# A page\n")
    pages = {"index.md", "data.md", "tutorials/one.md", "leaderboards/a/README.md"}
    return Repository(tmp_path, frozenset(pages), "")


@pytest.mark.parametrize(
    ("page", "written", "linked"),
    [
        ("index.md", "[data](docs/data.md#files)", "[data](data.md#files)"),
        ("index.md", "[board](leaderboards/a)", "[board](leaderboards/a/README.md)"),
        ("data.md", "[start](../README.md)", "[start](index.md)"),
        ("data.md", "[board](../leaderboards/a/README.md)", "[board](leaderboards/a/README.md)"),
        ("tutorials/one.md", "[data](../data.md)", "[data](../data.md)"),
        ("tutorials/one.md", "[board](../../leaderboards/a)", "[board](../leaderboards/a/README.md)"),
        ("leaderboards/a/README.md", "[data](../../docs/data.md)", "[data](../../data.md)"),
        ("data.md", "[web](https://arxiv.org/abs/1) [here](#files)", "[web](https://arxiv.org/abs/1) [here](#files)"),
        ("data.md", "[the code](../src/code.py)", "the code (`src/code.py`)"),
        ("data.md", "[nowhere](gone.md)", "[nowhere](gone.md)"),
        ("data.md", "```\n[start](../README.md)\n```\n", "```\n[start](../README.md)\n```\n"),
        ("data.md", "[![picture](../leaderboards/a)](https://a.b)", "[![picture](../leaderboards/a)](https://a.b)"),
    ],
)
def test_where_a_link_leads(repository: Repository, page: str, written: str, linked: str) -> None:
    assert repository.linked(written, page) == linked


def test_what_the_site_does_not_hold_is_linked_where_the_repository_is_known(repository: Repository) -> None:
    known = Repository(repository.root, repository.pages, "https://forge.example/us/faithbench/")
    assert known.linked("[c](../src/code.py)", "data.md") == (
        "[c](https://forge.example/us/faithbench/blob/main/src/code.py)"
    )
