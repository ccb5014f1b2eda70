"""Leaderboards: folders with plans, manifest, compact records, and the tables made from them."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from faithbench.boards.cells import read_asks
from faithbench.boards.folder import CELL, HOME, Board, boards_below, find, read_board, read_manifest, texts_of
from faithbench.boards.overview import MARK, overview
from faithbench.errors import UserError
from faithbench.file_names import cut, digest, slug
from faithbench.files import write_whole
from faithbench.paper.fill_table import paper_table
from faithbench.paths import as_path, as_paths
from faithbench.plan import PLANS, plan_files, read_plan
from faithbench.records.results import installed, label, named, read
from faithbench.records.store import ADDED, IDENTITY, Store
from faithbench.tables.table import renderings

COLUMNS = [*IDENTITY["records"], "value", "weight", "error"]
TABLES = {"table.md": "markdown", "table.csv": "csv"}
MAX_BYTES = 1_000_000
MAX_BOARD_BYTES = 2_000_000
PAGE = "README.md"  # of the folder that boards are in: the overview
LONGEST = 200  # bytes of a file's name


def publish(run: Path | str, board: Path | str) -> list[Path]:
    """Copies a finished run into a leaderboard folder and makes the tables; if anything is wrong, nothing changes.

    Only records of the weights and data that the manifest names are published, not those of an earlier training under
    the same name, and of each cell the latest version. Plans that are there already stay, and of a run that holds more
    only the cells that they ask for are taken. Records become compact: one file for each model and data set, float32
    values, no costs, and per-ratio parts only of metrics that ask for it (`keep_parts`).

    Returns:
        The files made from the records.

    Raises:
        UserError: the run holds no records to publish or more texts than the board's plans ask for, the folder cannot
            be written, a file would exceed 1 MB, or the board 2 MB.
    """
    run, board = as_path("run", run), as_path("board", board)
    if run.resolve() == board.resolve():
        raise UserError(f"{run} cannot be published into itself.")
    missing = [name for name in ("plan.toml", "manifest.json") if not (run / name).is_file()]
    if missing:
        raise UserError(f"{run} is not a run: it has no {missing[0]}.")
    manifest = read_manifest(run)
    has_plans = any(board.glob(PLANS))
    plans = {path.name: read_plan(path) for path in (plan_files(board) if has_plans else [run / "plan.toml"])}
    frame = read([run])
    frame = frame[named(frame, [run], strictly=True)]
    if has_plans and not frame.empty:
        frame = _asked_for(Board(board, plans, manifest, frame), run)
    if frame.empty:
        wanted = " and that the board's plans ask for" * has_plans
        raise UserError(f"{run} holds no records of the weights and data that its manifest names{wanted}.")
    try:
        home = board.resolve().parent
        home.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".publish-", dir=home) as place:
            made, earlier = Path(place) / "new", Path(place) / "earlier"
            (made / "records").mkdir(parents=True)
            for name, data in _packed(frame).items():
                (made / "records" / name).write_bytes(data)
            small = ["manifest.json", *["plan.toml"] * (not has_plans)]
            for name in small:
                shutil.copyfile(run / name, made / name)
            tables = generated(Board(made, plans, manifest, Store(made).read("records")))
            for name, text in tables.items():
                (made / name).write_text(text, encoding="utf-8")
            _check_sizes(board, sizes(made))
            board.mkdir(exist_ok=True)
            if (board / "records").exists():
                (board / "records").rename(earlier)
            (made / "records").rename(board / "records")
            for name in (*small, *tables):
                (made / name).replace(board / name)
    except OSError as error:
        raise UserError(f"folder {board} cannot be written: {error.strerror or error}.") from error
    return [board / name for name in tables] + _pages([board])


def _asked_for(board: Board, run: Path) -> pd.DataFrame:
    """The records of the cells that the plans of a board ask for.

    Raises:
        UserError: there are more texts than a plan asks for, of which it would be wrong to choose some.
    """
    asked = read_asks(board).cells
    for cell, texts in texts_of(board).items():
        if cell in asked and texts > asked[cell].texts:
            names = [label(kind, name) for kind, name in zip(CELL, cell, strict=True)]
            raise UserError(
                f"{run} holds {texts:,} texts of {' on '.join(names[1::-1])}, and {asked[cell].plan} asks for "
                f"{asked[cell].texts:,}: run it into another folder."
            )
    return board.records[[cell in asked for cell in board.records[CELL].itertuples(index=False, name=None)]]


def _check_sizes(board: Path, made: dict[str, int]) -> None:
    for name, size in made.items():
        if size > MAX_BYTES:
            raise UserError(f"{board / name} would have {size:,} bytes; a leaderboard's files stay under 1 MB.")
    there = {name: size for name, size in sizes(board).items() if not name.startswith(("records/", "."))}
    total = sum((there | made).values())
    if total > MAX_BOARD_BYTES:
        raise UserError(f"{board} would have {total:,} bytes; a leaderboard stays under 2 MB.")


def build(folders: Sequence[Path | str] = ()) -> list[Path]:
    """Makes the tables of the boards given, or of all below `./leaderboards`, from their records; and the overview.

    The overview is the README.md of the folder in which boards are. Where boards are given it is made again if it is
    there, and a README.md that a person wrote is left alone.

    Returns:
        The files written.

    Raises:
        UserError: there is no board, one cannot be read, a file cannot be written, or a person wrote
            `leaderboards/README.md`.
    """
    written, folders = [], as_paths("folders", folders)
    for board in map(read_board, find(folders)):
        for name, text in generated(board).items():
            Store(board.folder).write_text(name, text)
            written.append(board.folder / name)
    return written + _pages(folders)


def _pages(folders: Sequence[Path]) -> list[Path]:
    """Makes the overviews of these boards, or of all below `./leaderboards`."""
    written = []
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


def _packed(frame: pd.DataFrame) -> dict[str, bytes]:
    """Compact records: the names of files, and what they hold."""
    files: dict[str, bytes] = {}
    taken: set[str] = set()  # as file systems see them to which case is nothing
    for (dataset, model), group in frame.groupby(["dataset", "model"]):
        name = f"{slug(str(dataset))}--{slug(str(model))}"
        if len(name.encode()) > LONGEST or name.casefold() in taken:
            name = f"{cut(name, LONGEST)}-{digest(f'{dataset} {model}')}"
        taken.add(name.casefold())
        files[f"{name}.parquet"] = _compact(group)
    return files


def _compact(frame: pd.DataFrame) -> bytes:
    """Records as a Parquet file without what tables do not need."""
    frame = frame.sort_values(COLUMNS[:-3], kind="stable")
    columns = [name for name in COLUMNS if name not in ADDED or frame[name].notna().any()]
    table = pa.Table.from_pandas(frame[columns], preserve_index=False)
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
    return found is not None and found.traits.keep_parts
