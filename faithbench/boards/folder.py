"""A leaderboard's folder as it is committed: plans, manifest and records, read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from faithbench.errors import UserError
from faithbench.files import steadily
from faithbench.plan import PLANS, Plan, plan_files, read_plan
from faithbench.records.columns import IDENTITY
from faithbench.records.manifest import Manifest, read_manifest
from faithbench.records.store import Store, read_part
from faithbench.running.agenda import Cell

HOME = Path("leaderboards")
PAGE = "README.md"  # of a board; of the folder that boards are in: the overview
CELL = ["dataset", "model", "explainer", "metric"]
LARGEST = 2**28  # bytes of a file of records, unpacked


@dataclass(frozen=True)
class Board:
    """What a leaderboard's folder holds. Plans are keyed by the names of their files; all of them count."""

    folder: Path
    plans: Mapping[str, Plan]
    manifest: Manifest
    records: pd.DataFrame

    def entry(self, kind: Literal["models", "datasets"], name: str) -> Mapping[str, Any]:
        """What the manifest says of one of its `models` or `datasets`; nothing if it does not name it."""
        entries: Mapping[str, Mapping[str, Any]] = self.manifest.get(kind, {})
        return entries.get(name, {})


def find(folders: Sequence[Path] = ()) -> list[Path]:
    """The folders of the boards that are meant: those given, or all below `./leaderboards`.

    Raises:
        UserError: there is none.
    """
    found = list(dict.fromkeys(folders)) or boards_below(HOME)
    if not found:
        raise UserError(f"there is no board below {HOME.resolve()}: a board is a folder with a folder of records.")
    return found


def boards_below(home: Path) -> list[Path]:
    """The folders of the boards that are in a folder, at any depth."""
    found = [path.parent for path in home.glob("*/**/records") if path.is_dir()]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(home).parts))


def read_board(folder: Path) -> Board:
    """Reads a leaderboard, once more if it is replaced meanwhile.

    Raises:
        UserError: it lacks records, manifest or plan, one of them cannot be read, or two records are of one identity.
    """
    return steadily(folder, lambda: _read_board(folder))


def _read_board(folder: Path) -> Board:
    if not (folder / "records").is_dir():
        raise UserError(f"{folder} is not a board: it has no records.")
    for needed in ("manifest.json", PLANS):
        if not any(folder.glob(needed)):
            raise UserError(f"{folder} is not a board: it has no {needed.replace('*', '')}.")
    plans = {path.name: read_plan(path) for path in plan_files(folder)}
    manifest = read_manifest(folder)
    records = Store(folder).read("records", LARGEST)
    if records.empty:
        raise UserError(f"{folder} holds no records yet.")
    _check_records(folder, records)
    return Board(folder, plans, manifest, records)


def _check_records(folder: Path, records: pd.DataFrame) -> None:
    identity = IDENTITY["records"]
    parts = [read_part(path, "records", LARGEST) for path in sorted((folder / "records").glob("*.parquet"))]
    every = pd.concat([part[identity] for part in parts], ignore_index=True)
    twice = every[every.duplicated()]
    if not twice.empty:
        cell = twice.iloc[0]
        raise UserError(
            f"{folder} has two records for one result: {cell['metric']} of {cell['explainer']} on text "
            f"{cell['unit']!r} ({cell['model']} on {cell['dataset']})."
        )


def texts_of(board: Board) -> dict[Cell, int]:
    """How many texts of each cell there are records of."""
    counts = board.records.groupby(CELL)["unit"].nunique().reset_index()
    return {(data, model, e, m): int(n) for data, model, e, m, n in counts.itertuples(index=False, name=None)}
