"""What explanations of texts and generated texts share: how they show themselves, and the files that they write."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text as RichText

from faithbench.errors import UserError
from faithbench.files import replacing, writing
from faithbench.paths import as_path
from faithbench.showing.page import notebook_html, page_html
from faithbench.showing.sheet import Sheet
from faithbench.showing.terminal import sheet_lines
from faithbench.tables.figure import check_drawing, write_figure

PAGES, DRAWINGS, DATA = (".html", ".htm"), (".svg", ".png", ".pdf"), (".json",)
MOST_DRAWN = 20  # texts in one picture
PRINTED = 120  # characters of a line that is printed


class Showable(ABC):
    """Shows itself on a terminal, in a notebook, as a page or a picture."""

    @property
    @abstractmethod
    def sheets(self) -> list[Sheet]:
        """What is shown, a text each."""

    @property
    @abstractmethod
    def heading(self) -> str:
        """Of its page."""

    @property
    @abstractmethod
    def made(self) -> str:
        """What made it, in sentences."""

    @abstractmethod
    def json(self) -> str:
        """All of it as JSON."""

    def html(self) -> str:
        """A page of its own, which fetches nothing and runs nothing."""
        return page_html(self.heading, self.sheets, self.made)

    def save(self, path: Path | str) -> Path:
        """Writes it as `.html` or `.json`, or up to 20 texts as `.svg`, `.png` or `.pdf`, in place of what is there.

        Raises:
            UserError: another ending, too many texts for a picture, or it cannot be written.
        """
        sheets = self.sheets
        file = check_file(path, "path", len(sheets))
        ending = file.suffix.lower()
        if ending in DRAWINGS:
            return write_figure("faithbench.showing.drawing:draw_sheets", file, sheets)
        with writing(file), replacing(file) as temporary:
            temporary.write_text(self.json() if ending in DATA else self.html(), encoding="utf-8")
        return file

    def lines(self, encoding: str | None = "utf-8", width: int = 80) -> Iterator[RichText]:
        """The lines of a terminal of such a width, in characters that an encoding has; an empty one between texts."""
        for place, sheet in enumerate(self.sheets):
            yield from (RichText(),) * min(place, 1)
            yield from sheet_lines(sheet, encoding, width)

    def _repr_html_(self) -> str:
        return notebook_html(self.sheets)

    def __str__(self) -> str:
        return "\n".join(line.plain.rstrip() for line in self.lines(width=PRINTED))


def written(data: object) -> str:
    """Plain values as JSON; what is no number is null."""
    return f"{json.dumps(_plain(data), ensure_ascii=False, indent=1, allow_nan=False)}\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_file(path: object, name: str, texts: int | None = None) -> Path:
    """A path that explanations can be written to.

    Args:
        path: of the file.
        name: what errors call it.
        texts: how many; None if that is not known yet.

    Raises:
        UserError: its ending is not known, its folder is not there, it is a folder, or of a picture: matplotlib is not
            there, or there are too many texts.
    """
    path = as_path(name, path)
    ending = path.suffix.lower()
    if ending not in PAGES + DRAWINGS + DATA:
        raise UserError(f"{name} {str(path)!r} does not end in {', '.join((PAGES[0], *DRAWINGS))} or {DATA[0]}.")
    if path.is_dir():
        raise UserError(f"{name} {str(path)!r} is a folder; name a file.")
    if not path.parent.is_dir():
        raise UserError(f"{name} {str(path)!r} cannot be written: there is no folder {str(path.parent)!r}.")
    if ending in DRAWINGS:
        check_drawing()
    if texts is not None and ending in DRAWINGS and texts > MOST_DRAWN:
        raise UserError(f"{texts:,} texts are too many for the picture {path}; a page (.html) holds them all.")
    return path
