"""What goes wrong inside a plugin, whatever it is, as one sentence about that plugin."""

from collections.abc import Iterator
from contextlib import contextmanager

from faithbench.errors import UserError, brief

WORDS = 160  # characters of an error that are repeated


@contextmanager
def told(what: str) -> Iterator[None]:
    """Runs a plugin's code: whatever it raises, short of KeyboardInterrupt, becomes a sentence that begins with `what`.

    Args:
        what: which plugin fails at what, such as "metric 'lamp' of lab 1.0 cannot be loaded".

    Raises:
        UserError: the plugin raised something. A UserError, which is a sentence already, is passed on.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except UserError as error:
        raise UserError(words(error)) from error
    except BaseException as error:  # a plugin may fail in any way, also by ending the program
        raise UserError(f"{what} ({cause(error)}).") from error


def cause(error: BaseException) -> str:
    """The type of an error and the first line of what it says; the type alone where it cannot say."""
    said = words(error)
    return f"{type(error).__name__}: {brief(said, WORDS)}" if said else type(error).__name__


def words(error: BaseException) -> str:
    """The first line of what an error says; nothing where it cannot say."""
    try:
        lines = str(error).strip().splitlines()
    except KeyboardInterrupt:
        raise
    except BaseException:  # also what an error says is a plugin's code
        return ""
    return lines[0] if lines else ""


def shown(value: object) -> str:
    """A value as a short text on one line, also where it cannot be shown."""
    try:
        return brief(repr(value))
    except KeyboardInterrupt:
        raise
    except BaseException:  # whatever `__repr__` of a plugin's class raises
        return f"a {type(value).__name__} that cannot be shown"
