"""Finds components among the installed packages, faithbench's own included, by entry point."""

import functools
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from faithbench.errors import UserError, unknown

GROUPS = {
    "dataset": "faithbench.datasets",
    "model": "faithbench.models",
    "explainer": "faithbench.explainers",
    "metric": "faithbench.metrics",
    "architecture": "faithbench.architectures",
}


@dataclass(frozen=True)
class Plugin:
    """One name in one group, and every distribution that claims it."""

    kind: str
    name: str
    claims: tuple[EntryPoint, ...]

    @property
    def origin(self) -> str:
        """The distributions that provide it, with their versions."""
        return ", ".join(f"{c.dist.name} {c.dist.version}" if c.dist else "unknown" for c in self.claims)

    def load(self) -> Callable[..., object]:
        """The factory: any callable whose parameters are the component's.

        Raises:
            UserError: two distributions claim the name, or importing it fails.
        """
        if len(self.claims) > 1:
            raise UserError(f"{self.kind} {self.name!r} is claimed by {self.origin}; uninstall one of them.")
        try:
            factory = self.claims[0].load()
        except (Exception, SystemExit) as error:  # a plugin may fail in any way; it must not break the others
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UserError(f"{self.kind} {self.name!r} of {self.origin} cannot be loaded ({cause}).") from error
        if not callable(factory):
            raise UserError(f"{self.kind} {self.name!r} of {self.origin} is {factory!r}, which is not callable.")
        return factory


def find(kind: str) -> dict[str, Plugin]:
    """All components of a kind (a key of `GROUPS`), by name."""
    return dict(_find(kind, tuple((path, _changed(path)) for path in sys.path)))


def _changed(path: str) -> float:
    """When something was last installed into a folder of packages; 0 for what is no folder."""
    try:
        return os.stat(path or ".").st_mtime
    except OSError:
        return 0.0


@functools.lru_cache(maxsize=16)
def _find(kind: str, places: tuple[tuple[str, float], ...]) -> Mapping[str, Plugin]:
    """As `find`, remembered while nothing is installed: reading the metadata of all packages takes a while."""
    claims: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for entry in entry_points(group=GROUPS[kind]):
        owner = entry.dist.name if entry.dist else ""
        claims.setdefault(entry.name, {})[owner, entry.value] = entry  # one package found on two paths is one claim
    return {name: Plugin(kind, name, tuple(found.values())) for name, found in sorted(claims.items())}


def get(kind: str, name: str) -> Plugin:
    """One component by kind and name.

    Raises:
        UserError: there is none of that name.
    """
    found = find(kind)
    if name not in found:
        raise unknown(kind, name, found)
    return found[name]
