"""Tables with a delimiter, as people and programs write them: CSV, TSV, Excel's semicolons.

`datasets` reads these through pandas, which makes numbers of texts such as `007`, nothing of `NA`, `null` and `None`,
and cannot say in which row an unquoted comma stands. So Python's `csv` reads them here.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from faithbench.datasets.table import Table
from faithbench.errors import UserError

WORDS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}
LONGEST = 2**31 - 1  # of a field, in characters
SAMPLE = 1000  # rows that tell the delimiter
TOLD = re.compile(r"""["']?sep=(.)["']?\r?\n""")  # Excel's first line

Records = list[list[str]]


def read_delimited(
    source: str, content: str, delimiter: str = "", usual: str = ",", known: Collection[str] = ()
) -> Table:
    """The table in a text whose first row names the columns.

    Args:
        source: the file's path, for messages.
        content: the text.
        delimiter: between fields; empty to tell it by the header.
        usual: the delimiter that files of this ending have, preferred where several would do.
        known: names of columns, in lower case, by which a header is known.

    Raises:
        UserError: a row has more or fewer fields than the header, or a quote is not closed.
    """
    with _long_fields():
        told = TOLD.match(content)
        content = content[told.end() :] if told else content
        chosen = delimiter or (told[1] if told else _likely_delimiter(content, usual, known))
        records, notes = _records(source, content, chosen)
    if chosen != usual and not delimiter and not told:
        notes = (f"{source} is read with a {WORDS[chosen]} between its columns", *notes)
    if not records:
        raise UserError(f"{source} has no rows: it is empty.")
    header, rows = [name.strip() for name in records[0]], records[1:]
    _check_widths(source, header, rows, chosen)
    return Table(source, header, [dict(zip(header, row, strict=False)) for row in rows], notes=notes)


def _likely_delimiter(content: str, usual: str, known: Collection[str]) -> str:
    """The one whose header has most names that are known; then, that leaves fewest rows of another width."""

    def merit(delimiter: str) -> tuple[int, int, int]:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
        header, *rows = [row for row in islice(reader, SAMPLE) if row] or [[]]
        names = {name.strip().lower() for name in header}
        return len(names.intersection(known)), -sum(len(row) != len(header) for row in rows), len(header)

    try:
        return max(dict.fromkeys((usual, *WORDS)), key=merit)
    except csv.Error:  # said when the rows are read
        return usual


def _records(source: str, content: str, delimiter: str) -> tuple[Records, tuple[str, ...]]:
    """All rows; of tabs, also those of programs that quote nothing."""
    records: Records = []
    try:
        for record in _reader(content, delimiter, strict=True):
            records.append(record)
    except csv.Error as error:
        return _less_strict(source, content, delimiter, len(records), error)
    if delimiter == "\t" and not _is_even(records):
        plain = _unquoted(content)
        return (plain, _plain_note(source)) if _is_even(plain) else (records, ())
    return records, ()


def _less_strict(
    source: str, content: str, delimiter: str, row: int, error: csv.Error
) -> tuple[Records, tuple[str, ...]]:
    """What `csv` makes of stray quotes; but not of one that swallows the rest of the file."""
    if delimiter == "\t" and _is_even(plain := _unquoted(content)):
        return plain, _plain_note(source)
    if "unexpected end" in str(error):
        raise UserError(f"{source}: row {row} begins a quote that is never closed.") from error
    try:
        return list(_reader(content, delimiter, strict=False)), ()
    except csv.Error as again:
        raise UserError(f"{source} cannot be read: row {row} has {again}.") from again


def _reader(content: str, delimiter: str, strict: bool) -> Iterator[list[str]]:
    try:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=strict)
    except (TypeError, ValueError) as error:
        raise UserError(f"delimiter={delimiter!r} is not allowed; it must be one character.") from error
    return (record for record in reader if record)


def _unquoted(content: str) -> Records:
    reader = csv.reader(io.StringIO(content, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [record for record in reader if record]


def _plain_note(source: str) -> tuple[str, ...]:
    return (f"{source} is read with its quotes as parts of the texts, since they do not enclose fields",)


def _is_even(records: Records) -> bool:
    return len({len(record) for record in records}) <= 1


def _check_widths(source: str, header: Sequence[str], rows: Records, delimiter: str) -> None:
    for number, row in enumerate(rows, 1):
        if len(row) < len(header) or any(row[len(header) :]):
            named = WORDS.get(delimiter, repr(delimiter))
            raise UserError(
                f"{source}: row {number} has {len(row)} fields, but the header has {len(header)} columns; a {named} in "
                'a text needs quotes around the text, as in "one, two" (or give another delimiter=…).'
            )


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lets `csv` read fields of any length; by itself it stops at 131,072 characters."""
    before = csv.field_size_limit(LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)
