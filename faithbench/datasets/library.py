"""The library `datasets`: data sets of the Hugging Face hub, or of a folder as the hub has it, as tables.

Imported only where it is used: it takes half a second.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, overload

import datasets
from datasets import config
from datasets.utils import logging

from faithbench.datasets.table import Fields, Table
from faithbench.errors import UserError

SAVED = ("dataset_dict.json", "state.json")  # of a folder that `save_to_disk` wrote


@dataclass(frozen=True)
class Rows(Sequence[Fields]):
    """The rows of a split, read from its file one after the other."""

    kept: Any

    def __len__(self) -> int:
        return len(self.kept)

    def __iter__(self) -> Iterator[Fields]:
        return iter(self.kept)

    @overload
    def __getitem__(self, index: int) -> Fields: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Fields]: ...
    def __getitem__(self, index: int | slice) -> Fields | Sequence[Fields]:
        return self.kept[index] if isinstance(index, int) else list(islice(self, *index.indices(len(self))))


def hub_tables(repo: str, name: str, revision: str, split: str, rows: int) -> dict[str, Table]:
    """The splits of a data set, under the hub's names for them.

    Args:
        repo: its id, or a folder.
        name: the configuration; empty for the only one.
        revision: a commit, branch or tag; empty for the latest.
        split: a split or part of one, such as `validation[:200]`, that is wanted besides; empty for none.
        rows: how many of each split, from its beginning, are read, without downloading the rest; 0 for all.

    Raises:
        UserError: the data set cannot be had.
    """
    with _quiet():
        try:
            found = _opened(repo, name, revision, rows)
            if split and split not in found and not rows:
                found = {**found, split: _part(repo, name, revision, split)}
            return {key: _table(f"{repo} ({key})", each, rows) for key, each in found.items()}
        except Exception as error:  # the library and what it stands on fail in many ways
            raise UserError(_refusal(repo, error)) from error


def _opened(repo: str, name: str, revision: str, rows: int) -> Mapping[str, Any]:
    if any((Path(repo) / marker).is_file() for marker in SAVED):
        found = datasets.load_from_disk(repo)
        return found if isinstance(found, dict) else {"test": found}
    opened: Mapping[str, Any] = datasets.load_dataset(
        repo, name or None, revision=revision or None, streaming=bool(rows)
    )
    return opened


def _part(repo: str, name: str, revision: str, split: str) -> Any:
    return datasets.load_dataset(repo, name or None, revision=revision or None, split=split)


def _table(source: str, split: Any, rows: int) -> Table:
    features = split.features or {}
    kept = [column for column, feature in features.items() if _is_plain(feature)]
    chosen = split.select_columns(kept) if kept else split
    names = {column: tuple(found) for column in kept if (found := _class_names(features[column]))}
    if rows:
        first = list(chosen.take(rows))
        columns = kept or list(dict.fromkeys(column for row in first for column in row))
        return Table(source, columns, first, names)
    return Table(source, kept, Rows(chosen), names, column=lambda column: _values(chosen, column))


def _values(split: Any, column: str) -> Iterable[Any]:
    return split.select_columns([column])[column] if column in split.column_names else [None] * len(split)


def _is_plain(feature: Any) -> bool:
    """Numbers, texts, classes, and lists of those: no pictures or sounds, which would be decoded."""
    return isinstance(feature, (datasets.Value, datasets.ClassLabel, list)) or hasattr(feature, "feature")


def _class_names(feature: Any) -> Sequence[str]:
    return getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None) or ()


def _refusal(repo: str, error: Exception) -> str:
    cause = " ".join(str(error).split()) or type(error).__name__
    if "onfig name is missing" in cause or "BuilderConfig" in cause:
        return f"data set {repo!r}: {_short(cause, 250)}; give one of them with name=…, as in hub({repo}, name=…)."
    if Path(repo).is_dir():
        return f"data set folder {repo} cannot be read: {_short(cause, 250)}"
    return (
        f"data set {repo!r} is no file or folder here and cannot be had from the hub: "
        f"{_short(cause.replace(repo, 'it'), 80)}; downloads lie in {config.HF_DATASETS_CACHE} (HF_HOME), and "
        f"FAITHBENCH_DATA names a folder that holds {repo}/test.parquet, or .csv or .jsonl."
    )


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


@contextmanager
def _quiet() -> Iterator[None]:
    """Errors only, and no progress bars, inside the `with`."""
    verbosity, bars = logging.get_verbosity(), datasets.are_progress_bars_disabled()
    config.HF_DATASETS_TRUST_REMOTE_CODE = False  # older versions ask, and run what is answered with yes
    logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if not bars:
            datasets.enable_progress_bars()
