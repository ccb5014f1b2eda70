"""Several runs that are published as one board, such as the parts of a plan that was divided between machines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from faithbench.errors import UserError
from faithbench.file_names import slug
from faithbench.plan import plan_files
from faithbench.records.manifest import Manifest, read_manifest
from faithbench.shown import visible

ALIKE = ("faithbench", "torch", "transformers")  # packages of one version in all
BY_NAME = ("notes", "other_precisions")  # fields of an entry that name what each run may have others of


def joined(runs: Sequence[Path]) -> Manifest:
    """What the manifests of runs say together; that of a single run is what it is.

    Of what they say otherwise of one model or data set, such as an accuracy on the texts at hand, that of the run with
    the most texts is kept.

    Raises:
        UserError: a manifest cannot be read, or two runs are of other weights, content or versions, or added texts
            (`until`) to other numbers.
    """
    manifests = {run: read_manifest(run) for run in runs}
    if len(runs) == 1:
        return manifests[runs[0]]
    _check(manifests)
    found: dict[str, Any] = {}
    for kind in dict.fromkeys(kind for manifest in manifests.values() for kind in manifest):
        parts = [manifest[kind] for manifest in manifests.values() if kind in manifest]  # type: ignore[literal-required]
        found[kind] = _together(parts) if all(isinstance(part, Mapping) for part in parts) else parts[0]
    return found  # type: ignore[return-value]


def held(manifest: Manifest, records: pd.DataFrame) -> Manifest:
    """What a manifest says of models, data sets and explainers of which there are records, and all that is of none."""
    models, datasets, explainers = ({*records[kind]} for kind in ("model", "dataset", "explainer"))
    places = {f"{model} on {dataset}" for model, dataset in zip(records["model"], records["dataset"], strict=True)}
    named = {"models": places, "precision": places, "datasets": datasets, "until": datasets, "imported": explainers}
    kept: dict[str, Any] = dict(manifest)
    for kind in kept.keys() & named.keys():
        kept[kind] = {name: entry for name, entry in kept[kind].items() if name in named[kind]}
    for name, entry in kept.get("until", {}).items():
        leading = [told for told in entry["leading"] if told["model"] in models and told["leader"] in explainers]
        kept["until"][name] = {**entry, "leading": leading}
    return kept  # type: ignore[return-value]


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
        told = {("version", name): str(manifest.get("versions", {}).get(name, "")) for name in ALIKE}
        told |= {("weights", name): entry["fingerprint"] for name, entry in manifest.get("models", {}).items()}
        told |= {("content", name): entry["fingerprint"] for name, entry in manifest.get("datasets", {}).items()}
        told |= {("number of texts (until)", name): _reached(each) for name, each in manifest.get("until", {}).items()}
        for (what, name), state in told.items():
            first, there = seen.setdefault((what, name), (run, state))
            if there != state:
                raise UserError(
                    f"{first} and {run} cannot be published as one board: {visible(f'{what} of {name}')}, "
                    f"{visible(there) or 'none'} in the one and {visible(state) or 'none'} in the other."
                )


def _reached(entry: Mapping[str, Any]) -> str:
    texts = entry["looks"][-1]["texts"] if entry["looks"] else 0
    return f"{entry['until']:g}, {len(entry['looks'])} looks and {texts} texts"


def _together(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Parts of one kind of several manifests, name by name."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: _one([part[name] for part in parts if name in part]) for name in names}


def _one(entries: Sequence[Any]) -> Any:
    """Entries of one name as one; those of more texts count where they say otherwise."""
    if not all(isinstance(each, Mapping) for each in entries):
        return entries[0]
    merged: dict[str, Any] = {}
    for each in sorted(entries, key=_texts):
        merged |= each
    for field in BY_NAME:
        several = [each[field] for each in sorted(entries, key=_texts) if isinstance(each.get(field), Mapping)]
        if several:
            merged[field] = {name: told for each in several for name, told in each.items()}
    counted = [each["predicted"] for each in entries if isinstance(each.get("predicted"), Mapping)]
    if counted:
        merged["predicted"] = max(counted, key=lambda each: int(each["texts"]))
    if leading := [told for each in entries for told in each.get("leading", ())]:
        merged["leading"] = [told for i, told in enumerate(leading) if told not in leading[:i]]
    return merged


def _texts(entry: Mapping[str, Any]) -> int:
    """Of how many texts an entry speaks; 0 where it does not say."""
    read = entry.get("read", {})
    found = entry.get("texts", read.get("texts") if isinstance(read, Mapping) else None)
    return found if isinstance(found, int) else 0
