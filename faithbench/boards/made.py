"""What is made from a leaderboard's records, and how large its files may be."""

from dataclasses import replace
from pathlib import Path

from faithbench.boards.folder import Board
from faithbench.boards.page import page_of
from faithbench.boards.pictures import pictures
from faithbench.paper.fill_table import paper_table
from faithbench.plan import TABLES
from faithbench.records.results import labels
from faithbench.records.units import of_neurons
from faithbench.tables.spreadsheet import csv
from faithbench.tables.table import Contents, contents, table

NAMED = ("dataset", "model", "explainer", "metric")  # columns of identities
FILES = {"table.md": "markdown", "table.csv": "csv"}
MAX_BYTES = 1_000_000
MAX_BOARD_BYTES = 2_000_000


def generated(board: Board) -> dict[str, str]:
    """The files of a board that are made from its records: name and text."""
    return tables_of(board) | pictures(board).made


def tables_of(board: Board) -> dict[str, str]:
    """The tables of a board: name and text."""
    found = contents([board.folder])
    return {"table.md": page_of(found), "table.csv": csv(found.frame)} | _layers(board, found) | _likes(board)


def sizes(folder: Path) -> dict[str, int]:
    """The bytes of each file of a board."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _layers(board: Board, found: Contents) -> dict[str, str]:
    """The table of every layer, of boards that hold neurons; in CSV with names as people read them, for size."""
    if of_neurons(found.frame).empty:
        return {}
    layers = replace(found, frame=table([board.folder], by_layer=True))
    names = {each: layers.frame[each].map(labels(each, layers.frame[each])) for each in NAMED}
    return {"table-layers.md": layers.render(), "table-layers.csv": csv(layers.frame.assign(**names))}


def _likes(board: Board) -> dict[str, str]:
    """The published tables that plans name, with the board's numbers beside them."""
    names = sorted({name for plan in board.plans.values() for name in plan.like if name in TABLES})
    tables = {name: paper_table([board.folder], name) for name in names}
    return {
        f"{name}{Path(file).suffix}": table.render(kind, beside_paper=True)
        for name, table in tables.items()
        for file, kind in FILES.items()
    }
