"""Paths as people give them in Python: a `Path` or a str, one or several."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from faithbench.errors import UserError, WrongTypeError

REFUSED = (errno.ENAMETOOLONG, errno.ELOOP)  # of names for which nothing can be there or be made
SHOWN = 60  # characters of a path that is refused


def as_path(name: str, value: object) -> Path:
    """A path.

    Raises:
        WrongTypeError: it is neither a `Path` nor a str.
        UserError: the system knows no such paths: a name is too long, or links lead in a circle.
    """
    if not isinstance(value, (str, Path)):
        raise WrongTypeError(f"{name} is of type {type(value).__name__}; give a path, as a str or a Path.")
    try:
        os.stat(value)
    except ValueError as error:  # a NUL, or half a character
        raise _refused(name, value, "it holds a character that no path has") from error
    except OSError as error:
        if error.errno in REFUSED:
            raise _refused(name, value, os.strerror(error.errno)) from error
    return Path(value)


def _refused(name: str, value: str | Path, cause: str) -> UserError:
    text = str(value)
    return UserError(f"{name} {text if len(text) <= SHOWN else f'{text[:SHOWN]}…'!r} is no usable path: {cause}.")


def as_paths(name: str, values: object) -> list[Path]:
    """Several paths.

    Raises:
        WrongTypeError: it is a single one, or no list of them.
        UserError: the system knows no such paths.
    """
    return [as_path(f"{name}[{index}]", value) for index, value in enumerate(_several(name, values, "path"))]


def as_names(name: str, values: object) -> tuple[str, ...]:
    """Names, or paths as names.

    Raises:
        WrongTypeError: it is a single one, or no list of them.
    """
    found = list(_several(name, values, "text", "names"))
    for index, value in enumerate(found):
        if not isinstance(value, (str, Path)):
            raise WrongTypeError(f"{name}[{index}] is of type {type(value).__name__}; a name is a str.")
    return tuple(map(str, found))


def _several(name: str, values: object, one: str, many: str = "paths") -> Iterable[object]:
    """The values, of which a single one is none.

    Raises:
        WrongTypeError: it is a single one, or no list.
    """
    if isinstance(values, (str, Path)):
        raise WrongTypeError(f"{name} is one {one}; give a list: [{str(values)!r}].")
    if not isinstance(values, Iterable):
        raise WrongTypeError(f"{name} is of type {type(values).__name__}; give a list of {many}.")
    return values
