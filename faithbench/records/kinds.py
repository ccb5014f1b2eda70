"""Questions of several kinds in one data set, named by ids such as `anaphor-3`, `test-anaphor-3`, `npi_present_1/3`."""

import re
from collections.abc import Iterable

NAMED = re.compile(r"(?:test-)?(.+)[-/]\d+")
MOST = 50  # kinds


def kind_of(unit: str) -> str:
    """What an id says before its number; nothing if it has no such form."""
    found = NAMED.fullmatch(unit)
    return found[1] if found else ""


def kinds_of(units: Iterable[str]) -> tuple[str, ...]:
    """The kinds of ids in their order; none where an id has none, or there are not several, or too many."""
    found = tuple(dict.fromkeys(map(kind_of, units)))
    return found if 1 < len(found) <= MOST and all(found) else ()
