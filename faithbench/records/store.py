"""A run's folder: what was planned, on what, and every attribution and record; safe to kill at any moment.

Parts are written under a temporary name and renamed, never changed. What is read is the union of the parts, so many
workers can write at once; of several entries of one identity the last that did not fail counts. Only the manifest,
which is changed, has a lock.
"""

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from faithbench.errors import UserError
from faithbench.files import HOLDER, locked, remove_leftovers, replacing, staging, writing
from faithbench.parquet import CorruptFileError, read_parquet
from faithbench.records.entries import check_entries, typed
from faithbench.records.manifest import Manifest, read_manifest
from faithbench.schemas import MissingFileError
from faithbench.types import Record

_CELL = [
    ("dataset", pa.string()),
    ("dataset_fingerprint", pa.string()),
    ("model", pa.string()),
    ("model_fingerprint", pa.string()),
    ("explainer", pa.string()),
]
_TARGET = [("target", pa.int64()), ("against", pa.int64())]
_END = [("seconds", pa.float64()), ("rows", pa.int64()), ("error", pa.string())]
SCHEMAS = {
    "attributions": pa.schema(
        [
            *_CELL,
            ("version", pa.string()),
            ("text_id", pa.string()),
            *_TARGET,
            ("scores", pa.list_(pa.float64())),
            ("standard_errors", pa.list_(pa.float64())),
            ("notes", pa.string()),
            *_END,
        ]
    ),
    "records": pa.schema(
        [
            *_CELL,
            ("metric", pa.string()),
            ("version", pa.string()),
            ("unit", pa.string()),
            *_TARGET,
            ("value", pa.float64()),
            ("parts", pa.list_(pa.float64())),
            ("weight", pa.float64()),
            *_END,
        ]
    ),
}
IDENTITY = {
    "attributions": [name for name, _ in _CELL] + ["version", "text_id", "target", "against"],
    "records": [name for name, _ in _CELL] + ["metric", "version", "unit", "target", "against"],
}
TARGET = ("target", "against")
MEASURED = {"attributions": "scores", "records": "value"}
ADDED = ("against",)  # columns that older parts lack, and all is None
IN_FILES = {"records": {"unit": "text_id"}}  # columns that files name otherwise, as they always have
LARGEST = 2**32  # bytes of a part
FLUSH_SECONDS = 3.0
MANIFEST_LOCK, RUN_LOCK = ".manifest.lock", ".run.lock"


class Store:
    """The folder of a run. Opening it for writing makes it; reading needs nothing but the files.

    Raises:
        UserError: the folder cannot be written, or a part cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._waiting: dict[str, list[Mapping[str, object]]] = {kind: [] for kind in SCHEMAS}
        self._written = time.monotonic()
        self._made = False
        self._lock = threading.RLock()

    def open(self) -> "Store":
        """Makes the folder if need be and checks that it can be written.

        Raises:
            UserError: it cannot, or something in it is a link, which would be written through to wherever it leads.
        """
        for name in (*SCHEMAS, "manifest.json", "plan.toml"):
            if (self.folder / name).is_symlink():
                raise UserError(f"{self.folder / name} is a link; a run's folder holds its own files, so remove it.")
        self._made |= not self.folder.exists()
        with self._writing():
            for kind in SCHEMAS:
                (self.folder / kind).mkdir(parents=True, exist_ok=True)
                remove_leftovers(self.folder / kind)
            with staging(self.folder):
                pass
        return self

    @contextmanager
    def alone(self, waits: Callable[[str], object]) -> Iterator[None]:
        """One run at a time works in an open folder; `waits` is called where another does, with words for who does.

        Raises:
            UserError: the folder cannot be written.
        """
        with ExitStack() as turn:
            with self._writing():
                turn.enter_context(locked(self.folder / RUN_LOCK, waits))
            yield

    def discard_if_empty(self) -> None:
        """Removes the folder again if `open` made it and nobody has put anything into it but what a run begins with."""
        begun = {"manifest.json", "plan.toml", MANIFEST_LOCK, RUN_LOCK, RUN_LOCK + HOLDER, *SCHEMAS}
        if self._made and not any(path.is_file() and path.name not in begun for path in self.folder.rglob("*")):
            shutil.rmtree(self.folder, ignore_errors=True)

    def write_text(self, name: str, text: str) -> None:
        """A small file, whole or not at all."""
        with self._writing(), replacing(self.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def manifest(self) -> Manifest:
        """What is known of the run: models, data sets, hardware, versions. Empty for a new run."""
        return read_manifest(self.folder)

    def change_manifest(self, change: Callable[[Manifest], None]) -> None:
        """Changes what is known of the run; of several workers one at a time."""
        with self._writing(), locked(self.folder / MANIFEST_LOCK):
            manifest = self.manifest()
            change(manifest)
            self.write_text("manifest.json", json.dumps(manifest, indent=2) + "\n")

    def add(self, attributions: Iterable[Mapping[str, object]], records: Iterable[Record]) -> None:
        """Keeps entries; they are on disk a few seconds later, or after `flush`. Any thread may call it."""
        added: dict[str, list[Mapping[str, object]]] = {
            "attributions": list(attributions),
            "records": list(map(record_row, records)),
        }
        with self._lock:
            for kind, rows in added.items():
                self._waiting[kind].extend(rows)
            if time.monotonic() - self._written > FLUSH_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Writes what is waiting: attributions first, so that no record stands without its attribution.

        Any thread may call it, at any moment. What could not be written goes on waiting.

        Raises:
            UserError: the folder cannot be written.
        """
        with self._lock:
            for kind, rows in self._waiting.items():
                if rows:
                    self._write_part(kind, pa.Table.from_pylist(rows, schema=SCHEMAS[kind]))
                    self._waiting[kind] = []
            self._written = time.monotonic()

    def read(self, kind: str, usual: int = LARGEST) -> pd.DataFrame:
        """All entries of `attributions` or `records`, one for each identity, from parts of at most so many bytes."""
        return self._read(kind, usual)[0]

    def compact(self) -> None:
        """Joins the parts there are into one of each kind."""
        for kind, schema in SCHEMAS.items():
            if len(self._parts(kind)) < 2:
                continue
            frame, parts = self._read(kind)
            if len(parts) > 1:
                self._write_part(kind, pa.Table.from_pandas(frame, schema=schema, preserve_index=False))
                with self._writing():
                    for path in parts:
                        path.unlink(missing_ok=True)

    def _read(self, kind: str, usual: int = LARGEST) -> tuple[pd.DataFrame, Sequence[Path]]:
        """The entries and the parts that they were read from."""
        for _ in range(100):
            parts = self._parts(kind)
            try:
                return _settled(kind, [read_part(path, kind, usual) for path in parts]), parts
            except MissingFileError:  # another worker has just joined the parts: look again
                continue
        raise UserError(f"{self.folder / kind} keeps changing, or holds a link to nothing.")

    def _parts(self, kind: str) -> Sequence[Path]:
        return sorted((self.folder / kind).glob("*.parquet"))

    def _write_part(self, kind: str, table: pa.Table) -> None:
        name = f"{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        with (
            self._writing(),
            replacing(self.folder / kind / f"{name}.parquet") as temporary,
            temporary.open("xb") as sink,
        ):
            pq.write_table(as_in_files(kind, table), sink, compression="zstd")

    def _writing(self) -> AbstractContextManager[None]:
        return writing(f"folder {self.folder}")


def as_in_files(kind: str, table: pa.Table) -> pa.Table:
    """The table with the columns' names that files have."""
    names = IN_FILES.get(kind, {})
    return table.rename_columns([names.get(name, name) for name in table.column_names])


def record_row(record: Record) -> dict[str, object]:
    """A record as its columns."""
    row = {field.name: getattr(record, field.name) for field in fields(record)}
    return row | {"target": record.target.output, "against": record.target.against}


def read_part(path: Path, kind: str, usual: int = LARGEST) -> pd.DataFrame:
    """The entries of one part, as they were written; columns that it lacks are None.

    Args:
        path: of the part.
        kind: `attributions` or `records`.
        usual: the most bytes, packed or not, where `$FAITHBENCH_MAX_BYTES` says nothing.

    Raises:
        MissingFileError: it is not there.
        UserError: it is corrupt, no part of such entries, or holds what no run writes.
    """
    names = IN_FILES.get(kind, {})
    try:
        table = read_parquet(path, {*SCHEMAS[kind].names, *names.values()}, usual)
    except CorruptFileError as error:
        raise UserError(
            f"{path} is corrupt ({error.reason}); delete it and run again: only its cells are redone."
        ) from error
    here = {there: name for name, there in names.items()}
    table = table.rename_columns([here.get(name, name) for name in table.column_names])
    if twice := next((name for name in here.values() if table.column_names.count(name) > 1), None):
        raise UserError(f"{path} is not a part of {kind}: it has the columns {twice!r} and {names[twice]!r}.")
    needed = [name for name in IDENTITY[kind] if name not in ADDED]
    if missing := [names.get(name, name) for name in (*needed, MEASURED[kind]) if name not in table.column_names]:
        raise UserError(f"{path} is not a part of {kind}: it has no column {missing[0]!r}.")
    table = typed(path, table, SCHEMAS[kind])
    check_entries(path, kind, table, needed)
    frame = table.replace_schema_metadata(None).to_pandas()
    for name in SCHEMAS[kind].names:
        if name not in frame:  # published records leave out what tables do not need
            frame[name] = None
    return frame


def _settled(kind: str, frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One entry for each identity: the last without an error, failing that the last."""
    if not frames:
        return SCHEMAS[kind].empty_table().to_pandas()
    frame = joined(kind, frames)
    order = frame["error"].isna().sort_values(kind="stable").index
    return frame.loc[order].drop_duplicates(IDENTITY[kind], keep="last").sort_index().reset_index(drop=True)


def joined(kind: str, frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The entries of several parts, in order, without failures that later parts have made good.

    What failed may have been asked for another target than what worked later: a cell is measured again with all the
    targets that it has then, and is written whole.
    """
    frame = pd.concat(frames, ignore_index=True)
    failed = frame["error"].notna().to_numpy()
    if not failed.any():
        return frame
    parts = np.repeat(np.arange(len(frames)), [len(each) for each in frames])
    cells = frame.groupby([name for name in IDENTITY[kind] if name not in TARGET], dropna=False).ngroup().to_numpy()
    last = np.full(cells.max() + 1, -1)
    np.maximum.at(last, cells[~failed], parts[~failed])
    return frame[~failed | (parts >= last[cells])].reset_index(drop=True)
