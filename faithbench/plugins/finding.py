"""Finds components among the installed packages, faithbench's own included, by entry point."""

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points

from faithbench.errors import UserError, describe, short, unknown
from faithbench.plugins.faults import blaming

GROUPS = {
    "dataset": "faithbench.datasets",
    "model": "faithbench.models",
    "explainer": "faithbench.explainers",
    "metric": "faithbench.metrics",
    "describer": "faithbench.describers",
    "score": "faithbench.scores",
    "architecture": "faithbench.architectures",
}
OF_NEURONS = {"explainer": "describer", "metric": "score"}  # what stands in their place where neurons are explained
KINDS = {"text": {kind: kind for kind in OF_NEURONS}, "neuron": OF_NEURONS}  # by the unit that is explained
NAME = re.compile(r"[A-Za-z0-9_.\-]+")
UNKNOWN = "an unknown package"


@dataclass(frozen=True)
class Plugin:
    """One name in one group, and every distribution that claims it."""

    kind: str
    name: str
    claims: tuple[EntryPoint, ...]

    @functools.cached_property
    def origin(self) -> str:
        """The distributions that provide it, with their versions; looked up once, since metadata are slow to read."""
        return ", ".join(dict.fromkeys(map(_origin, self.claims)))

    @property
    def whose(self) -> str:
        """What it is called in errors: kind, name and distribution."""
        return f"{self.kind} {self.name!r} of {self.origin}"

    def load(self) -> Callable[..., object]:
        """The factory: any callable whose parameters are the component's.

        Raises:
            UserError: two distributions claim the name, no spec could name it, or importing it fails.
        """
        if len(self.claims) > 1:
            raise UserError(f"{self.kind} {self.name!r} is claimed by {self.origin}; uninstall one of them.")
        if NAME.fullmatch(self.name) is None:
            raise UserError(
                f"{short(self.name)} of {self.origin} is no name of a {self.kind}: letters, digits, _.- only."
            )
        with blaming(f"{self.whose} cannot be loaded"):
            factory = self.claims[0].load()
        if not callable(factory):
            raise UserError(f"{self.whose} is {short(factory)}, which is not callable.")
        return factory

    def signature(self) -> inspect.Signature:
        """The parameters of the factory.

        Raises:
            UserError: it cannot be loaded, or does not tell its parameters.
        """
        factory = self.load()
        with blaming(f"{self.whose} does not tell its parameters"):
            return inspect.signature(factory)


def find(kind: str) -> dict[str, Plugin]:
    """All components of a kind (a key of `GROUPS`), by name."""
    return dict(_find(kind, _places()))


def unreadable() -> dict[str, str]:
    """Installed packages whose entry points cannot be read, and why."""
    return dict(_installed(_places())[1])


def _places() -> tuple[tuple[str, float], ...]:
    return tuple((path, _changed(path)) for path in sys.path if isinstance(path, str))


def _changed(path: str) -> float:
    """When something was last installed into a folder of packages; 0 for what is no folder."""
    try:
        return os.stat(path or ".").st_mtime
    except (OSError, ValueError):
        return 0.0


@functools.lru_cache(maxsize=16)
def _find(kind: str, places: tuple[tuple[str, float], ...]) -> Mapping[str, Plugin]:
    """As `find`, remembered while nothing is installed: reading the metadata of all packages takes a while."""
    claims: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for entry in _installed(places)[0]:
        if entry.group == GROUPS[kind]:
            claims.setdefault(entry.name, {})[_owner(entry), entry.value] = entry  # found on two paths: one claim
    return {name: Plugin(kind, name, tuple(found.values())) for name, found in sorted(claims.items())}


@functools.lru_cache(maxsize=4)
def _installed(places: tuple[tuple[str, float], ...]) -> tuple[tuple[EntryPoint, ...], Mapping[str, str]]:
    """The entry points of all packages, and the packages whose entry points cannot be read."""
    try:
        every = entry_points()
        return tuple(entry for group in GROUPS.values() for entry in every.select(group=group)), {}
    except Exception:  # one package in the wrong form spoils them all
        return _one_by_one(distributions())


def _one_by_one(packages: Iterable[Distribution]) -> tuple[tuple[EntryPoint, ...], Mapping[str, str]]:
    entries: list[EntryPoint] = []
    broken: dict[str, str] = {}
    for package in packages:
        try:
            entries += [entry for entry in package.entry_points if entry.group in GROUPS.values()]
        except Exception as error:  # whatever a package's files make of the reader
            broken[_named(package)] = f"its entry points cannot be read ({describe(error)})"
    return tuple(entries), broken


def _owner(entry: EntryPoint) -> str:
    return _named(entry.dist) if entry.dist else ""


def _origin(entry: EntryPoint) -> str:
    if not entry.dist:
        return UNKNOWN
    try:
        return f"{_named(entry.dist)} {entry.dist.version}"
    except Exception:  # no metadata, or metadata without a version
        return _named(entry.dist)


def _named(package: Distribution) -> str:
    """A package's name; failing that, its folder's."""
    try:
        return str(package.metadata["Name"] or UNKNOWN)
    except Exception:  # no metadata, or none that can be read
        return str(getattr(package, "_path", UNKNOWN)).rpartition(os.sep)[2]


def get(kind: str, name: str) -> Plugin:
    """One component by kind and name; of neurons' describers and scores, too, where no other has the name.

    Raises:
        UserError: there is none of that name.
    """
    found = find(kind)
    if name not in found and name in (others := find(OF_NEURONS.get(kind, kind))):
        return others[name]
    if name not in found:
        raise unknown(kind, name, found)
    return found[name]
