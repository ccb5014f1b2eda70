"""The one way to a terminal: lines for people and texts for files and pipes, without anything that a terminal obeys."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterable
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from faithbench.errors import UserError
from faithbench.shown import IN_PLAIN, fitting, sentence, visible

BROKEN_PIPE = 141  # the status of a program whose reader has gone, as shells have it


class Printer(Console):
    """A console that ends the program quietly when nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Called by rich."""
        _end(self)


def say(console: Console | None, text: str, whole: bool = False) -> None:
    """A line for people, never folded; nothing if nobody listens.

    Args:
        console: where to.
        text: the line.
        whole: however long it is, as commands and paths that are to be copied; others are shortened in their middle.
    """
    if console is not None:
        line = fitting(text, console.encoding)
        display(console, Text(visible(line) if whole else sentence(line)), soft_wrap=True)


def write(console: Console, text: str, codes: bool = False) -> None:
    """A text of several lines as it is, such as a table, to the console's file.

    Args:
        console: where to.
        text: the lines.
        codes: whether it holds a terminal's codes, as tables for a terminal do.

    Raises:
        UserError: there is no room for it.
    """
    try:
        console.file.write(fitting(text if codes else visible(text, keep="\n"), console.encoding))
        console.file.flush()
    except BrokenPipeError:
        _end(console)
    except OSError as error:
        _leave(console)
        raise UserError(f"the output cannot be written: {error.strerror or error}.") from error


def words(console: Console, text: str, style: str = "") -> Text:
    """A text as something for rich, in the console's characters and without anything that a terminal obeys."""
    return Text(fitting(visible(text), console.encoding), style)


def paragraphs(console: Console, lines: Iterable[Text]) -> None:
    """Texts for people, wrapped to the width of a terminal; elsewhere each is a line, however long."""
    for line in lines:
        display(console, line, soft_wrap=not console.is_terminal)


def prepare_streams() -> None:
    """Lets this process write whatever its terminal can show, and what libraries warn of without a terminal's codes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # no stream, or one of another kind
            stream.reconfigure(errors=IN_PLAIN)  # type: ignore[union-attr]
    warnings.formatwarning = _warning
    logging.setLogRecordFactory(_LogRecord)


class _LogRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802
        return visible(super().getMessage(), keep="\n")


def _warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: Any = None) -> str:
    return f"{sentence(f'{category.__name__}: {message} ({filename}:{lineno})')}\n"


def display(console: Console, what: RenderableType, soft_wrap: bool = False) -> None:
    """Whatever rich can show, made of `words`.

    Args:
        console: where to.
        what: it is.
        soft_wrap: never fold it.

    Raises:
        UserError: there is no room for it.
    """
    try:
        console.print(what, soft_wrap=soft_wrap)
    except BrokenPipeError:  # of older versions of rich
        _end(console)
    except OSError as error:
        _leave(console)
        raise UserError(f"the output cannot be written: {error.strerror or error}.") from error


def _end(console: Console) -> None:
    _leave(console)
    raise SystemExit(BROKEN_PIPE)


def _leave(console: Console) -> None:
    """Lets what is left of a stream's buffer go nowhere, or Python would complain when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, console.file.fileno())
        os.close(nowhere)
