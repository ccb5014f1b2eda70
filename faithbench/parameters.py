"""What parameters of components may be: a check raises a ValueError with the name, the value and what is allowed."""

from collections.abc import Sequence


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """One of a few words."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not allowed; use {' or '.join(allowed)}.")
