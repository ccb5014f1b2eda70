"""Several runs that are published as one board, such as the parts of a plan that was divided between machines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from faithbench.errors import UserError
from faithbench.file_names import slug
from faithbench.plan import plan_files
from faithbench.records.manifest import Manifest, read_manifest
from faithbench.shown import visible

KINDS = {"models": "weights", "datasets": "content"}  # of which two runs must have the same
ALIKE = ("faithbench", "torch", "transformers")  # packages of one version in all


def joined(runs: Sequence[Path]) -> Manifest:
    """What the manifests of runs say together.

    Of what they say otherwise of one model or data set, such as an accuracy on the texts at hand, that of the run with
    the most texts is kept.

    Raises:
        UserError: a manifest cannot be read, or two runs are of other weights, content or versions.
    """
    manifests = {run: read_manifest(run) for run in runs}
    _check(manifests)
    found: dict[str, Any] = {}
    for kind in dict.fromkeys(kind for manifest in manifests.values() for kind in manifest):
        entries: dict[str, list[Any]] = {}
        for manifest in manifests.values():
            own: Mapping[str, Any] = manifest.get(kind, {})  # type: ignore[assignment]
            for name, entry in own.items():
                entries.setdefault(name, []).append(entry)
        found[kind] = {name: _one(several) for name, several in entries.items()}
    return found  # type: ignore[return-value]


def plans_of(runs: Sequence[Path]) -> dict[str, Path]:
    """The plans of runs under names of their own; those of a single run keep theirs."""
    files = [(run, path) for run in runs for path in plan_files(run)]
    if len(runs) == 1:
        return {path.name: path for _, path in files}
    found: dict[str, Path] = {}
    for run, path in files:
        name = f"plan-{slug(run.resolve().name)}{path.stem.removeprefix('plan')}"
        while f"{name}.toml" in found:
            name += "-more"
        found[f"{name}.toml"] = path
    return found


def _check(manifests: Mapping[Path, Manifest]) -> None:
    seen: dict[tuple[str, str], tuple[Path, str]] = {}
    for run, manifest in manifests.items():
        told = {("versions", name): str(manifest.get("versions", {}).get(name, "")) for name in ALIKE}
        for kind in KINDS:
            own: Mapping[str, Any] = manifest.get(kind, {})  # type: ignore[assignment]
            told |= {(kind, name): str(entry.get("fingerprint", "")) for name, entry in own.items()}
        for (kind, name), state in told.items():
            first, there = seen.setdefault((kind, name), (run, state))
            if there != state:
                what = f"{KINDS[kind]} of {name}" if kind in KINDS else f"version of {name}"
                raise UserError(
                    f"{first} and {run} cannot be published as one board: {visible(what)}, "
                    f"{visible(there) or 'none'} in the one and {visible(state) or 'none'} in the other."
                )


def _one(entries: Sequence[Any]) -> Any:
    """Entries of one name as one; those of more texts count where they say otherwise."""
    if not all(isinstance(each, Mapping) for each in entries):
        return entries[-1]
    merged: dict[str, Any] = {}
    for each in sorted(entries, key=_texts):
        merged = _over(merged, each)
    return merged


def _texts(entry: Mapping[str, Any]) -> int:
    read = entry.get("read", {})
    return int(entry.get("texts") or (read.get("texts", 0) if isinstance(read, Mapping) else 0))


def _over(under: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Both, the second before the first."""
    both = (name for name in entry if isinstance(entry[name], Mapping) and isinstance(under.get(name), Mapping))
    return {**under, **entry, **{name: _over(under[name], entry[name]) for name in both}}
