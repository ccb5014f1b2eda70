"""The command line that is being carried out, for whoever notes it; None in what Python was asked for directly."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from faithbench.shown import shell_words

_line: ContextVar[str | None] = ContextVar("command line", default=None)


@contextmanager
def given(words: Sequence[str]) -> Iterator[None]:
    """What is done here was asked for by `faithbench` with these words."""
    token = _line.set(shell_words(["faithbench", *words]))
    try:
        yield
    finally:
        _line.reset(token)


def command_line() -> str | None:
    """The words of the command, quoted for a shell."""
    return _line.get()
