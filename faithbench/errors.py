"""Errors that a user can cause. Each is one sentence; the command line prints it and ends with status 2."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import accumulate

BRIEF = 100  # characters of a name or value that an error repeats
NAMES = 240  # of the names that would do
SAID = 300  # of what another error says
LOOKED_AT = 100_000  # of it that are read at all


class UserError(Exception):
    """A mistake in what the user asked for: names the thing, the value and what would be allowed."""


class WrongTypeError(UserError, TypeError):
    """An argument of the Python interface that is no such thing as belongs there."""


class BrokenModelError(UserError):
    """A model that somebody's package makes cannot be had: its cells fail, and others go on."""


class ModelChangedError(UserError):
    """A component has changed the model's weights, so that nothing that follows would be about this model."""


class QuestionError(Exception):
    """A question that the model cannot answer. It reaches the component that asked, and fails that one alone."""


def unknown(kind: str, name: str, known: Iterable[str], aside: str = "") -> UserError:
    """The error for a name that is not known, with near misses or, failing those, what is, as far as there is room.

    Args:
        kind: of thing.
        name: of which there is none.
        known: names.
        aside: what else might be meant; put into brackets.
    """
    names = sorted(map(str, known))
    near = get_close_matches(name[:BRIEF], names, n=3, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else f"known: {enumerated(names, NAMES - len(aside)) or 'none'}."
    )
    return UserError(f"{brief(repr(name))} is not a known {kind}{f' ({aside})' if aside else ''}; {hint}")


def enumerated(given: Iterable[str], room: int = NAMES) -> str:
    """Names in a row, as far as there is room for them."""
    names = tuple(given)
    ends = accumulate(len(name) + 2 for name in names)
    shown = [name for name, end in zip(names, ends, strict=True) if end <= room]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(shown) < len(names) else "")


def words_of(error: BaseException) -> str:
    """What an error says, on one line; nothing where it cannot say, for that too is somebody's code."""
    try:
        return " ".join(str(error)[:LOOKED_AT].split()).encode(errors="backslashreplace").decode()
    except KeyboardInterrupt:
        raise
    except BaseException:
        return ""


def describe(error: BaseException, limit: int = SAID) -> str:
    """The type of an error and what it says, on one line of bounded length: `ValueError: what it says`."""
    words, name = words_of(error), type.__dict__["__name__"].__get__(type(error))  # whatever a metaclass makes of it
    return f"{name}: {brief(words, limit)}" if words else str(name)


def short(value: object) -> str:
    """A value as an error repeats it: on one line, short, whatever it is."""
    try:
        return brief(repr(value))
    except KeyboardInterrupt:
        raise
    except BaseException:  # a number of too many digits, lists too deep, or whatever a plugin's class raises
        return f"a {type(value).__name__} that cannot be shown"


def brief(text: str, limit: int = BRIEF) -> str:
    """A text of at most so many characters, cut in its middle."""
    if len(text) <= limit:
        return text
    return f"{text[: limit * 2 // 3]}…{text[len(text) - limit // 3 + 1 :]}"
