"""What a run came to, as notebooks and terminals show it: its table."""

from pathlib import Path

from markupsafe import Markup
from rich.text import Text

from faithbench.shown import visible
from faithbench.tables.document import document
from faithbench.tables.html import sheet
from faithbench.tables.table import contents, render

TITLE = Markup("<p><code>{}</code></p>\n{}")


def overview_html(folder: Path) -> str:
    """The table as pages show it, below the name of the folder."""
    found = contents([folder])
    parts = document(found.frame, found.models, found.notes, found.signature)
    return str(TITLE.format(visible(str(folder)), sheet(parts)))


def overview_text(folder: Path) -> Text:
    """The table as a terminal shows it."""
    return Text.from_ansi(render([folder], "terminal"))
