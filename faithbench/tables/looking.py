"""What is said of runs whose number of texts was chosen by looking (`until`; docs/statistics.md), in sentences."""

from collections.abc import Iterable, Iterator

from faithbench.records.manifest import Manifest, UntilEntry
from faithbench.records.results import label


def looked(entry: UntilEntry) -> str:
    """That texts were added until the leading differences were narrow enough, how far that came, and what it means."""
    last, several = entry["looks"][-1], len(entry["looks"])
    after = f"after {last['texts']:,} of {entry['split_texts']:,} texts and {several} look{'s' * (several > 1)}"
    widest = "of some nothing can be said yet" if last["width"] is None else f"the widest is {last['width']:.3g} wide"
    came = {
        "narrow": f"this was so {after} ({widest})",
        "limit": f"this was not so {after}, the limit ({widest})",
        "split": f"this was not so {after}, the whole split ({widest})",
        "": f"this was not yet so {after} ({widest})",
    }[entry["ended"]]
    return (
        f"texts were added until the leading differences' 95 % intervals were at most {entry['until']:g} wide; {came}."
    )


def chosen_by_looking(manifest: Manifest) -> Iterator[tuple[str, UntilEntry]]:
    """The data sets of which some model was measured on as many texts as a look said, and on none after it."""
    for name, entry in manifest.get("until", {}).items():
        data = manifest.get("datasets", {}).get(name)
        if data is None or data["fingerprint"] != entry["fingerprint"] or not entry["looks"]:
            continue
        if not entry["ended"] or min(_texts(manifest, name)) <= entry["looks"][-1]["texts"]:
            yield name, entry


def _texts(manifest: Manifest, dataset: str) -> list[int]:
    """On how many texts of a data set each model was measured, as far as that is known, and the last one."""
    models = (entry for name, entry in manifest.get("models", {}).items() if name.endswith(f" on {dataset}"))
    known = [entry["read"]["texts"] for entry in models if "read" in entry]
    return [*known, manifest["datasets"][dataset].get("texts", 0)]


def leads(entry: UntilEntry) -> Iterator[str]:
    """The leading differences of each model at the last look, in a sentence without the data set's name."""
    told: dict[str, list[str]] = {}
    for each in entry["leading"]:
        other = "" if each["other"] is None else f" − {label('explainer', each['other'])}"
        numbers = f"{each['mean']:.3g} ({each['low']:.3g}, {each['high']:.3g})".replace("-", "−")
        found = f"{label('metric', each['metric'])}: {label('explainer', each['leader'])}{other} {numbers}"
        told.setdefault(label("model", each["model"]), []).append(found)
    for model, found_of in told.items():
        yield f"{model}, leading differences with corrected intervals: {'; '.join(found_of)}."


def not_corrected(manifests: Iterable[Manifest]) -> Iterator[str]:
    """What is said where the number of texts of some data sets was chosen by looking; nothing where none was."""
    names = [label("dataset", name) for manifest in manifests for name, _ in chosen_by_looking(manifest)]
    if told := ", ".join(dict.fromkeys(names)):
        yield (
            f"The number of texts was chosen by looking ({told}): only the intervals of the leading differences are "
            "corrected for that; other intervals and p values are as if it had been fixed before (docs/statistics.md)."
        )
