"""What parameters of components may be: a check raises a ValueError with the name, the value and what is allowed."""

import re
from collections.abc import Sequence

LARGEST_SEED = 2**32 - 1  # that every generator takes


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """One of a few words."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not allowed; use {' or '.join(allowed)}.")


def check_whole(name: str, value: int, least: int, most: int) -> None:
    """A whole number within limits."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name}={value!r} is not allowed; it must be a whole number from {least:,} to {most:,}.")


def check_positive(name: str, value: float) -> None:
    """A number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"{name}={value!r} is not allowed; it must be above 0.")


def check_share(name: str, value: float) -> None:
    """A share, from none to all."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r} is not allowed; it must be from 0 to 1.")


def check_seed(seed: int) -> None:
    """A seed that every generator takes."""
    check_whole("seed", seed, 0, LARGEST_SEED)


def check_pattern(name: str, value: str) -> None:
    """A regular expression."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{name}={value!r} is not allowed; as a regular expression it is wrong: {error}.") from error
