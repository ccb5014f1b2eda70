"""A board's page of numbers, as Markdown: the finding first, then what to doubt, then the numbers and how they came."""

from faithbench.boards.findings import finding, leaders
from faithbench.tables.document import legend, numbers, of_models
from faithbench.tables.markdown import markdown
from faithbench.tables.parts import Note, Part, Signature, Title
from faithbench.tables.table import Contents


def page_of(found: Contents) -> str:
    """All that a board's records say."""
    doubts: list[Part] = [Title("What to doubt"), *map(Note, found.notes)] if found.notes else []
    parts: list[Part] = [
        Title("Finding"),
        Note(finding(found.frame)),
        *map(Note, leaders(found.frame)),
        *doubts,
        Title("Numbers"),
        *numbers(found.frame),
        *found.controls,
        *map(Note, legend(found.frame)),
        Title("How it was made"),
        *of_models(found.models),
        Signature(found.signature),
    ]
    return markdown(parts)
