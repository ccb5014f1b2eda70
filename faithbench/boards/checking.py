"""Is a leaderboard what it says? Its records against its plans, manifest, tables and the components installed."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from faithbench.boards.across import compare_boards
from faithbench.boards.cells import Asked, NamedBlock, read_asks
from faithbench.boards.folder import CELL, HOME, PAGE, Board, find, read_board, texts_of
from faithbench.boards.made import MAX_BOARD_BYTES, MAX_BYTES, sizes, tables_of
from faithbench.boards.overview import overview
from faithbench.boards.pictures import Pictures, is_drawn_alike, pictures
from faithbench.errors import UserError
from faithbench.paths import as_paths
from faithbench.plan import AUTO, CRATE, DECODERS
from faithbench.plugins import spec
from faithbench.records.results import earlier_versions, installed, label
from faithbench.records.units import is_of_neurons, units_of
from faithbench.running.agenda import Cell
from faithbench.schemas import MissingFileError, read_text
from faithbench.shown import visible

LINES = 40  # of a difference that are shown
Cells = Mapping[Cell, Asked]
Place = tuple[str, str, str]  # data set, model, explainer
REMAKE = "make it with `faithbench board build`"


@dataclass(frozen=True)
class Checked:
    """What a check came to: of which folder, in one sentence what it holds, and everything that is wrong.

    A folder that was `refused` could not be checked; the summary says why. `remarks` are what is not wrong and should
    be known: what cannot be made again, and where another board says something else of a cell.
    """

    path: Path
    summary: str
    problems: tuple[str, ...] = ()
    refused: bool = False
    remarks: tuple[str, ...] = ()


def check(folders: Sequence[Path | str] = ()) -> list[Checked]:
    """Checks the boards given, or all below `./leaderboards` with the overview.

    One that cannot be checked, because plan, manifest or records are missing or malformed, is refused, and the others
    are checked all the same.

    Raises:
        UserError: there is none.
    """
    boards, checked, folders = [], [], as_paths("folders", folders)
    for folder in find(folders):
        try:
            board = read_board(folder)
            drawn = pictures(board)
            wrong = (*problems(board), *_pictures(board, drawn))
            checked.append(Checked(folder, _summary(board), wrong, remarks=tuple(_old(board, drawn))))
            boards.append(board)
        except UserError as error:
            checked.append(Checked(folder, str(error), refused=True))
    places = {board.folder: checked.index(each) for board in boards for each in checked if each.path == board.folder}
    for number, sentence in compare_boards(boards):
        place = places[boards[number].folder]
        checked[place] = replace(checked[place], remarks=(*checked[place].remarks, sentence))
    if not folders and len(boards) == len(checked):
        found = tuple(_difference(HOME / PAGE, overview(boards, HOME)))
        checked.append(Checked(HOME, "the overview is that of its boards", found))
    return checked


def problems(board: Board) -> Iterator[str]:
    """Everything that is wrong with a board, a sentence each; of a table also how it differs, in lines below."""
    yield from map(visible, disagreements(board))
    yield from _tables(board)


def disagreements(board: Board, files: bool = True) -> Iterator[str]:
    """Where records, plans, manifest and what is installed disagree, a sentence each, and files too large."""
    asked = read_asks(board)
    yield from _unasked(board, asked.cells)
    yield from _missing(board, asked.cells)
    for plan, metric in asked.idle:
        yield f"metric {metric} of {plan} is measured on none of its data sets"
    yield from _settings(board, asked.blocks)
    yield from _weights(board, asked.blocks)
    yield from _lost(board)
    yield from _unnamed(board)
    if files:
        yield from _too_large(board.folder)


def _summary(board: Board) -> str:
    counts = {"record": len(board.records), "plan": len(board.plans)}
    return "as its records say: " + ", ".join(f"{n:,} {name}{'s' * (n != 1)}" for name, n in counts.items())


def _unasked(board: Board, asked: Cells) -> Iterator[str]:
    """Records that are of no plan, or of more texts than any."""
    plans = ", ".join(board.plans)
    known = [{cell[place] for cell in asked} for place in range(len(CELL))]
    foreign: dict[tuple[str, str], int] = {}
    apart: dict[Place, list[str]] = {}
    for cell, texts in texts_of(board).items():
        strange = [(kind, name) for kind, name, of in zip(CELL, cell, known, strict=True) if name not in of]
        for each in strange:
            foreign[each] = foreign.get(each, 0) + texts
        if cell not in asked and not strange:
            apart.setdefault(cell[:3], []).append(cell[3])
        if cell in asked and texts > asked[cell].texts:
            told, wanted = _told(cell[:3], cell[3:]), asked[cell]
            yield f"{told} has {texts:,} {units_of(cell[:1])}, more than the {wanted.texts:,} of {wanted.plan}"
    for (kind, name), records in foreign.items():
        yield f"{kind} {name} of {records:,} records is in no plan ({plans})"
    for place, metrics in apart.items():
        yield f"{_told(place, metrics)} is in no plan ({plans})"


def _missing(board: Board, asked: Cells) -> Iterator[str]:
    """What plans ask for that was not measured, or on too few texts."""
    counts = texts_of(board)
    measured = {cell[:2] for cell in counts}
    blocks: dict[tuple[str, str, str], int] = {}
    groups: dict[tuple[Place, int, Asked], list[str]] = {}
    for cell, wanted in asked.items():
        texts = counts.get(cell, 0)
        if cell[:2] not in measured:
            block = (*cell[:2], wanted.plan)
            blocks[block] = blocks.get(block, 0) + 1
        elif texts < wanted.texts - _unreadable(board, *cell[:2]):
            groups.setdefault((cell[:3], texts, wanted), []).append(cell[3])
    for (dataset, model, plan), cells in blocks.items():
        where = f"{label('model', model)} on {label('dataset', dataset)}"
        yield f"there are no records of {where}, of which {plan} asks for {cells:,} results"
    for (place, texts, wanted), metrics in groups.items():
        yield f"{_told(place, metrics)} has {texts:,} of the {wanted.texts:,} texts of {wanted.plan}"


def _unreadable(board: Board, dataset: str, model: str) -> int:
    """How many of the texts that were taken the model could not read, as the manifest says with their reasons."""
    entry = board.manifest.get("models", {}).get(f"{model} on {dataset}")
    return entry["skipped"]["count"] if entry is not None and "skipped" in entry else 0


def _settings(board: Board, blocks: Sequence[NamedBlock]) -> Iterator[str]:
    """Where the manifest says that models were trained or run otherwise than a plan says."""
    for named in blocks:
        block, dataset = named.block, named.block.dataset.identity
        entry, where = board.entry("models", f"{named.model} on {dataset}"), _where(named)
        split = None if is_of_neurons(dataset) else board.entry("datasets", dataset).get("split")
        known = {"split": split, "dtype": entry.get("dtype")}
        asked = {"split": block.split, "dtype": known["dtype"] if block.dtype == AUTO else block.dtype}
        apart: list[tuple[str, object, object]] = [
            (key, there, asked[key]) for key, there in known.items() if there not in (None, asked[key])
        ]
        training = block.complete_training
        if entry and training:
            report = entry.get("training")
            settings = report.get("training") if isinstance(report, Mapping) else None
            if not isinstance(settings, Mapping):
                yield f"manifest.json does not say how {where} was trained"
                continue
            apart += [(name, there, value) for name, value, there in training.differences(settings)]
        if apart:
            told = "; ".join(f"{key}={there!r}, not {value!r}" for key, there, value in apart)
            yield f"manifest.json says of {where} other than {named.plan}: {told}"


def _where(named: NamedBlock) -> str:
    return f"{label('model', named.model)} on {label('dataset', named.block.dataset.identity)}"


def _weights(board: Board, blocks: Sequence[NamedBlock]) -> Iterator[str]:
    """Models that had other weights on documents than on the data set that these are made of."""
    seen: dict[tuple[str, str, object], tuple[str, str]] = {}
    for (dataset, model), named in {(each.block.dataset.identity, each.model): each for each in blocks}.items():
        entry = board.entry("models", f"{model} on {dataset}")
        if entry:
            mine = label("dataset", dataset), str(entry["fingerprint"])
            first = seen.setdefault((model, named.block.base.identity, entry.get("dtype")), mine)
            if first[1] != mine[1]:
                each = [f"{fingerprint} on {name}" for name, fingerprint in (first, mine)]
                yield f"{label('model', model)} has other weights in one place than in another: {' and '.join(each)}"


def _lost(board: Board) -> Iterator[str]:
    """Components of records that are not installed."""
    for kind in ("explainer", "metric"):
        for name in sorted(set(board.records[kind])):
            if installed(kind, name) is None:
                yield _reason(kind, name)


def _reason(kind: str, name: str) -> str:
    """Why a component is not to be had."""
    try:
        spec.build(kind, name)
    except UserError as error:
        return f"{kind} {name} is not installed as it was, so its records cannot be checked: {error}"
    return f"{kind} {name} has been installed since"


def _unnamed(board: Board) -> Iterator[str]:
    """Weights and data that are not those of the manifest."""
    kinds: tuple[tuple[Literal["models", "datasets"], list[str]], ...] = (
        ("datasets", ["dataset"]),
        ("models", ["model", "dataset"]),
    )
    for kind, columns in kinds:
        what = kind.removesuffix("s")
        for (*names, fingerprint), records in _counts(board, *columns, f"{what}_fingerprint"):
            name = " on ".join(names)
            named = board.entry(kind, name).get("fingerprint")
            if named != fingerprint:
                says = "does not name it" if named is None else f"says {named}"
                yield f"{records:,} records of {name} have the {what} fingerprint {fingerprint}; manifest.json {says}"


def _too_large(folder: Path) -> Iterator[str]:
    found = sizes(folder)
    for path, size in found.items():
        if size > MAX_BYTES:
            yield f"{path} has {size:,} bytes; a leaderboard's files have at most {MAX_BYTES:,}"
    if sum(found.values()) > MAX_BOARD_BYTES:
        yield f"it has {sum(found.values()):,} bytes in all; a leaderboard has at most {MAX_BOARD_BYTES:,}"


def _pictures(board: Board, drawn: Pictures) -> Iterator[str]:
    """Figures and agreement that are not what the records give."""
    for name, text in drawn.made.items():
        path = board.folder / name
        if not (path.is_file() and is_drawn_alike(read_text(path), text)):
            yield from _difference(path, text)


def _old(board: Board, drawn: Pictures) -> Iterator[str]:
    """What cannot be made again, above all because records do not hold what they do now."""
    lacking = [name for name in ("parts", "rows", "seconds") if board.records[name].isna().any()]
    if lacking:
        count = int(board.records[lacking].isna().any(axis=1).sum())
        some = f"all {count:,}" if count == len(board.records) else f"{count:,} of {len(board.records):,}"
        yield f"{some} records lack {', '.join(lacking)}, so nothing that is made of these can be checked"
    for each in earlier_versions(board.records):
        yield (
            f"{each.component} {each.identity} has version {each.now} now, and {each.records:,} records are of version "
            f"{each.then}, as the tables say: run it again"
        )
    for reason in dict.fromkeys(drawn.lost.values()):
        names = ", ".join(name for name, other in drawn.lost.items() if other == reason)
        yield f"{names} cannot be made again here: {reason}"


def _tables(board: Board) -> Iterator[str]:
    made = tables_of(board)
    for name, text in made.items():
        yield from _difference(board.folder / name, text)
    named = [board.folder / f"{name}.{kind}" for name in (DECODERS, CRATE) for kind in ("md", "csv")]
    there = [*board.folder.glob("table*.md"), *board.folder.glob("table*.csv"), *filter(Path.is_file, named)]
    for path in sorted(there):
        if path.name not in made:
            yield f"{path.name} is made by nothing: no plan has a line like = [{path.stem!r}]"


def _difference(path: Path, text: str) -> Iterator[str]:
    """How a committed file differs from what it should be; nothing if it does not."""
    try:
        committed = read_text(path)
    except MissingFileError:
        yield f"{path.name} is missing; {REMAKE}"
        return
    except UserError as error:
        yield str(error).removeprefix(f"{path.parent}/").removesuffix(".")
        return
    if committed == text:
        return
    lines = list(
        difflib.unified_diff(committed.splitlines(), text.splitlines(), path.name, "what the records give", lineterm="")
    )
    rest = [f"… and {len(lines) - LINES:,} lines more"] * (len(lines) > LINES)
    yield "\n".join([f"{path.name} is not what the records give; {REMAKE}", *map(visible, lines[:LINES]), *rest])


def _counts(board: Board, *columns: str) -> Iterator[tuple[list[str], int]]:
    """How many records there are of each combination."""
    for *names, records in board.records.groupby(list(columns)).size().reset_index().itertuples(index=False, name=None):
        yield names, int(records)


def _told(place: Place, metrics: Sequence[str]) -> str:
    dataset, model, explainer = (label(kind, name) for kind, name in zip(CELL, place, strict=False))
    return f"{explainer} on {model} on {dataset} by {', '.join(label('metric', name) for name in metrics)}"
