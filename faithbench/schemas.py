"""Files from outside, checked before they are believed: regular files of a limited size, values as a schema says.

Nothing is opened before its kind and size are known, so no pipe or device blocks a run, and never more is read than a
limit, `SMALL` for what people write and programs note, `LARGE` for data. `$FAITHBENCH_MAX_BYTES` is the limit of both
instead. A schema is a type, such as a `TypedDict`; what it says is checked, nothing is converted, and what a table
holds besides is left as it is. Every error is one sentence that names the file and the field.
"""

import json
import math
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import IO, Any, TypeVar, cast

from faithbench.errors import UserError, brief, short
from faithbench.shown import is_unicode

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES_VARIABLE = "FAITHBENCH_MAX_BYTES"
SMALL, LARGE = 2**26, 2**30  # bytes
PIECE = 2**20  # bytes that are read at once
NESTED = 64  # lists and tables inside of each other
WHOLE = 2**63  # from which on a whole number is too large
SHOWN = 60  # characters of a value that an error shows
VALIDATOR = "pydantic:TypeAdapter"  # imported where a first file is read: a description needs none
KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
STRINGS = re.compile(  # of TOML, closed or not, and comments
    r"""\"{3}(?:\\.|[^\\])*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z)|"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?|#[^\n]*""", re.DOTALL
)
DOTTED = re.compile(rf"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){{{NESTED}}}")  # a key takes the square of its parts
NOT = {  # pydantic's types of errors
    "string_type": "no text",
    "int_type": "no whole number",
    "int_from_float": "no whole number",
    "float_type": "no number",
    "finite_number": "not finite",
    "bool_type": "neither true nor false",
    "list_type": "no list",
    "dict_type": "no table",
    "none_required": "not empty",
}

T = TypeVar("T")


class MissingFileError(UserError):
    """A file is not there."""


def limit_of(usual: int) -> int:
    """The most bytes that are read of a file: `$FAITHBENCH_MAX_BYTES`, or as usual.

    Raises:
        UserError: the variable is no positive whole number.
    """
    wanted = os.environ.get(MAX_BYTES_VARIABLE)
    if not wanted:
        return usual
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 19 and int(wanted)):
        raise UserError(f"{MAX_BYTES_VARIABLE}={wanted[:SHOWN]!r} is not allowed; it must be positive and whole.")
    return int(wanted)


def files_of(folder: Path) -> list[Path]:
    """The regular files of a folder, in alphabetical order.

    Raises:
        UserError: it cannot be looked into.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise UserError(f"folder {folder} cannot be read: {reason(error)}.") from error


def read_limited(path: Path, file: IO[bytes], limit: int) -> bytes:
    """All bytes of an open file, which may be unpacked while it is read.

    Raises:
        UserError: there are more than the limit.
    """
    parts, size = [], 0
    while part := file.read(PIECE):
        size += len(part)
        if size > limit:
            raise too_large(path, None, limit)
        parts.append(part)
    return b"".join(parts)


def too_large(path: Path | str, size: int | None, limit: int) -> UserError:
    """The error for a file that has, unpacked, so many bytes, or (None) more than the limit."""
    has = f"more than {limit:,} bytes" if size is None else f"{size:,} bytes, more than {limit:,}"
    return UserError(f"{path} cannot be read: it has {has}; {MAX_BYTES_VARIABLE} raises the limit.")


def check_file(path: Path, usual: int | None = SMALL) -> int:
    """The size of a regular file, which is not opened.

    Args:
        path: of the file.
        usual: the most bytes, where `$FAITHBENCH_MAX_BYTES` says nothing; None for any number.

    Raises:
        MissingFileError: it is not there.
        UserError: it is a folder, pipe, device or socket, cannot be looked at, or is larger.
    """
    limit = sys.maxsize if usual is None else limit_of(usual)
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"{path} cannot be read: it does not exist.") from error
    except (OSError, ValueError) as error:  # a loop of links; a path with a NUL
        raise UserError(f"{str(path)!r} cannot be read: {reason(error)}.") from error
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in KINDS if is_kind(found.st_mode)), "something else")
        raise UserError(f"{path} cannot be read: it is no regular file but {kind}.")
    if found.st_size > limit:
        raise too_large(path, found.st_size, limit)
    return found.st_size


def read_bytes(path: Path, usual: int = SMALL) -> bytes:
    """All bytes of a regular file.

    Raises:
        MissingFileError: it is not there.
        UserError: it cannot be read, or has more bytes than the limit.
    """
    check_file(path, usual)
    limit = limit_of(usual)
    try:
        with path.open("rb") as file:
            return read_limited(path, file, limit)  # sizes in /proc, say, are 0
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} cannot be read: it does not exist.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason(error)}.") from error


def read_text(path: Path, usual: int = SMALL) -> str:
    """The text of a file in UTF-8, without a byte order mark, and with its lines ending in a line feed.

    Raises:
        MissingFileError: it is not there.
        UserError: it cannot be read, or is not UTF-8.
    """
    try:
        text = read_bytes(path, usual).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read: byte {error.start + 1} is not UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, kind: type[T], usual: int = SMALL, nan: bool = False, large: bool = False) -> T:
    """The value in a JSON file.

    Args:
        path: of the file.
        kind: the schema.
        usual: the most bytes, where `$FAITHBENCH_MAX_BYTES` says nothing.
        nan: whether numbers may be NaN or infinite, as Python writes them.
        large: whether whole numbers may have more than 64 bits.

    Raises:
        MissingFileError: it is not there.
        UserError: it cannot be read, is not JSON, or not as the schema says.
    """
    text = read_text(path, usual)
    try:
        value = json.loads(text, object_pairs_hook=_table)
    except json.JSONDecodeError as error:
        raise UserError(f"{path} cannot be read: it is not JSON ({reason(error)}).") from error
    except (ValueError, RecursionError) as error:  # a number of too many digits, brackets too deep
        raise UserError(f"{path} cannot be read: it is not JSON as it is read here ({reason(error)}).") from error
    _check_plain(path, value, nan, math.inf if large else WHOLE)
    return check(value, kind, str(path))


def read_toml(path: Path, usual: int = SMALL) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        MissingFileError: it is not there.
        UserError: it cannot be read, or is not TOML.
    """
    text = read_text(path, usual)
    if DOTTED.search(STRINGS.sub("s", text)):
        raise _too_deep(path)
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {reason(error)}.") from error
    except (ValueError, RecursionError, OverflowError) as error:  # a number of too many digits, brackets too deep
        raise UserError(f"{path} is not valid TOML as it is read here: {reason(error)}.") from error
    _check_plain(path, value, nan=True, whole=WHOLE**2)
    return value


def check(value: object, kind: type[T], where: str) -> T:
    """The value, if it is as the schema says.

    Args:
        value: of dictionaries, lists, texts, numbers.
        kind: the schema.
        where: the file's name, for messages.

    Raises:
        UserError: it is not; the sentence names the first field that is wrong.
    """
    try:
        _validator(cast(Hashable, kind)).validate_python(value, strict=True)
    except ValueError as error:  # pydantic's
        raise UserError(f"{where}: {_wrong(value, error)}.") from error
    return cast(T, value)


def is_json(text: str, kind: type) -> bool:
    """Whether a short JSON text is as the schema says."""
    try:
        _validator(cast(Hashable, kind)).validate_json(text, strict=True)
    except ValueError:
        return False
    return True


def reason(error: BaseException) -> str:
    """What an error says, as the end of a sentence: its first line, short."""
    text = (isinstance(error, OSError) and error.strerror) or str(error).strip() or type(error).__name__
    line = text.splitlines()[0].rstrip(".")
    return line if len(line) <= 2 * SHOWN else f"{line[: 2 * SHOWN]}…"


@cache
def _validator(kind: Hashable) -> Any:
    return resolve_name(VALIDATOR)(kind)


def _wrong(value: object, error: Any) -> str:
    """What is wrong, by the first error and others of the same place."""
    every = error.errors(include_url=False)
    places = [_place(value, each) for each in every]
    first, (place, at) = every[0], places[0]
    if first["type"] == "missing":
        return f"{place} is missing"
    said = dict.fromkeys(_said(each) for each, (other, _) in zip(every, places, strict=True) if other == place)
    return f"{place or 'it'} is {short(at)}, which is {' and '.join(said)}"


def _said(error: Mapping[str, Any]) -> str:
    if error["type"] == "literal_error":
        return f"not {error['ctx']['expected']}"
    return NOT.get(error["type"], "not allowed")


def _place(value: object, error: Mapping[str, Any]) -> tuple[str, object]:
    """The field that an error is about, without pydantic's names of alternatives, and what stands there."""
    place = ""
    for part in error["loc"]:
        if isinstance(value, Mapping) and part in value:
            place, value = f"{place}.{brief(part)}" if place else brief(part), value[part]
        elif isinstance(value, (list, tuple)) and isinstance(part, int):
            place, value = f"{place}[{part}]", value[part]
        elif error["type"] == "missing" and part == error["loc"][-1]:
            place = f"{place}.{part}" if place else str(part)
    return place, value


def _table(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, which names nothing twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{short(twice)} is named twice")
    return table


def _check_plain(path: Path, value: object, nan: bool, whole: float) -> None:
    """Nothing nested too deep, and no texts and numbers that nothing else can hold."""
    level = [value]
    for _ in range(NESTED + 1):
        for each in level:
            for part in each if isinstance(each, dict) else (each,):
                if (fault := _fault(part, nan, whole)) is not None:
                    raise UserError(f"{path} cannot be read: it holds {short(part)}, {fault}.")
        level = [inner for each in level if isinstance(each, (dict, list)) for inner in _inner(each)]
        if not level:
            return
    raise _too_deep(path)


def _too_deep(path: Path) -> UserError:
    return UserError(f"{path} cannot be read: it has more than {NESTED} lists and tables inside of each other.")


def _inner(value: dict[str, Any] | list[Any]) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, dict) else value)


def _fault(value: object, nan: bool, whole: float) -> str | None:
    if isinstance(value, str):
        return None if is_unicode(value) else "which is no text: it has half a character"
    if isinstance(value, float):
        return None if nan or math.isfinite(value) else "which is no number"
    if isinstance(value, int) and abs(value) >= whole:
        return "a whole number that is too large"
    return None
