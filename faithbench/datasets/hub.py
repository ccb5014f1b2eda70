"""Any data set of the Hugging Face hub with a text and a label column, read by the library `datasets`."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name

from faithbench.datasets.collection import Collected, Collection
from faithbench.datasets.columns import LABEL, PAIR, TEXT, Columns, find_columns
from faithbench.datasets.fingerprint import fingerprint
from faithbench.datasets.reading import ENDINGS, KINDS, ending_of, read_table
from faithbench.datasets.sources import DATA_VARIABLE
from faithbench.datasets.table import Table
from faithbench.errors import UserError
from faithbench.schemas import files_of

READER = "faithbench.datasets.library:hub_tables"
NAMES: Mapping[str, tuple[str, ...]] = {  # the hub's for each split, the usual one first
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "validation_matched"),
    "test": ("test", "testing", "test_matched"),
}
SPLITS = frozenset(("validation_mismatched", "test_mismatched", *(name for names in NAMES.values() for name in names)))
PART = re.compile(r"(\w+)\[(-?\d*):(-?\d*)\]")
UNLABELLED = (None, "", -1)


@dataclass(frozen=True)
class Hub(Collected):
    """A data set of the Hugging Face hub: `stanfordnlp/sst2` alone will do. No code of the hub's is run.

    Where the test split is missing or has no labels, the validation split serves as test. Labels, pairs, marks and
    next-token questions are as in files. `$FAITHBENCH_DATA/<owner>/<name>/test.parquet` (or another ending) is read
    first, if it is there.

    Args:
        repo: `owner/name`, or a folder as the hub has it.
        name: the configuration, where there are several, such as `mrpc` of `nyu-mll/glue`.
        split: which of the hub's splits is the test split, or which part of one, such as `validation[:200]`.
        revision: a commit, branch or tag; empty for the latest.
        text: name of the text column; where there is no `text`, the usual names are looked for.
        label: name of the label column, likewise; empty: texts are read without labels.
        pair: name of the column of a second text; empty: looked for with the text.
        rows: read only the first so many rows of each split, without downloading the rest; 0 for all.
    """

    repo: str
    name: str = ""
    split: str = ""
    revision: str = ""
    text: str = TEXT
    label: str = LABEL
    pair: str = PAIR
    rows: int = 0

    def __post_init__(self) -> None:
        repo, at, revision = self.repo.partition("@")
        if at and not Path(self.repo).exists():
            object.__setattr__(self, "repo", repo)
            object.__setattr__(self, "revision", self.revision or revision)
        if self.rows < 0:
            raise UserError(f"rows={self.rows!r} is not allowed; it must be at least 0.")
        if self.rows and "[" in self.split:
            raise UserError(f"split={self.split!r} is not allowed with rows={self.rows}; name a whole split.")

    @cached_property
    def content(self) -> str:
        """A hash of all texts and labels: the same wherever they come from."""
        digest = hashlib.sha256()
        for split in self._collection.tables:
            digest.update(f"{split} {fingerprint(self.load(split))} ".encode())
        return digest.hexdigest()

    def _check(self, split: str) -> None:
        if split not in self._collection.tables:
            raise UserError(
                f"data set {self.repo!r} has no {split} split; it has {', '.join(self._tables)}. Which of them is the "
                "test split, or which part, can be said: split=train[:500], for instance."
            )

    @cached_property
    def _wanted(self) -> Columns:
        return Columns(self.text, self.pair, self.label)

    @cached_property
    def _tables(self) -> Mapping[str, Table]:
        """All splits, under the hub's names."""
        folder = _local(self.repo, self.name)
        if folder is None:
            read: Mapping[str, Table] = resolve_name(READER)(self.repo, self.name, self.revision, self.split, self.rows)
            return read
        files = {path.name.split(".")[0]: path for path in _files(folder)}
        tables = {stem: read_table(path, known=self._wanted.known) for stem, path in files.items()}
        whole = {stem: replace(t, rows=t.rows[: self.rows or None]) for stem, t in tables.items()}
        if (part := PART.fullmatch(self.split)) and part[1] in whole:
            start, stop = (int(number) if number else None for number in part.groups()[1:])
            whole[self.split] = replace(whole[part[1]], rows=whole[part[1]].rows[start:stop])
        return whole

    @cached_property
    def _collection(self) -> Collection:
        found = {ours: next((n for n in names if n in self._tables), "") for ours, names in NAMES.items()}
        tables = {ours: self._tables[name] for ours, name in found.items() if name}
        if self.split:
            tables["test"] = self._named(self.split)
        elif "validation" in tables and not self._has_labels(tables.get("test")):
            why = "has no labels" if "test" in tables else "is missing"
            note = f"{self.repo}: its test split {why}, and {found['validation']} serves as test"
            tables["test"] = replace(tables["validation"], notes=(*tables["validation"].notes, note))
        return Collection(tables, self._wanted)

    def _named(self, split: str) -> Table:
        if split not in self._tables:
            raise UserError(f"data set {self.repo!r} has no split {split!r}; it has {', '.join(self._tables)}.")
        return self._tables[split]

    def _has_labels(self, table: Table | None) -> bool:
        """Whether some row of a split has a label; where none is wanted or needed, whether there is such a split."""
        if table is None or not self.label:
            return table is not None
        columns = find_columns(table.source, table.columns, self._wanted)
        if columns.good:
            return True
        column = columns.label
        return bool(column) and any(value not in UNLABELLED for value in table.values(column))


def _local(repo: str, name: str) -> Path | None:
    """The folder of `$FAITHBENCH_DATA`, or the folder that `repo` is, that has a file for a split itself."""
    root = os.environ.get(DATA_VARIABLE)
    places = [*([Path(root) / repo / name, Path(root) / repo] if root else []), Path(repo) / name, Path(repo)]
    return next((place for place in places if place.is_dir() and _files(place)), None)


def _files(folder: Path) -> list[Path]:
    """The files of a folder that are named as a split and can be read, the usual ending last."""
    named = [path for path in files_of(folder) if path.name.split(".")[0] in SPLITS]
    readable = [path for path in named if ending_of(path) in KINDS]
    order = {kind: i for i, kind in enumerate(ENDINGS)}
    return sorted(readable, key=lambda path: (-order[ending_of(path)], path.name))
