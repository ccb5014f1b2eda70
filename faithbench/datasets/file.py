"""Any file with a text and a label column, or a folder of such files, one a split; docs/data.md says which."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from faithbench.datasets.collection import Collected, Collection
from faithbench.datasets.columns import LABEL, PAIR, TEXT, Columns
from faithbench.datasets.reading import ENDINGS, ending_of, read_table
from faithbench.errors import UserError
from faithbench.plugins.naming import exists
from faithbench.schemas import LARGE, files_of, read_bytes
from faithbench.types import SPLITS

NAMED = {"comma": ",", "tab": "\t", "semicolon": ";", "bar": "|"}
STEMS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class File(Collected):
    """A file (the test split) or a folder with `train`, `validation` and `test` files.

    CSV, TSV, JSON, JSON lines, Parquet or lines of text, compressed or not. Labels are whole numbers, true or false, or
    names, which are numbered in alphabetical order; several of them in a list; values with fractions; or none. Optional
    columns: `id`; `evidence`, `rationale` and `rationale_majority`, each a list of [start, end] character spans, and
    the same for the second text with `pair_` before; `segments`, a list of [start, end, label], in order: the parts of
    a document put together from texts of known labels. In CSV lists are JSON. Rows with `prefix`, `good` and `bad` are
    next-token questions, and spans are of the prefix.

    Args:
        path: of the file or folder.
        text: name of the text column; where there is no `text`, the usual names are looked for.
        label: name of the label column, likewise; empty: texts are read without labels.
        pair: name of the column of a second text, such as a hypothesis; empty: looked for with the text.
        delimiter: of CSV and TSV, a character or its name, such as `tab`; empty to tell it by the header.
        encoding: of the characters, such as `latin-1`; empty: UTF-8, or what a byte order mark says.
    """

    path: str
    text: str = TEXT
    label: str = LABEL
    pair: str = PAIR
    delimiter: str = ""
    encoding: str = ""
    added: ClassVar[tuple[str, ...]] = ("pair", "delimiter", "encoding")

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", os.fspath(self.path))
        object.__setattr__(self, "delimiter", NAMED.get(self.delimiter, self.delimiter))
        if len(self.delimiter) > 1:
            raise UserError(f"delimiter={self.delimiter!r} is not allowed; use one character, or {', '.join(NAMED)}.")
        if not exists(self.path):
            raise UserError(f"data file {self.path} does not exist.")

    @cached_property
    def content(self) -> str:
        """A hash of all bytes, so that a model trained on other content is not taken for one trained on this."""
        digest = hashlib.sha256()
        for split in SPLITS:
            path = self._files.get(split)
            digest.update(split.encode() + (read_bytes(path, LARGE) if path else b""))
        return digest.hexdigest()

    @cached_property
    def _collection(self) -> Collection:
        wanted = Columns(self.text, self.pair, self.label)
        read = {path: read_table(path, self.delimiter, self.encoding, wanted.known) for path in self._files.values()}
        return Collection({split: read[path] for split, path in self._files.items()}, wanted)

    @cached_property
    def _files(self) -> dict[str, Path]:
        """The file of each split that there is."""
        path = Path(self.path)
        if not path.is_dir():
            return {"test": path}
        found = {split: split_file(path, stems) for split, stems in STEMS.items()}
        return {split: file for split, file in found.items() if file is not None}

    def _check(self, split: str) -> None:
        if not self._files:
            raise UserError(
                f"{self.path} has no {split} split: no file of it is named train, validation or test with one of the "
                f"endings {', '.join(ENDINGS[:7])}; a folder as the hub has it is read by hub({self.path!r})."
            )
        if split not in self._files:
            ending = ending_of(next(iter(self._files.values())))
            raise UserError(f"{self.path} has no {split} split; a folder with {split}{ending} would have one.")


def split_file(folder: Path, stems: tuple[str, ...]) -> Path | None:
    """The file of a split: the first of its names, and of all endings, that is there, in whatever case."""
    files = {path.name.lower(): path for path in files_of(folder)}
    return next((files[name] for stem in stems for e in ENDINGS if (name := f"{stem}{e}") in files), None)
