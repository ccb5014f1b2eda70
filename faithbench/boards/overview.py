"""The overview of all leaderboards, as Markdown: a row for each, made from the records alone."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from faithbench.boards.folder import Board
from faithbench.records.results import kind_order, label, labels
from faithbench.tables.markdown import markdown
from faithbench.tables.parts import Cell, Column, Grid, Lines, Number, Words
from faithbench.tables.table import table

MARK = "<!-- made by `faithbench board build` from the records; changes by hand are lost -->"
LEADING = "comprehensiveness"
TITLE = """# Leaderboards

Which explainer tells the truth about what a model used: the boards of this folder, one a row.
"""
FOOT = """
*Leads*: on each data set and model the explainers of the first rank group by comprehensiveness, or by the first other
metric that ranks: the best of those that were measured on the same texts, and those of which paired tests do not show
that they differ from it or from each other; "=" joins those with equal scores. Who was measured on fewer texts has no
rank. *Texts*: the most of any cell. *Seeds*: the most trainings of one model. Read a board's own page before its
numbers.

Each folder holds plans, a manifest, compact records, and the tables made from them: `faithbench board build` makes the
tables and this page, `faithbench board check` says where they differ from the records, and the records from the plans.
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
    page = "README.md" if (board.folder / "README.md").is_file() else "table.md"
    names = {kind: labels(kind, sorted(frame[kind].unique())) for kind in ("dataset", "model", "explainer")}
    return {
        "board": Words(place.as_posix(), link=(place / page).as_posix()),
        "data sets": Words(_listed(names["dataset"].values())),
        "models": Words(_listed(names["model"].values())),
        "explainers": Words(f"{len(names['explainer'])}: {_listed(names['explainer'].values())}"),
        "texts": Number(int(frame["n"].max())),
        "seeds": Number(int(frame["seeds"].max())),
        "leads": Lines(tuple(map(Words, _leaders(frame, names)))),
    }


def _leaders(frame: pd.DataFrame, names: dict[str, dict[str, str]]) -> Iterator[str]:
    """A line for each data set and model: who leads by what."""
    for (dataset, model), block in frame.groupby(["dataset", "model"]):
        where = f"{names['model'][str(model)]} on {names['dataset'][str(dataset)]}"
        metric = _leading_metric(block)
        if metric is not None:
            column = block[(block["metric"] == metric) & block["rank_group"].notna()]
            yield f"{where}, {label('metric', metric)}: {_leading(column, names['explainer'])}"
        elif block["ranked_on"].notna().any():
            yield f"{where}: too few texts to rank"


def _leading(column: pd.DataFrame, names: dict[str, str]) -> str:
    """The first rank group of what is ranked, equal ones as one; nobody leads where all are tied."""
    first = column[column["rank_group"] == 1]
    alike = {name: [name] for name in first["explainer"]}
    for row in first.itertuples():
        if row.equal_to in alike:
            alike[row.equal_to] += alike.pop(row.explainer)
    if len(first) == len(column) > 1 and len(alike) > 1:
        return f"no difference is shown between {len(column)} explainers"
    return _listed(" = ".join(names[name] for name in group) for group in alike.values())


def _leading_metric(block: pd.DataFrame) -> str | None:
    """Comprehensiveness as it is by default, or in another form, or the first metric that ranks."""
    ranked = block[block["rank_group"].notna()]
    forms = {
        name: (label("metric", name) != LEADING, name.partition("(")[0] != LEADING, kind_order(kind), name)
        for name, kind in zip(ranked["metric"], ranked["kind"], strict=True)
    }
    return min(forms, key=lambda name: forms[name], default=None)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
