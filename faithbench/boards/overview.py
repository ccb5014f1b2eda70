"""The overview of all leaderboards, as Markdown: a row for each, from its records and the sentence below its title."""

from collections.abc import Sequence
from pathlib import Path

from faithbench.boards.findings import finding, own_finding
from faithbench.boards.folder import PAGE, Board
from faithbench.tables.markdown import markdown
from faithbench.tables.parts import EMPTY, Cell, Column, Grid, Number, Words
from faithbench.tables.table import table

MARK = "<!-- made by `faithbench board build` from the records; changes by hand are lost -->"
PICTURE = "scores.svg"  # of a board: the scores of its first place
TITLE = """# Leaderboards

Which explainer tells the truth about what a model used? A board a row; its page has the numbers, and what to doubt.
"""
FOOT = """
*Finding*: the sentence below the title of a board's page, which a person wrote; where there is none or a long one it is
by rule: on each model and data set the best by comprehensiveness (or by the first other metric that ranks) of the
explainers that were measured on the same texts, and those of which paired tests do not show that they differ from it;
none where all are tied. *Texts*: the most of any result. *Seeds*: the most trainings of one model. *Picture*: the
scores on the first of a board's models and data sets. Read a board's own page before its numbers.

Each folder holds plans, a manifest, compact records, and what is made from them: `faithbench board build` makes tables,
pictures and this page, `faithbench board check` says where they differ from the records, and records from the plans.
A new board is a folder with plans and records: see CONTRIBUTING.md.
"""


def overview(boards: Sequence[Board], home: Path) -> str:
    """The page of the folder `home`, in which the boards are."""
    rows = [_row(board, home) for board in boards]
    grid = Grid(tuple(map(Column, rows[0])), tuple(tuple(row.values()) for row in rows), long=True)
    return f"{MARK}\n\n{TITLE}\n{markdown([grid])}{FOOT}"


def _row(board: Board, home: Path) -> dict[str, Cell]:
    frame = table([board.folder], over_seeds=True)
    place = board.folder.relative_to(home)
    page = PAGE if (board.folder / PAGE).is_file() else "table.md"
    return {
        "board": Words(place.as_posix(), link=(place / page).as_posix()),
        "finding": Words(own_finding(board.folder / PAGE) or finding(frame)),
        "models": Number(int(frame["model"].nunique())),
        "data sets": Number(int(frame["dataset"].nunique())),
        "explainers": Number(int(frame["explainer"].nunique())),
        "texts": Number(int(frame["n"].max())),
        "seeds": Number(int(frame["seeds"].max())),
        "picture": Words("scores", link=(place / PICTURE).as_posix()) if (board.folder / PICTURE).is_file() else EMPTY,
    }
