"""The site builds without a warning, asks nobody for anything, and its search works from files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from browser import browser, complaints
from browser import page as address
from places import ROOT

import faithbench

pytest.importorskip("mkdocs", reason="the docs' extra is not installed")
pytestmark = pytest.mark.slow


def build(into: Path, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    """Runs mkdocs as `make docs` does."""
    command = [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", str(into)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if made := os.environ.get("FAITHBENCH_SITE"):  # by `.ci/run`, which fails on a warning
        return Path(made)
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert "WARNING" not in done.stderr
    assert done.returncode == 0, done.stderr
    return folder


def test_everything_public_is_in_the_reference(site: Path) -> None:
    page = (site / "api/faithbench.html").read_text()
    titles = {re.sub("<.*?>", "", title).split()[0] for title in re.findall(r"<h2[^>]*>(.*?)</h2>", page, re.DOTALL)}
    assert set(faithbench.__all__) <= titles


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)[^>]*>")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    loaded = {
        link[0] for page in pages for link in loads.finditer(page.read_text()) if 'rel="canonical"' not in link[0]
    }
    assert loaded == set()


def test_pictures_are_small_and_whole(site: Path) -> None:
    pictures = [path for path in (ROOT / "docs").rglob("*") if path.suffix in {".svg", ".png"}]
    assert {path.name: path.stat().st_size for path in pictures if path.stat().st_size > 200_000} == {}
    drawn = [path for path in pictures if path.suffix == ".svg"]
    assert [path.name for path in drawn if re.search(r"(url\(|href=)[\"']?https?:", path.read_text())] == []


def test_the_search_works_from_files(site: Path) -> None:
    with browser() as opened:
        opened.get(address(site / "index.html"))
        opened.execute_script("document.querySelector('[data-md-toggle=search]').click()")
        opened.find_element("css selector", "input[data-md-component=search-query]").send_keys("comprehensiveness")
        opened.implicitly_wait(20)
        first = opened.find_element("css selector", ".md-search-result__item a").get_attribute("href")
        assert first.startswith("file:")
        assert complaints(opened) == []


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/page.md").write_text("# A page\n\n[nowhere](gone.md)\n")
    settings = (ROOT / "mkdocs.yml").read_text().replace("hooks: [tools/site/hooks.py]", "")
    lines = re.sub(r"^nav:\n.*", "nav: [page.md]\n", settings, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "mkdocs.yml").write_text(lines.replace("paths: [., metrics, explainers]", "paths: [.]"))
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode == 1
    assert "gone.md" in done.stderr
