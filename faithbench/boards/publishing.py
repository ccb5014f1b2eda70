"""Leaderboards: folders with plans, manifest, compact records, and the tables made from them."""

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from faithbench.boards.cells import NamedBlock, read_asks
from faithbench.boards.checking import disagreements
from faithbench.boards.folder import CELL, HOME, PAGE, Board, boards_below, find, read_board, texts_of
from faithbench.boards.joining import held, joined, plans_of
from faithbench.boards.made import MAX_BOARD_BYTES, MAX_BYTES, generated, sizes
from faithbench.boards.neuron_facts import neuron_facts
from faithbench.boards.overview import MARK, overview
from faithbench.boards.pictures import without_names
from faithbench.errors import UserError, brief
from faithbench.file_names import cut, digest, slug
from faithbench.files import IGNORE, STAGING, locked, remove_leftovers, staging, swap, write_whole, writing
from faithbench.paths import as_path, as_paths
from faithbench.plan import AUTO, PLANS, Plan, plan_files, read_plan
from faithbench.records.columns import ADDED, IDENTITY
from faithbench.records.manifest import NAME, Manifest
from faithbench.records.results import installed, label, named, read
from faithbench.records.store import Store
from faithbench.records.units import is_of_neurons
from faithbench.running.contents import WRITTEN
from faithbench.schemas import read_text
from faithbench.shown import visible

COLUMNS = [*IDENTITY["records"], "value", "parts", "weight", "seconds", "rows", "error"]
OPTIONAL = (*ADDED, "parts")  # where no record has any
SINGLE = {"value": pa.float32(), "parts": pa.list_(pa.float32()), "seconds": pa.float32(), "rows": pa.int32()}
FLOATS = ("value", "seconds", "parts.list.element")  # packed byte by byte, which takes a third less
LOCKS = ".faithbench.locks"  # beside boards, nothing for git: whoever changes one of them holds a lock there
MOST_SHOWN = 200  # characters of what is wrong with a run
LONGEST = 200  # bytes of a file's name


def publish(run: Path | str | Sequence[Path | str], board: Path | str) -> list[Path]:
    """Copies a finished run into a leaderboard folder and makes the tables; if anything is wrong, nothing changes.

    Several runs, such as the parts of a plan that was divided between machines, become one board.

    Only records of the weights and data that the manifest names are published, not those of an earlier training under
    the same name, and of each cell the latest version. Plans that a person put there stay, and of a run that holds more
    only the cells that they ask for are taken; else the plans of the run, which state what it holds, are the board's.
    Texts and what models said of them stay with the run: their licence may not allow more, and they are large. Records
    become compact: one file for each model and data set, with values, parts and seconds in single precision. Where the
    board would be too large, only those parts are kept of which the metric asks for it (`keep_parts`), and those of
    values that are not defined, since they tell why.

    Returns:
        The files made from the records.

    Raises:
        UserError: the run holds no records to publish, other than its own plans say, or more texts than the board's
            plans ask for; two runs are of other weights, texts or versions, or hold different records of one identity;
            the folder cannot be written, a file would exceed 1 MB, or the board 2 MB.
    """
    runs = [as_path("run", run)] if isinstance(run, (str, Path)) else as_paths("run", run)
    board = as_path("board", board)
    runs = list({each.resolve(): each for each in runs}.values())
    if not runs:
        raise UserError("publish needs a run.")
    for each in runs:
        if each.resolve() == board.resolve():
            raise UserError(f"{each} cannot be published into itself.")
        missing = [name for name in (PLANS, "manifest.json") if not any(path.is_file() for path in each.glob(name))]
        if missing:
            raise UserError(f"{each} is not a run: it has no {missing[0].replace('*', '')}.")
    with _alone([board.resolve().parent]):
        return _publish(runs, board)


def _publish(runs: Sequence[Path], board: Path) -> list[Path]:
    """Publishes runs whose plans and manifests are there, while nobody else changes the board."""
    manifest, files = joined(runs), plans_of(runs)
    ours = _are_written(files.values())
    has_plans = any(board.glob(PLANS)) and not (ours and _are_written(plan_files(board)))
    counting = {path.name: path for path in plan_files(board)} if has_plans else files
    plans = {name: read_plan(path) for name, path in counting.items()}
    every = read(runs)
    frame = every[named(every, runs, strictly=True)]
    source = " and ".join(map(str, runs))
    if has_plans and not frame.empty:
        frame = _asked_for(Board(board, plans, manifest, frame), source)
    if frame.empty:
        wanted = " and that the board's plans ask for" * has_plans
        told = ("holds", "its manifest names") if len(runs) == 1 else ("hold", "their manifests name")
        raise UserError(f"{source} {told[0]} no records of the weights and data that {told[1]}{wanted}.")
    if ours and not has_plans:
        plans = _current(Board(runs[0], plans, manifest, frame))
        _check_held(Board(runs[0], plans, manifest, frame), source)
    with _anew(board) as made:
        shutil.rmtree(made / "records", ignore_errors=True)
        (made / "records").mkdir()
        for path in () if has_plans else [*made.glob(PLANS)]:
            path.unlink()
        _put(made, {"manifest.json": _manifest(runs, manifest, frame)})
        _put(made, {} if has_plans else {name: files[name].read_bytes() for name in plans})
        small = ["manifest.json", *([] if has_plans else plans)]
        facts = dict(neuron_facts(runs, frame))
        _put(made, facts)
        for metrics in (set(frame["metric"]), set(filter(_keeps_parts, frame["metric"].unique()))):
            packed = {f"records/{name}": data for name, data in _packed(frame, metrics).items()}
            _put(made, packed)
            tables = _encoded(generated(Board(made, plans, manifest, Store(made).read("records"))))
            _put(made, tables)
            problem = _too_large(board, made, [*small, *facts, *packed, *tables])
            if problem is None:
                break
        else:
            raise UserError(str(problem))
    return [board / name for name in tables] + _pages([board])


def _manifest(runs: Sequence[Path], manifest: Manifest, records: pd.DataFrame) -> bytes:
    """What is said of the records' models and data sets; the file of a single run as it is where it says no more."""
    said = held(manifest, records)
    if len(runs) == 1 and said == json.loads(written := (runs[0] / NAME).read_bytes()):
        return written
    return (json.dumps(said, indent=2) + "\n").encode()


def _are_written(files: Iterable[Path]) -> bool:
    """Whether all of these plans are the work of runs, which state what these hold; none of a person."""
    return all(read_text(path).startswith(WRITTEN) for path in files)


def _current(run: Board) -> dict[str, Plan]:
    """The plans of a run but those of trainings all of whose models were trained otherwise since."""
    blocks: dict[str, list[NamedBlock]] = {}
    for each in read_asks(run).blocks:
        blocks.setdefault(each.plan, []).append(each)
    current = {name: plan for name, plan in run.plans.items() if not all(_retrained(run, b) for b in blocks[name])}
    return current or dict(run.plans)


def _retrained(run: Board, named: NamedBlock) -> bool:
    report = run.entry("models", f"{named.model} on {named.block.dataset.identity}").get("training", {})
    asked, settings = named.block.complete_training, report.get("training")
    return asked is not None and isinstance(settings, Mapping) and bool(asked.differences(settings))


def _check_held(run: Board, source: str) -> None:
    """Runs hold what their own plans say, and nothing besides; `source` names them.

    Raises:
        UserError: it does not; the first difference is named, and the cure.
    """
    for each in read_asks(run).blocks:
        dataset = each.block.dataset.identity
        entry, data = run.entry("models", f"{each.model} on {dataset}"), run.entry("datasets", dataset)
        ways = [] if is_of_neurons(dataset) else [("split", each.block.split, data.get("split"))]
        ways += [("dtype", each.block.dtype, entry.get("dtype"))] * (each.block.dtype != AUTO)
        for name, asked, there in ways:
            if there not in (None, asked):
                names = f"{label('model', each.model)} on {label('dataset', dataset)}"
                raise UserError(
                    f"{source} holds {names} with {name} {asked} and with {name} {there}, and a board has one of "
                    "them: run each into a folder of its own."
                )
    problem = next(disagreements(run, files=False), None)
    if problem is not None:
        raise UserError(
            f"{source} cannot be published as it is: {brief(visible(problem), MOST_SHOWN)}; run the same command "
            "again, which measures what is missing, or run what is to be published into another folder."
        )


def _asked_for(board: Board, source: str) -> pd.DataFrame:
    """The records of the cells that the plans of a board ask for.

    Raises:
        UserError: there are more texts than a plan asks for, of which it would be wrong to choose some.
    """
    asked = read_asks(board).cells
    for cell, texts in texts_of(board).items():
        if cell in asked and texts > asked[cell].texts:
            names = [label(kind, name) for kind, name in zip(CELL, cell, strict=True)]
            raise UserError(
                f"{source} holds {texts:,} texts of {' on '.join(names[1::-1])}, and {asked[cell].plan} asks for "
                f"{asked[cell].texts:,}: run it into another folder."
            )
    return board.records[[cell in asked for cell in board.records[CELL].itertuples(index=False, name=None)]]


@contextmanager
def _alone(homes: Iterable[Path]) -> Iterator[None]:
    """Only one process at a time changes the boards in these folders; what killed ones have left there is gone.

    Raises:
        UserError: a folder cannot be written.
    """
    with ExitStack() as turns:
        for home in sorted(set(homes)):
            with writing(f"folder {home}"):
                (home / LOCKS).mkdir(parents=True, exist_ok=True)
                (home / LOCKS / IGNORE).write_text("*\n", encoding="utf-8")
                turns.enter_context(locked(home / LOCKS / "boards"))
            remove_leftovers(home)
        yield


@contextmanager
def _anew(board: Path) -> Iterator[Path]:
    """A copy of a board, or an empty folder, that takes its place at the end, in one step; not if anything fails.

    Files are links to those of the board, so none may be changed in place: `_put` does not.

    Raises:
        UserError: the folder cannot be written, or is the working folder, which would be gone then.
    """
    there = board.resolve()
    if Path.cwd().is_relative_to(there):
        raise UserError(f"{there} is replaced as a whole, so not from within: go to {there.parent} first.")
    with writing(f"folder {board}"), staging(there.parent) as place:
        made = place / "new"
        if there.exists():
            ignored = shutil.ignore_patterns(f"{STAGING}*")
            shutil.copytree(there, made, symlinks=True, ignore=ignored, copy_function=_link)
            remove_leftovers(made)
        else:
            made.mkdir()
        yield made
        swap(made, there)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _put(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files that may be there already, as links to others."""
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(data)


def _encoded(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in texts.items()}


def _too_large(board: Path, made: Path, written: Sequence[str]) -> str | None:
    """What is larger than it may be, a sentence; None if nothing is."""
    every = {name: size for name, size in sizes(made).items() if not name.startswith(".")}
    for name in written:
        if every[name] > MAX_BYTES:
            return f"{board / name} would have {every[name]:,} bytes; a leaderboard's files stay under 1 MB."
    if sum(every.values()) > MAX_BOARD_BYTES:
        return f"{board} would have {sum(every.values()):,} bytes; a leaderboard stays under 2 MB."
    return None


def build(folders: Sequence[Path | str] = ()) -> list[Path]:
    """Makes the tables of the boards given, or of all below `./leaderboards`, from their records; and the overview.

    All tables are made before the first is written. Then each board whose tables change is replaced as a whole.
    The overview is the README.md of the folder in which boards are. Where boards are given it is made again if it is
    there, and a README.md that a person wrote is left alone.

    Returns:
        The files that were not so already.

    Raises:
        UserError: there is no board, one cannot be read, a file cannot be written, or a person wrote
            `leaderboards/README.md`.
    """
    folders = as_paths("folders", folders)
    with _alone([HOME.resolve()] if not folders and HOME.is_dir() else [folder.resolve().parent for folder in folders]):
        return _build(folders)


def _build(folders: Sequence[Path]) -> list[Path]:
    """Makes tables and overviews while nobody else changes the boards."""
    written = []
    with ExitStack() as replacing:
        for board in map(read_board, find(folders)):
            tables = generated(board)
            changed = [name for name, text in tables.items() if not _is_so(board.folder / name, text)]
            if changed:
                _put(replacing.enter_context(_anew(board.folder)), _encoded({name: tables[name] for name in changed}))
            written += [board.folder / name for name in changed]
    return written + _pages(folders)


def _is_so(path: Path, text: str) -> bool:
    """Whether a file is what would be made; of a drawing, but for names that are not seen."""
    there = path.read_bytes() if path.is_file() else None
    if there is None or path.suffix != ".svg":
        return there == text.encode()
    return without_names(there.decode(errors="replace")) == without_names(text)


def _pages(folders: Sequence[Path]) -> list[Path]:
    """Makes the overviews of these boards, or of all below `./leaderboards`; returns those that have changed."""
    written = []
    pages = dict.fromkeys(_home(folder) / PAGE for folder in folders) if folders else [HOME / PAGE]
    for page in pages:
        ours = page.is_file() and page.read_bytes().startswith(MARK.encode())
        if not folders and page.is_file() and not ours:
            raise UserError(
                f"{page} was written by a person; delete it, and the overview of the boards takes its place."
            )
        if ours or not folders:
            text = overview([read_board(folder) for folder in boards_below(page.parent)], page.parent)
            if not _is_so(page, text):
                write_whole(page, text)
                written.append(page)
    return written


def _home(board: Path) -> Path:
    """The folder in which a board is, also if it is called `.` or `..`."""
    return board.parent if board.name not in ("", "..") else board.resolve().parent


def _packed(frame: pd.DataFrame, with_parts: Collection[str]) -> dict[str, bytes]:
    """Compact records, with the parts of some metrics: the names of files, and what they hold."""
    files: dict[str, bytes] = {}
    taken: set[str] = set()  # as file systems see them to which case is nothing
    for (dataset, model), group in frame.groupby(["dataset", "model"]):
        name = f"{slug(str(dataset))}--{slug(str(model))}"
        if len(name.encode()) > LONGEST or name.casefold() in taken:
            name = f"{cut(name, LONGEST)}-{digest(f'{dataset} {model}')}"
        taken.add(name.casefold())
        files[f"{name}.parquet"] = _compact(group, with_parts)
    return files


def _compact(frame: pd.DataFrame, with_parts: Collection[str]) -> bytes:
    """Records as a small Parquet file, the same bytes whether they come from a run or from a board."""
    frame = frame.sort_values(IDENTITY["records"], kind="stable")
    frame["parts"] = frame["parts"].where(frame["metric"].isin(with_parts) | frame["value"].isna(), None)
    columns = [name for name in COLUMNS if name not in OPTIONAL or frame[name].notna().any()]
    table = pa.Table.from_pandas(frame[columns], preserve_index=False)
    table = table.replace_schema_metadata()  # which says what pandas held: of a run and of a board not the same
    for name, kind in SINGLE.items():
        if name in columns:
            table = table.set_column(columns.index(name), name, table[name].cast(kind))
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in columns if name not in SINGLE],
        use_byte_stream_split=[name for name in FLOATS if name.partition(".")[0] in columns],
    )
    return sink.getvalue().to_pybytes()


def _keeps_parts(metric: str) -> bool:
    """Whether a metric's parts are published; not of one that is not installed."""
    found = installed("metric", metric)
    return found is not None and found.traits.keep_parts
