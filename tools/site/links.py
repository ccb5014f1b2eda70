"""Links of a page of the repository, as they have to be in the site."""

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

LINK = re.compile(r"(?P<picture>!?)\[(?P<words>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)")
FENCE = re.compile(r"^(```.*?^```|~~~.*?^~~~)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Repository:
    """Where pages lie in the repository, and which of them the site has.

    Args:
        root: of the repository.
        pages: all files of the site, by their place in it.
        address: of the repository on the web; "" where it is not known.
    """

    root: Path
    pages: frozenset[str]
    address: str

    def linked(self, markdown: str, page: str) -> str:
        """The text of a page of the site with its links rewritten; code stays as it is."""
        parts = FENCE.split(markdown)
        parts[::2] = [LINK.sub(lambda link: self._link(link, page), part) for part in parts[::2]]
        return "".join(parts)

    def _link(self, link: re.Match[str], page: str) -> str:
        target, _, anchor = link["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return link[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(self._home(page)), target))
        if place.startswith("..") or not (self.root / place).exists():
            return link[0]  # generated pages link within the site; what is nowhere, mkdocs reports
        inside = self._inside(place)
        if inside is not None:
            where = posixpath.relpath(inside, posixpath.dirname(page) or ".")
            return f"{link['picture']}[{link['words']}]({where}{'#' * bool(anchor)}{anchor})"
        if self.address:
            return f"[{link['words']}]({self.address.rstrip('/')}/blob/main/{place})"
        return f"{link['words']}" if place in link["words"] else f"{link['words']} (`{place}`)"

    def _home(self, page: str) -> str:
        """Where a page of the site lies in the repository."""
        if page == "index.md":
            return "README.md"
        return page if page not in self.pages or not (self.root / "docs" / page).exists() else f"docs/{page}"

    def _inside(self, place: str) -> str | None:
        """Where the site has a file or folder of the repository; None where it does not."""
        if place == "README.md":
            return "index.md"
        inside = place.removeprefix("docs/")
        return next(
            (page for page in (inside, f"{inside}/README.md", f"{inside}/index.md") if page in self.pages), None
        )
