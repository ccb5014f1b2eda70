"""The tables of a data set's splits, read together: what its classes are, its examples, its rows that are none."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from faithbench.datasets.asking import CLASS_NAMES
from faithbench.datasets.columns import Columns, find_columns
from faithbench.datasets.labelling import Cell, Scheme, is_missing, understand
from faithbench.datasets.rows import examples_of
from faithbench.datasets.table import Table, listed
from faithbench.errors import UserError
from faithbench.types import Example, Skipped


@dataclass(frozen=True)
class Split:
    """The rows of a split: examples, those that are none, and what had to be assumed."""

    examples: tuple[Example, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """A data set, all of whose splits have been read.

    Args:
        tables: by split.
        wanted: the columns, as far as the user says.
    """

    tables: Mapping[str, Table]
    wanted: Columns
    _splits: dict[str, Split] = field(default_factory=dict, init=False)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the labels, in their order; none where no row has a label.

        Raises:
            UserError: labels are values.
        """
        if self.scheme.fraction is not None:
            raise self.scheme.fraction.refusal(
                "numbers with fractions are no classes: a model of one output (regression) reads them, a classifier "
                "does not"
            )
        return CLASS_NAMES if self.has_questions else self.scheme.names

    def split(self, name: str) -> Split:
        """One split.

        Raises:
            UserError: labels cannot be read, or no row can be used.
        """
        if name not in self._splits:
            table, columns = self.tables[name], self.columns[name]
            examples, skipped = examples_of(table, columns, self.scheme)
            notes = (*table.notes, *self._assumed(table, columns, examples))
            self._splits[name] = Split(tuple(examples), tuple(skipped), notes)
        return self._splits[name]

    @property
    def has_questions(self) -> bool:
        """Whether some split is of next-token questions; then the others are texts, whose labels do not matter."""
        return any(columns.good for columns in self._found.values())

    @cached_property
    def columns(self) -> Mapping[str, Columns]:
        """Of each split; a column of labels that are all empty is none."""
        return {split: replace(c, label="" if self.has_questions else c.label) for split, c in self._found.items()}

    @cached_property
    def _found(self) -> Mapping[str, Columns]:
        found = {}
        for split, table in self.tables.items():
            if not table.rows:
                raise UserError(f"{table.source} has no rows.")
            columns = find_columns(table.source, table.columns, self.wanted)
            empty = not any(True for _ in _labelled(table, columns.label))
            found[split] = replace(columns, label="") if empty else columns
        return found

    @cached_property
    def scheme(self) -> Scheme:
        """How labels are read, the same for all splits."""
        both = [(table, self.columns[split].label) for split, table in self.tables.items()]
        cells = [cell for table, column in both for cell in _labelled(table, column)]
        segments = [value for table, _ in both if "segments" in table.columns for value in table.values("segments")]
        inside = [label for value in segments for label in _inside(value)]
        names = next((table.names[column] for table, column in both if column in table.names), ())
        return understand(cells, inside, names)

    def _assumed(self, table: Table, columns: Columns, examples: Sequence[Example]) -> Iterator[str]:
        """Lines on columns that were recognised rather than named."""
        if columns.good:
            yield from _of_questions(table, examples)
            return
        if columns.text != self.wanted.text or columns.pair != self.wanted.pair:
            pair = f", and of its pair {columns.pair!r}" if columns.pair else ""
            yield f"{table.source}: the column of the text is taken to be {columns.text!r}{pair}"
        if not columns.label and self.wanted.label and not self.has_questions:
            told = f"{table.source} has no labels (or no column {self.wanted.label!r}), and its texts are read without"
            yield f"{told}; if another column holds them, name it with --label"
        elif columns.label != self.wanted.label and not self.has_questions:
            yield f"{table.source}: the column of the label is taken to be {columns.label!r}"


class Collected:
    """What data sets that are a collection share; each has a `_collection` and says which splits it has."""

    @cached_property
    def _collection(self) -> Collection:
        raise NotImplementedError

    def _check(self, split: str) -> None:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, object]:
        """Its parameters alone: what has been read stays here."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each class, the hub's where it has names; none where there are no labels.

        Raises:
            UserError: the labels are values.
        """
        return self._collection.class_names

    def load(self, split: str) -> list[Example]:
        """The rows of a split that can be used.

        Raises:
            UserError: the data, the split or a column cannot be had, labels cannot be read, or no row can be used.
        """
        self._check(split)
        return list(self._collection.split(split).examples)

    def skipped(self, split: str) -> tuple[Skipped, ...]:
        """The rows that `load` leaves out, and why."""
        self._check(split)
        return self._collection.split(split).skipped

    def notes(self, split: str) -> tuple[str, ...]:
        """What had to be assumed to read a split, each a line for the user."""
        self._check(split)
        return self._collection.split(split).notes


def _labelled(table: Table, column: str) -> Iterator[Cell]:
    """The labels that are there."""
    named = column in table.names
    for number, value in enumerate(table.values(column) if column else (), 1):
        if not is_missing(value, named):
            yield Cell(table.source, number, column, value)


def _of_questions(table: Table, questions: Sequence[Example]) -> Iterator[str]:
    """What is missing of evidence, where some questions have it."""
    lacking = sum(not question.evidence for question in questions)
    if "evidence" in table.columns and lacking:
        yield (
            f"{table.source}: {lacking:,} of {len(questions):,} questions mark no evidence, and metrics of known "
            "evidence do not count them"
        )


def _inside(segments: Any) -> Iterator[Any]:
    """Labels of the parts of a document, as far as they can be read."""
    for part in listed(segments) or []:
        if isinstance(part, (list, tuple)) and len(part) == 3 and isinstance(part[2], (str, int, float)):
            yield part[2]
