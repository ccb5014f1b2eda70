"""What `mkdocs build` does for faithbench: pages from outside docs/, pages made from the code, and links between them.

Pages are written for GitHub, so links are relative to where a file lies in the repository. The site has the same tree
with docs/ as its root; what a page links to and the site does not have is shown as on GitHub where its address is
known (REPOSITORY_URL), and as plain text where it is not.
"""

from pathlib import Path

from api import api_pages
from cards import card_pages
from links import Repository
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = (  # globs of pages and of what they show
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "examples/plugin/README.md",
    "leaderboards/*.md",
    "leaderboards/*.svg",
    "leaderboards/*/*.md",
    "leaderboards/*/*.svg",
    "leaderboards/*/*.csv",
    "leaderboards/*/manifest.json",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the README as the first page, other pages of the repository, reference and cards."""
    files.append(File.generated(config, "index.md", abs_src_path=str(ROOT / "README.md")))
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    for place, content in {**api_pages(), **card_pages()}.items():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with links that lead to the site's own pages."""
    repository = Repository(ROOT, frozenset(files.src_uris), config.extra["repository"] or "")
    return repository.linked(markdown, page.file.src_uri)
