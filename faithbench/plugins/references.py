"""Functions that a parameter names as `package.module:function`: checked when it is told, imported when it is used."""

import re
from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

from faithbench.errors import describe

REFERENCE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


def check_reference(name: str, value: str) -> None:
    """A parameter is of that form; nothing is imported."""
    if not REFERENCE.fullmatch(value):
        raise ValueError(f"{name}={value!r} is not allowed; it must be package.module:function.")


def imported(name: str, value: str) -> Callable[..., Any]:
    """The function that a parameter names; importing it runs whatever its module does.

    Raises:
        ValueError: it cannot be imported, or is no function.
    """
    try:
        function = resolve_name(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever its module raises
        raise ValueError(f"{name}={value!r} cannot be imported ({describe(error)}).") from error
    if not callable(function):
        raise ValueError(f"{name}={value!r} is not a function.")
    named: Callable[..., Any] = function
    return named
