"""Names that a shell completes: of installed components, without loading any of them.

A name that no spec could have is not offered: a shell would take it for what it looks like, and may run it.
"""

from collections.abc import Callable

from faithbench.plugins import finding

Completer = Callable[[str], list[str]]


def names(*kinds: str, others: tuple[str, ...] = ()) -> Completer:
    """Completes the names of components of these kinds, and others."""

    def beginning(incomplete: str) -> list[str]:
        found = {name for kind in kinds for name in finding.find(kind)} | set(others)
        return sorted(name for name in found if name.startswith(incomplete) and finding.NAME.fullmatch(name))

    return beginning
