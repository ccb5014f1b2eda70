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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from faithbench.errors import UserError
from faithbench.files import HOLDER, locked, remove_leftovers, replacing, staging, writing
from faithbench.parquet import written_out
from faithbench.plan import PLANS
from faithbench.records.columns import IDENTITY, KEPT, LARGEST, SCHEMAS, as_in_files
from faithbench.records.manifest import Manifest, read_manifest
from faithbench.records.parts import as_frame, read_parts
from faithbench.records.settled import settled
from faithbench.schemas import MissingFileError, read_text
from faithbench.types import Record

FLUSH_SECONDS = 3.0
ROWS = 2**16  # that are written at once
FILES = ("manifest.json", "plan.toml", "commands.jsonl", "README.txt")
MANIFEST_LOCK, RUN_LOCK = ".manifest.lock", ".run.lock"
__all__ = ["IDENTITY", "LARGEST", "MANIFEST_LOCK", "RUN_LOCK", "SCHEMAS", "Store", "read_part", "record_row"]


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
        for name in (*SCHEMAS, *KEPT, *FILES, *(path.name for path in self.folder.glob(PLANS))):
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
        begun = {*FILES, MANIFEST_LOCK, RUN_LOCK, RUN_LOCK + HOLDER, *SCHEMAS}
        there = (path for path in self.folder.rglob("*") if path.is_file() and path.parent.name not in KEPT)
        if self._made and not any(path.name not in begun and not path.match(PLANS) for path in there):
            shutil.rmtree(self.folder, ignore_errors=True)

    def write_text(self, name: str, text: str) -> None:
        """A small file, whole or not at all.

        Raises:
            UserError: it cannot be written, or is a link.
        """
        self._check_link(name)
        with self._writing(), replacing(self.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def change_text(self, name: str, change: Callable[[str], str]) -> None:
        """Changes a small file, which may not be there yet; of several workers one at a time.

        Raises:
            UserError: it cannot be read or written, or is a link.
        """
        self._check_link(name)
        with self._writing(), locked(self.folder / MANIFEST_LOCK):
            path = self.folder / name
            self.write_text(name, change(read_text(path) if path.exists() else ""))

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

    def count(self, kind: str) -> int:
        """How many entries there are on disk, those of one identity counted each time; reads hardly anything."""
        return sum(pq.read_metadata(path).num_rows for path in self._parts(kind))

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

    @contextmanager
    def written_soon(self) -> Iterator[None]:
        """Within it, what is added is on disk a few seconds later, however long nothing more is added."""
        ended = threading.Event()

        def write() -> None:
            while not ended.wait(max(FLUSH_SECONDS, 0.1)):
                with suppress(UserError):  # which the next `flush` will raise
                    self.flush()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def read(self, kind: str, usual: int = LARGEST, columns: Collection[str] | None = None) -> pd.DataFrame:
        """All entries of `attributions` or `records`, one for each identity.

        Args:
            kind: which.
            usual: the most bytes of a part, where `$FAITHBENCH_MAX_BYTES` says nothing.
            columns: that are wanted besides identity and error, which is less to read; None for all.
        """
        return as_frame(kind, self.entries(kind, usual, columns), columns)

    def entries(self, kind: str, usual: int = LARGEST, columns: Collection[str] | None = None) -> pa.Table:
        """Likewise as a table whose texts are dictionaries, without columns that no part has."""
        return self._read(kind, usual, columns)[0]

    def compact(self) -> None:
        """Joins the parts there are into one of each kind."""
        for kind in SCHEMAS:
            if len(self._parts(kind)) > 1:
                self._join(kind)

    def _join(self, kind: str) -> None:
        table, parts = self._read(kind)
        if len(parts) > 1:
            self._write_part(kind, table)
            with self._writing():
                for path in parts:
                    path.unlink(missing_ok=True)

    def _read(
        self, kind: str, usual: int = LARGEST, columns: Collection[str] | None = None
    ) -> tuple[pa.Table, Sequence[Path]]:
        """The entries and the parts that they were read from."""
        for _ in range(100):
            parts = self._parts(kind)
            try:
                return settled(kind, read_parts(parts, kind, usual, columns)), parts
            except MissingFileError:  # another worker has just joined the parts: look again
                continue
        raise UserError(f"{self.folder / kind} keeps changing, or holds a link to nothing.")

    def _parts(self, kind: str) -> Sequence[Path]:
        return sorted((self.folder / kind).glob("*.parquet"))

    def write_part(self, kind: str, tables: Iterable[pa.Table]) -> None:
        """Writes tables as one part of `texts` or `predictions`, whole or not at all.

        Raises:
            UserError: the folder cannot be written.
        """
        with self._writing():
            (self.folder / kind).mkdir(exist_ok=True)
        self._write(kind, KEPT[kind], tables)

    def _write_part(self, kind: str, table: pa.Table) -> None:
        """Writes entries; texts that are dictionaries are written out a few rows at a time, for they are large then."""
        pieces = (table.slice(begin, ROWS) for begin in range(0, len(table), ROWS))
        whole = (as_in_files(kind, _whole(piece, SCHEMAS[kind])) for piece in pieces)
        self._write(kind, as_in_files(kind, SCHEMAS[kind].empty_table()).schema, whole)

    def _write(self, kind: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
        name = f"{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        with (
            self._writing(),
            replacing(self.folder / kind / f"{name}.parquet") as temporary,
            temporary.open("xb") as sink,
            pq.ParquetWriter(sink, schema, compression="zstd") as writer,
        ):
            for table in tables:
                writer.write_table(table)

    def _check_link(self, name: str) -> None:
        """Refuses a link: a folder from a stranger could make a run write into any file of whoever runs it."""
        if (self.folder / name).is_symlink():
            raise UserError(f"{self.folder / name} is a link, and a run writes through none; put a file in its place.")

    def _writing(self) -> AbstractContextManager[None]:
        return writing(f"folder {self.folder}")


def _whole(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with all columns of the schema, in its types."""
    table = written_out(table)
    empty = pa.nulls(len(table))
    columns = [table.column(name) if name in table.column_names else empty for name in schema.names]
    return pa.table([column.cast(kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema)


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
    return as_frame(kind, read_parts([path], kind, usual).table)
