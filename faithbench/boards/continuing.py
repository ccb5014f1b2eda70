"""Going on with a published board: its records as a run's folder, and how its models were trained (docs/boards.md)."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from faithbench.boards.folder import Board, read_board
from faithbench.errors import UserError
from faithbench.file_names import slug
from faithbench.files import staging, swap, write_whole, writing
from faithbench.paths import as_names, as_path
from faithbench.plan import PLANS, SPEED, Plan, Training, write_plan
from faithbench.plugins import spec
from faithbench.records.commands import Noted
from faithbench.records.manifest import ModelEntry
from faithbench.records.results import label
from faithbench.records.store import Store
from faithbench.running.contents import WRITTEN
from faithbench.running.readme import write_readme
from faithbench.schemas import read_text
from faithbench.shown import path_word, shell_words
from faithbench.training.hardware import machine
from faithbench.training.settings import training_dataset


@dataclass(frozen=True)
class Weights:
    """What a board was made with.

    Args:
        model: its label.
        dataset: on which it was trained, likewise.
        fingerprint: of the weights; other weights give other numbers, and then all is measured anew.
        recipe: the command that trains it; empty for a folder or hub id.
    """

    model: str
    dataset: str
    fingerprint: str
    recipe: str


@dataclass(frozen=True)
class Continued:
    """A board as a run's folder.

    Args:
        run: the folder.
        plans: that were added to the board.
        weights: of the board's models.
        command: that goes on.
    """

    run: Path
    plans: tuple[Path, ...]
    weights: tuple[Weights, ...]
    command: str


def continue_board(board: Path | str, run: Path | str, explainers: Sequence[str] = ()) -> Continued:
    """Makes a run's folder of a board's records, to which a run adds what is not there yet.

    A board's plan that a person wrote says what the board holds; so for explainers that it does not name a plan is put
    beside it.

    Args:
        board: the leaderboard's folder.
        run: a folder that is not there yet.
        explainers: specs of those that are to be added.

    Raises:
        UserError: the board cannot be read, an explainer is not known, or the run's folder is there or cannot be
            written.
    """
    board, run = as_path("board", board), as_path("run", run)
    names = as_names("explainers", explainers)
    for name in names:
        spec.build("explainer", name)
    found = read_board(board)
    if run.exists():
        raise UserError(f"{run} is there already; name a folder that is not, or go on with that run.")
    made = tuple(_added(found, names))
    for path, text in made:
        write_whole(path, text)
    _copy(board, run)
    _say_what_it_is(run, len(found.records))
    words = ["faithbench", "run", "--plan", path_word(board)]
    words += [word for name in names for word in ("--explainer", name)]
    command = shell_words([*words, "--out", path_word(run)])
    return Continued(run, tuple(path for path, _ in made), weights_of_board(found), command)


def weights_of_board(board: Board) -> tuple[Weights, ...]:
    """The models of a board, each once, and how it was trained."""
    entries = board.manifest.get("models", {})
    return tuple(dict.fromkeys(_weights(*name.partition(" on ")[::2], entry) for name, entry in entries.items()))


def _weights(model: str, dataset: str, entry: ModelEntry) -> Weights:
    report = entry.get("training") or {}
    name, settings = label("model", model), report.get("training")
    usual = Training() if "schedule" in report else Training(precision="float32")  # of language models, and of others
    try:
        trained_on = training_dataset(spec.build("dataset", dataset)).label
    except UserError:  # no longer to be had as it was
        trained_on, settings = label("dataset", dataset), None
    recipe = _recipe(name, trained_on, settings, usual) if isinstance(settings, Mapping) else ""
    return Weights(name, trained_on, str(entry["fingerprint"]), recipe)


def _recipe(model: str, dataset: str, settings: Mapping[str, object], usual: Training) -> str:
    words = ["faithbench", "train", "--model", model, "--dataset", dataset]
    for name, value in settings.items():
        if name not in SPEED and value is not None and value != getattr(usual, name, None):
            words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shell_words(words)


def _added(board: Board, explainers: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """Plans for explainers that a person's plans do not ask for."""
    for name, plan in board.plans.items():
        path = board.folder / name
        missing = tuple(each for each in explainers if not _asks(plan, each))
        if missing and not read_text(path).startswith(WRITTEN):
            yield path.with_name(f"{path.stem}-{slug('-'.join(missing))}.toml"), write_plan(_with(plan, missing))


def _with(plan: Plan, explainers: tuple[str, ...]) -> Plan:
    """The same of other explainers; published tables are made of the plan that names them."""
    return replace(plan, explainers=explainers, like=())


def _asks(plan: Plan, explainer: str) -> bool:
    identity = spec.build("explainer", explainer).identity
    return not plan.explainers or identity in {spec.build("explainer", each).identity for each in plan.explainers}


def _copy(board: Path, run: Path) -> None:
    with writing(f"folder {run}"):
        run.resolve().parent.mkdir(parents=True, exist_ok=True)
        with staging(run.resolve().parent) as place:
            made = place / "new"
            shutil.copytree(board / "records", made / "records")
            for path in (board / "manifest.json", *sorted(board.glob(PLANS))):
                shutil.copy2(path, made / path.name)
            swap(made, run.resolve())


def _say_what_it_is(run: Path, records: int) -> None:
    """The page for whoever finds the folder, and the line of the command that made it."""
    store, noted = Store(run).open(), Noted(machine(torch.device("cpu")))
    write_readme(store)
    noted.begin(store)
    noted.end(done=records, before=0, failed=0)
