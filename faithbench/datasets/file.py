"""Any CSV, JSON-lines or Parquet file with a text and a label column, or a folder of such files, one a split."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from faithbench.datasets.sources import read_parquet
from faithbench.errors import UserError, unknown
from faithbench.types import SPLITS, Example, Segment, Span

ENDINGS = (".csv", ".jsonl", ".parquet")

Fields = Mapping[str, Any]  # a row of a file


@dataclass(frozen=True)
class File:
    """A file (the test split) or a folder with `train`, `validation` and `test` files.

    Labels are 0, 1, … or names, which are numbered in alphabetical order. Optional columns: `id`; `evidence`,
    `rationale` and `rationale_majority`, each a list of [start, end] character spans; `segments`, a list of [start,
    end, label], in order: the parts of a document put together from texts of known labels. In CSV lists are JSON.

    Args:
        path: of the file or folder.
        text: name of the text column.
        label: name of the label column.
    """

    path: str
    text: str = "text"
    label: str = "label"

    def __post_init__(self) -> None:
        try:
            found = Path(self.path).exists()
        except OSError:  # a name that is too long, for instance
            found = False
        if not found:
            raise UserError(f"data file {self.path} does not exist.")

    @cached_property
    def content(self) -> str:
        """A hash of all bytes, so that a model trained on other content is not taken for one trained on this."""
        digest = hashlib.sha256()
        for split in SPLITS:
            path = self._find(split)
            digest.update(split.encode() + (path.read_bytes() if path else b""))
        return digest.hexdigest()

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The distinct labels, in order."""
        files = [self._find(split) for split in SPLITS]
        labels = {label for path in {f for f in files if f} for row in self._rows(path) for label in self._labels(row)}
        if all(_is_number(label) for label in labels):
            numbers = {int(float(label)) for label in labels}
            if min(numbers) < 0:
                raise UserError(f"{self.path}: label {min(numbers)} is out of range; labels begin at 0.")
            if max(numbers) >= 1000:
                raise UserError(f"{self.path}: label {max(numbers)} is out of range; labels are 0, 1, … or names.")
            names = tuple(str(i) for i in range(max(numbers) + 1)) if len(numbers) > 1 else ("0",)
        else:
            names = tuple(sorted(str(label) for label in labels))
        if len(names) < 2:
            raise UserError(f"{self.path} has only one class in column {self.label!r}; at least two are needed.")
        return names

    def load(self, split: str) -> list[Example]:
        """The rows of a split.

        Raises:
            UserError: there is no such split or column, or a row is malformed.
        """
        path = self._find(split)
        if path is None:
            raise UserError(f"{self.path} has no {split} split; a folder with {split}{ENDINGS[0]} would have one.")
        numbers = {name: i for i, name in enumerate(self.class_names)}
        examples = [self._example(path, i, row, numbers) for i, row in enumerate(self._rows(path))]
        twice = next((name for name, count in Counter(e.id for e in examples).items() if count > 1), None)
        if twice is not None:
            raise UserError(f"{path}: id {twice!r} occurs more than once.")
        return examples

    def _find(self, split: str) -> Path | None:
        path = Path(self.path)
        if path.is_dir():
            return next((path / f"{split}{e}" for e in ENDINGS if (path / f"{split}{e}").is_file()), None)
        return path if split == "test" else None

    def _rows(self, path: Path) -> Sequence[Fields]:
        rows = _read(path)
        if not rows:
            raise UserError(f"{path} has no rows.")
        for i, row in enumerate(rows):
            if not isinstance(row, dict):
                raise UserError(f"{path}: row {i + 1} is not an object with columns.")
            for column in (self.text, self.label):
                if column not in row:
                    raise unknown(f"column of {path} (row {i + 1})", column, [name for name in row if name])
            if not isinstance(row[self.label], (str, int, float)) or row[self.label] == "":
                raise UserError(f"{path}: row {i + 1} has label {row[self.label]!r}; a label is a number or a name.")
        return rows

    def _labels(self, row: Fields) -> list[Any]:
        """The row's own label and those of its segments, as far as they can be read."""
        segments = _listed(row.get("segments"))
        inside = [part[2] for part in segments if isinstance(part, (list, tuple)) and len(part) == 3]
        return [row[self.label], *(label for label in inside if isinstance(label, (str, int, float)))]

    def _example(self, path: Path, index: int, row: Fields, numbers: dict[str, int]) -> Example:
        text, label = row.get(self.text), row.get(self.label)
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{path}: row {index + 1} has an empty text.")
        name = _name(label)
        return Example(
            id=str(index if row.get("id") in (None, "") else row["id"]),
            text=text,
            label=numbers[name],
            **{mark: _spans(path, index, row.get(mark)) for mark in ("evidence", "rationale", "rationale_majority")},
            segments=_segments(path, index, row.get("segments"), len(text), numbers),
        )


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        if path.suffix == ".parquet":
            return read_parquet(path)
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as file:
                return list(csv.DictReader(file))
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}.") from error
    raise UserError(f"{path}: {path.suffix or 'no ending'!r} is not a known kind of file; use {', '.join(ENDINGS)}.")


def _name(label: Any) -> str:
    """The label as class names have it."""
    return str(int(float(label))) if label is not None and _is_number(label) else str(label)


def _is_number(label: Any) -> bool:
    try:
        return float(label) == int(float(label))
    except (TypeError, ValueError, OverflowError):
        return False


def _listed(value: Any) -> list[Any]:
    """A list, perhaps written as JSON; nothing if it is neither."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def _segments(
    path: Path, index: int, value: object, length: int, numbers: Mapping[str, int]
) -> tuple[Segment, ...] | None:
    if value is None or value == "":
        return None
    try:
        parts = [(int(start), int(end), numbers[_name(label)]) for start, end, label in _listed(value)]
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{path}: row {index + 1} has segments that are not [[start, end, label], …].") from error
    last = 0
    for start, end, _ in parts:
        if not last <= start < end <= length:
            raise UserError(
                f"{path}: row {index + 1} has a segment [{start}, {end}] that is empty, begins before the last one's "
                f"end, or is not within the text's {length} characters."
            )
        last = end
    if len(parts) < 2:
        raise UserError(f"{path}: row {index + 1} has {len(parts)} segments; a document has two or more.")
    return tuple(parts)


def _spans(path: Path, index: int, value: Any) -> tuple[Span, ...] | None:
    if value is None or value == "":
        return None
    try:
        pairs = json.loads(value) if isinstance(value, str) else value
        return tuple((int(start), int(end)) for start, end in pairs)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: row {index + 1} has spans that are not [[start, end], …].") from error
