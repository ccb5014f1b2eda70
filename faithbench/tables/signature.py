"""The last line of a table for people: equal lines mean that the numbers of two tables can be compared.

After sacrebleu's signature (Post 2018, *A Call for Clarity in Reporting BLEU Scores*): everything that was held fixed
while explainers were measured. The explainers are what is compared, and stand in the rows: of them only the versions
count.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from faithbench.activations import UNIT
from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.records.columns import DATA, PLACE
from faithbench.records.fingerprints import precision_of
from faithbench.records.store import Store
from faithbench.records.units import units_of

NEURONS = f"{UNIT}s"
UNKNOWN, NONE = "unknown", "none"
FEW = 4  # that are named one by one
DIGITS = 8  # of a fingerprint or hash
USUAL = "1.1"  # versions of a record's explainer and metric
IDENTITIES = [*PLACE, "explainer", "metric", "version"]
MODELS = ["dataset", "model", "model_fingerprint"]

Manifest = Mapping[str, object]


def signature_of(entries: pd.DataFrame, folders: Sequence[Path | str]) -> str:
    """The signature of what a table shows, with the manifests of the runs that it is from.

    Args:
        entries: the records of the table; of attributions or trainings what they have of a record's columns.
        folders: of the runs.
    """
    return signature(entries, [Store(Path(folder)).manifest() for folder in folders])


def signature(entries: pd.DataFrame, manifests: Iterable[Manifest]) -> str:
    """The signature, a function of records and manifests alone; what these do not say is `unknown`.

    - `faithbench`: the version that measured.
    - `versions`: of components; 1.1 is the first of explainer and metric, and those of others stand behind their names.
    - `data`, `models`: fingerprints, in the order of the names; more than a few are counted and hashed.
    - `texts`, or `neurons` where all are: how many of each data set, and a hash of their ids.
    - `split`: as the manifests say.
    - `metrics`: how many, and a hash of their identities, in which every parameter stands.
    - `protocol`, `seed`: of data sets, models and metrics.
    """
    told, known = list(manifests), entries.rename(columns={"text_id": "unit"}).reindex(columns=[*IDENTITIES, "unit"])
    metrics = _distinct(known["metric"])
    specs = [*_distinct(known["dataset"]), *_distinct(known["model"]), *metrics]
    ingredients = {
        "faithbench": _listed(sorted({_measured_by(manifest) for manifest in told})),
        "versions": _versions(known),
        "data": _fingerprints(known, DATA),
        "models": _fingerprints(known, MODELS),
        _unit(known): _texts(known),
        "split": _listed(sorted(set(_splits(known, told)))),
        "metrics": f"{len(metrics)}@{_hash(metrics)}" if metrics else NONE,
        "protocol": _listed(_parameters(specs, "protocol")),
        "seed": _listed(_parameters(specs, "seed")),
    }
    return "|".join(f"{name}:{value}" for name, value in ingredients.items())


def _measured_by(manifest: Manifest) -> str:
    return str(_entry(manifest, "versions").get("faithbench", UNKNOWN))


def _versions(entries: pd.DataFrame) -> str:
    """`1.1`, and every version of each explainer or metric that has another than 1."""
    found: dict[str, set[str]] = {}
    for explainer, metric, version in _rows(entries, ["explainer", "metric", "version"]):
        for component, number in zip((explainer, metric), str(version).split("."), strict=False):
            found.setdefault(_name(str(component)), set()).add(number)
    usual = [USUAL] * any(numbers == {"1"} for numbers in found.values())
    return _listed([*usual, *(f"{n}={v}" for n in sorted(found) for v in sorted(found[n]) if found[n] != {"1"})])


def _fingerprints(entries: pd.DataFrame, columns: Sequence[str]) -> str:
    """The last of the columns, in the order of all; unknown where no entry says it."""
    rows = _rows(entries, columns)
    said = {row[:-1] for row in rows if row[-1] is not None}
    found = [
        UNKNOWN if row[-1] is None else str(row[-1]) for row in rows if row[-1] is not None or row[:-1] not in said
    ]
    return _listed([_shortened(value) for value in found]) if len(found) <= FEW else f"{len(found)}@{_hash(found)}"


def _shortened(fingerprint: str) -> str:
    """Its first digits, and the precision, if that is of forward rows alone."""
    return "-".join(filter(None, (fingerprint[:DIGITS], precision_of(fingerprint))))


def _unit(entries: pd.DataFrame) -> str:
    return NEURONS if units_of(_distinct(entries["dataset"])) == NEURONS else "texts"


def _texts(entries: pd.DataFrame) -> str:
    """How many of each data set, or of all, and which."""
    found = entries[entries["unit"].notna()]
    if found.empty:
        return NONE
    ids = [sorted(map(str, set(group["unit"]))) for _, group in found.groupby(DATA, observed=True)]
    counts = [len(each) for each in ids]
    return f"{_listed(map(str, counts if len(counts) <= FEW else [sum(counts)]))}@{_hash(ids)}"


def _splits(entries: pd.DataFrame, manifests: Sequence[Manifest]) -> Iterator[str]:
    """Of each data set, as a manifest says it that speaks of the same content."""
    for dataset, fingerprint in _rows(entries[entries["dataset_fingerprint"].notna()], DATA):
        found = [_entry(_entry(manifest, "datasets"), str(dataset)) for manifest in manifests]
        splits = {str(each["split"]) for each in found if each.get("fingerprint") == fingerprint and "split" in each}
        yield from splits or {UNKNOWN}


def _parameters(specs: Iterable[str], name: str) -> list[str]:
    """The values of a parameter in specs and in the specs inside of them."""
    return sorted({str(value) for text in specs for value in _values(text, name)})


def _values(text: str, name: str) -> Iterator[object]:
    try:
        _, args, parameters = spec.parse(text)
    except UserError:  # a path, for instance
        return
    if name in parameters:
        yield parameters[name]
    for inner in (*args, *parameters.values()):
        if isinstance(inner, str) and "(" in inner:
            yield from _values(inner, name)


def _name(text: str) -> str:
    """The name of a component without its parameters."""
    return text.partition("(")[0]


def _entry(manifest: Manifest, name: str) -> Manifest:
    """A table of a manifest, which is not to be trusted."""
    found = manifest.get(name) if isinstance(manifest, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _rows(entries: pd.DataFrame, columns: Sequence[str]) -> list[tuple[object, ...]]:
    """The distinct combinations in their order; None where there is nothing."""
    found = entries[list(columns)].drop_duplicates()
    found = found[found.notna().any(axis=1)].astype(object)
    rows = found.where(found.notna(), None).itertuples(index=False, name=None)
    return sorted(rows, key=lambda row: tuple("" if value is None else str(value) for value in row))


def _distinct(column: "pd.Series[str]") -> list[str]:
    return sorted(map(str, column.dropna().unique()))


def _listed(values: Iterable[str]) -> str:
    return ",".join(values) or NONE


def _hash(values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:DIGITS]
