"""Tokens as descriptions write them: in quotes, so that spaces are seen, and with what cannot be seen as an escape."""

import re
from collections.abc import Sequence

from faithbench.errors import brief
from faithbench.shown import counted, visible

SHOWN = 12  # tokens that are named
LONGEST = 40  # characters of one
SPACES = re.compile(r"[^\S ]")  # all but the usual one


def escaped(text: str) -> str:
    r"""A text on one line, from which it could be read back: `\n` for a line's end, `\\` for a backslash."""
    whole = visible(text.replace("\\", "\\\\"))
    return SPACES.sub(lambda space: space[0].encode("unicode_escape").decode(), whole)


def quoted(tokens: Sequence[str]) -> str:
    """Tokens that follow each other, each in quotes."""
    return " ".join(map(_quoted, tokens))


def named(several: Sequence[Sequence[str]], values: Sequence[float] = ()) -> str:
    """The first of some sequences of tokens, each with a number beside if there are some, and how many others."""
    words = [quoted(tokens) for tokens in several[:SHOWN]]
    shown = [f"{word} ({value:.3g})" for word, value in zip(words, values, strict=False)] if values else words
    rest = len(several) - len(shown)
    return ", ".join(shown) + (f" and {counted(rest, 'other')}" if rest else "")


def _quoted(token: str) -> str:
    mark = '"' if "'" in token else "'"
    return f"{mark}{brief(escaped(token), LONGEST)}{mark}"
