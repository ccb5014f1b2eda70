"""Errors that a user can cause. Each is one sentence; the command line prints it and ends with status 2."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in what the user asked for: names the thing, the value and what would be allowed."""


class WrongTypeError(UserError, TypeError):
    """An argument of the Python interface that is no such thing as belongs there."""


class ModelChangedError(UserError):
    """A component has changed the model's weights, so that nothing that follows would be about this model."""


class QuestionError(Exception):
    """A question that the model cannot answer. It reaches the component that asked, and fails that one alone."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not known, with near misses or, failing those, everything that is."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}."
    return UserError(f"{name!r} is not a known {kind}; {hint}")
