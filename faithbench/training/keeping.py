"""Checkpoints in the cache: made beside their place, put there by one rename, and not believed where not whole."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from safetensors import SafetensorError, safe_open
from transformers.trainer_utils import get_last_checkpoint
from typing_extensions import TypedDict

from faithbench.errors import UserError
from faithbench.files import locked, staging, swap, write_whole, writing
from faithbench.schemas import MissingFileError, check, read_json
from faithbench.training.checkpoint import WEIGHTS

REPORT = "training.json"
STATE, STATE_PARTS = "trainer_state.json", ("optimizer.pt", "scheduler.pt", "rng_state.pth")
READ = (
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "generation_config.json",
    "added_tokens.json",
)
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "spm.model")
AT_ONCE = 2**20  # bytes of a file that are read at a time
WORK, LOCK = ".training", ".lock"  # endings, beside a checkpoint's folder, of where it is made and by whom


class Report(TypedDict, total=False):
    """What is believed of any report."""

    model: str
    dataset: str
    training: dict[str, Any]


class Accuracies(TypedDict):
    """Of one split, in percent."""

    accuracy: float
    balanced_accuracy: float


class FinishedReport(TypedDict):
    """What the report of a training holds that was finished here."""

    training: dict[str, Any]
    texts: dict[str, int]
    steps: int


class ClassifierReport(FinishedReport):
    """The same of a classifier."""

    model: str
    dataset: str
    validation: Accuracies
    test: Accuracies


class Perplexity(TypedDict):
    """Of one split: mean cross-entropy of a token, its exponential, and of how many tokens."""

    loss: float
    perplexity: float
    tokens: int


class LanguageReport(FinishedReport):
    """The same of a language model."""

    model: str
    dataset: str
    validation: Perplexity


def report_of(folder: Path) -> dict[str, Any] | None:
    """The training report of a checkpoint, None if there is none.

    Raises:
        UserError: it cannot be read, or is no such report.
    """
    try:
        report: Any = read_json(folder / REPORT, Report, nan=True)
    except MissingFileError:
        return None
    return dict(report)


def fault(folder: Path, kind: type[FinishedReport]) -> str | None:
    """Why the folder of a checkpoint is not believed to be a finished one: its first fault, in words; None if it is."""
    try:
        check(report_of(folder), kind, REPORT)
    except UserError as error:
        return str(error).rstrip(".") if (folder / REPORT).exists() else f"it has no {REPORT}"
    needed = ["config.json"] if kind is FinishedReport else ["config.json", "tokenizer_config.json"]
    for name in dict.fromkeys((*needed, *(name for name in READ if (folder / name).exists()))):
        if not isinstance(_json(folder / name), dict):
            return f"{name} is missing or torn"
    if not _weights_are_whole(folder):
        return "its weights are missing or torn"
    if kind is not FinishedReport and not any((folder / name).is_file() for name in VOCABULARIES):
        return "it has no vocabulary"
    return None


def weights_hash(folder: Path) -> str:
    """A hash of the weights in a folder.

    Raises:
        UserError: they cannot be read.
    """
    try:
        there = sorted(folder.glob("*.safetensors"))
        return _hash_of(tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in there))
    except OSError as error:
        raise UserError(f"the weights in {folder} cannot be read: {error.strerror or error}.") from error


@cache
def _hash_of(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Of files that have not changed since."""
    digest = hashlib.sha256()
    for path, _, _ in files:
        own = hashlib.sha256()
        with path.open("rb") as content:
            for part in iter(partial(content.read, AT_ONCE), b""):
                own.update(part)
        digest.update(own.digest())
    return digest.hexdigest()[:16]


@contextmanager
def finishing(folder: Path, report: Mapping[str, object]) -> Iterator[Path]:
    """Where to save a model: with the report beside it, it becomes the checkpoint's folder at the end.

    Raises:
        UserError: it cannot be written.
    """
    with writing(f"folder {folder}"):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with writing(f"folder {folder}"), staging(folder.parent) as place:
        made = place / folder.name
        made.mkdir()
        yield made
        (made / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        swap(made, folder)


def work_place(folder: Path) -> Path:
    """The folder in which a checkpoint is made: the states of its training, and of a first phase."""
    return folder.with_name(folder.name + WORK)


def forget_work(folder: Path) -> None:
    """Removes what a finished checkpoint was made of."""
    shutil.rmtree(work_place(folder), ignore_errors=True)


@contextmanager
def in_turn(folder: Path, waits: Callable[[str], object]) -> Iterator[None]:
    """Only one process at a time makes what is kept in a place; `waits` is told who does where another does.

    Raises:
        UserError: the cache cannot be written.
    """
    with ExitStack() as turn:
        with writing(f"folder {folder.parent}"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            turn.enter_context(locked(folder.with_name(folder.name + LOCK), waits))
        yield


def last_state(work: Path) -> str | None:
    """The last state that is whole, with the best one that it names; others are removed."""
    while work.is_dir() and (last := get_last_checkpoint(str(work))):
        if _is_whole(Path(last)):
            return str(last)
        shutil.rmtree(last)
    return None


def _is_whole(state: Path) -> bool:
    """Whether training can go on from a state. The best state that it names may have been moved with it."""
    told = _json(state / STATE)
    if not isinstance(told, dict) or not _weights_are_whole(state):
        return False
    if not all(is_zipfile(state / name) for name in STATE_PARTS):
        return False
    named = told.get("best_model_checkpoint")
    if named is None:
        return True
    best = state.parent / Path(str(named)).name
    if not _weights_are_whole(best):
        return False
    if str(best) != named:
        write_whole(state / STATE, json.dumps(told | {"best_model_checkpoint": str(best)}, indent=2) + "\n")
    return True


def _weights_are_whole(folder: Path) -> bool:
    """Whether every file of weights is there and has the length that its header says."""
    names, index = {WEIGHTS}, _json(folder / f"{WEIGHTS}.index.json")
    if isinstance(index, dict) and isinstance(index.get("weight_map"), dict):
        names = set(map(str, index["weight_map"].values()))
    try:
        for name in names:
            with safe_open(folder / name, "pt"):  # reads the header, which must fit the file
                pass
    except (OSError, SafetensorError):
        return False
    return bool(names)


def _json(path: Path) -> Any:
    """What a file holds; None if it is not there or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
