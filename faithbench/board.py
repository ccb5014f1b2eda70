"""Leaderboards: folders with plans, manifest, compact records, and the tables made from them."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from faithbench.board_folder import HOME, Board, boards_below, find, read_board
from faithbench.board_overview import MARK, overview
from faithbench.cache import slug, write_whole
from faithbench.errors import UserError
from faithbench.paper.fill import paper_table
from faithbench.plan import PLANS
from faithbench.results import installed, read
from faithbench.store import IDENTITY, Store
from faithbench.tables import renderings

COLUMNS = [*IDENTITY["records"], "target", "value", "weight", "error"]
TABLES = {"table.md": "markdown", "table.csv": "csv"}
MAX_BYTES = 1_000_000
MAX_BOARD_BYTES = 2_000_000
PAGE = "README.md"  # of the folder that boards are in: the overview
LONGEST = 200  # characters of a file's name


def publish(run: Path, board: Path) -> list[Path]:
    """Copies a finished run into a leaderboard folder and makes the tables.

    Only records of the weights and data that the manifest names are published, not those of an earlier training under
    the same name, and of each cell the latest version. Plans that are there already stay. Records become compact: one
    file for each model and data set, float32 values, no costs, and per-ratio parts only of metrics that ask for it
    (`keep_parts`).

    Raises:
        UserError: the run holds no records, the folder cannot be written, a file would exceed 1 MB, or the board 2 MB.
    """
    if run.resolve() == board.resolve():
        raise UserError(f"{run} cannot be published into itself.")
    missing = [name for name in ("plan.toml", "manifest.json") if not (run / name).is_file()]
    if missing:
        raise UserError(f"{run} is not a run: it has no {missing[0]}.")
    files = _packed(run)
    for name, data in files.items():
        if len(data) > MAX_BYTES:
            raise UserError(
                f"{board / 'records' / name} would have {len(data):,} bytes; a leaderboard's files stay under 1 MB."
            )
    _replace_records(board, files)
    for name in ("plan.toml", "manifest.json"):
        if name == "manifest.json" or not any(board.glob(PLANS)):
            Store(board).write_text(name, (run / name).read_text(encoding="utf-8"))
    written = build([board])
    total = sum(sizes(board).values())
    if total > MAX_BOARD_BYTES:
        raise UserError(f"{board} has {total:,} bytes; a leaderboard stays under 2 MB.")
    return written


def build(folders: Sequence[Path] = ()) -> list[Path]:
    """Makes the tables of the boards given, or of all below `./leaderboards`, from their records; and the overview.

    The overview is the README.md of the folder in which boards are. Where boards are given it is made again if it is
    there, and a README.md that a person wrote is left alone.

    Returns:
        The files written.

    Raises:
        UserError: there is no board, one cannot be read, a file cannot be written, or a person wrote
            `leaderboards/README.md`.
    """
    written = []
    for board in map(read_board, find(folders)):
        for name, text in generated(board).items():
            Store(board.folder).write_text(name, text)
            written.append(board.folder / name)
    pages = dict.fromkeys(folder.parent / PAGE for folder in folders) if folders else [HOME / PAGE]
    for page in pages:
        ours = page.is_file() and page.read_text(encoding="utf-8").startswith(MARK)
        if not folders and page.is_file() and not ours:
            raise UserError(
                f"{page} was written by a person; delete it, and the overview of the boards takes its place."
            )
        if ours or not folders:
            write_whole(page, overview([read_board(folder) for folder in boards_below(page.parent)], page.parent))
            written.append(page)
    return written


def generated(board: Board) -> dict[str, str]:
    """The files of a board that are made from its records: name and text."""
    written = renderings([board.folder], tuple(TABLES.values()))
    return {name: written[kind] for name, kind in TABLES.items()} | _likes(board)


def sizes(folder: Path) -> dict[str, int]:
    """The bytes of each file of a board."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _likes(board: Board) -> dict[str, str]:
    """The published tables that plans name, with the board's numbers beside them."""
    names = sorted({name for plan in board.plans.values() for name in plan.like if name.startswith("table")})
    tables = {name: paper_table([board.folder], name) for name in names}
    return {
        f"{name}{Path(file).suffix}": table.render(kind, beside_paper=True)
        for name, table in tables.items()
        for file, kind in TABLES.items()
    }


def _packed(run: Path) -> dict[str, bytes]:
    """The compact records of a run: the names of files, and what they hold."""
    manifest = Store(run).manifest()
    weights, data = (
        {(name, entry["fingerprint"]) for name, entry in manifest.get(kind, {}).items()}
        for kind in ("models", "datasets")
    )
    frame = read([run])
    names = frame["model"] + " on " + frame["dataset"]
    current = [key in weights for key in zip(names, frame["model_fingerprint"], strict=True)]
    current_data = [key in data for key in zip(frame["dataset"], frame["dataset_fingerprint"], strict=True)]
    frame = frame[np.array(current) & np.array(current_data)]
    if frame.empty:
        raise UserError(f"{run} holds no records of the weights and data that its manifest names.")
    files: dict[str, bytes] = {}
    for (dataset, model), group in frame.groupby(["dataset", "model"]):
        name = f"{slug(str(dataset))}--{slug(str(model))}"
        if len(name) > LONGEST or f"{name}.parquet" in files:
            name = f"{name[:LONGEST]}-{hashlib.sha256(f'{dataset} {model}'.encode()).hexdigest()[:8]}"
        files[f"{name}.parquet"] = _compact(group)
    return files


def _compact(frame: pd.DataFrame) -> bytes:
    """Records as a Parquet file without what tables do not need."""
    frame = frame.sort_values(COLUMNS[:-3], kind="stable")
    table = pa.Table.from_pandas(frame[COLUMNS], preserve_index=False)
    table = table.set_column(table.column_names.index("value"), "value", table["value"].cast(pa.float32()))
    keeping = {metric for metric in frame["metric"].unique() if _keeps_parts(metric)}
    if keeping:
        parts = [
            parts if metric in keeping else None for metric, parts in zip(frame["metric"], frame["parts"], strict=True)
        ]
        table = table.append_column("parts", pa.array(parts, pa.list_(pa.float32())))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=19)
    return sink.getvalue().to_pybytes()


def _keeps_parts(metric: str) -> bool:
    """Whether a metric's parts are published; not of one that is not installed."""
    found = installed("metric", metric)
    return found is not None and bool(getattr(found.object, "keep_parts", False))


def _replace_records(board: Path, files: Mapping[str, bytes]) -> None:
    folder = board / "records"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.parquet"):
            path.unlink()
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise UserError(f"folder {board} cannot be written: {error.strerror}.") from error
