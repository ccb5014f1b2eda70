"""What a run's manifest says of data sets, models and versions, as a schema, and the one place that reads it.

What it says besides is left as it is.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from typing_extensions import Required, TypedDict

from faithbench.errors import UserError, short
from faithbench.plugins import spec
from faithbench.schemas import MissingFileError, read_json
from faithbench.types import Link

NAME = "manifest.json"
ACCURACIES = ("accuracy", "subset accuracy")
Setting = int | float | str | None
Sampling = Literal["all", "stratified", "random"]  # which texts of a split were measured


class Row(TypedDict):
    """A row of the data that was left out, and why."""

    id: str
    reason: str


class Skipped(TypedDict):
    """Rows that were left out, of so many, and the first of them."""

    count: int
    of: int
    rows: list[Row]


class Report(TypedDict, total=False):
    """What is known of a training."""

    model: str
    dataset: str
    training: dict[str, Setting]
    seed: int
    texts: dict[str, int]
    steps: int
    test: dict[str, float | None]
    validation: dict[str, float | None]
    hardware: str
    versions: dict[str, str]


class DatasetEntry(TypedDict, total=False):
    """What is known of a data set."""

    label: Required[str]
    fingerprint: Required[str]
    texts: int
    split: str
    split_texts: int
    sampling: Sampling
    offers: list[str]
    skipped: Skipped


class Predicted(TypedDict):
    """How often a model predicts each class, by number, on `texts` drawn from those `of` the split."""

    classes: dict[str, int]
    texts: int
    of: int
    seconds: float


class Mark(TypedDict):
    """Of which texts a model's entry speaks: how many, how they were taken, and a hash of how some of them are read."""

    texts: int
    sampling: Sampling
    probe: str


class ModelEntry(TypedDict, total=False):
    """What is known of a model on a data set."""

    label: Required[str]
    fingerprint: Required[str]
    truncated_texts: Required[int]
    dtype: str
    hardware: str
    training: Report
    link: Link
    notes: dict[str, dict[str, float]]
    checks: dict[str, float | list[float]]
    performance: dict[str, float]
    predicted: Predicted
    unknown_tokens: float
    skipped: Skipped
    said: list[str]
    read: Mark
    reading: list[str]


class Source(TypedDict, total=False):
    """Where imported attributions come from."""

    file: str
    format: str
    method: str | None
    texts: int
    dataset: str
    model: str


class Manifest(TypedDict, total=False):
    """What is known of a run: models are named with their data set."""

    versions: dict[str, str]
    datasets: dict[str, DatasetEntry]
    models: dict[str, ModelEntry]
    imported: dict[str, Source]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run or board; empty if it has none yet.

    Raises:
        UserError: it cannot be read, or a field is not as it must be.
    """
    path = folder / NAME
    try:
        manifest: Manifest = read_json(path, Manifest, nan=True)  # what explainers note may be NaN
    except MissingFileError:
        return {}
    for name, entry in manifest.get("models", {}).items():
        if (fault := _wrong_performance(entry.get("performance", {}))) is not None:
            raise UserError(f"{path}: models.{name}.performance {fault}.")
        entry["label"] = _label(name.partition(" on ")[0], entry["label"])
        if "predicted" in entry and (fault := _wrong_predicted(entry["predicted"])) is not None:
            raise UserError(f"{path}: models.{name}.predicted {fault}.")
    return manifest


def sampling_of(entry: DatasetEntry) -> Sampling:
    """How the texts of a data set were drawn; older manifests do not say so, and they were drawn at random."""
    if "sampling" in entry:
        return entry["sampling"]
    return "all" if "split_texts" in entry and entry.get("texts") == entry["split_texts"] else "random"


def _wrong_predicted(predicted: Predicted) -> str | None:
    """What is wrong with how often classes are predicted."""
    for name, count in predicted["classes"].items():
        if not (name.isascii() and name.isdecimal() and len(name) < 10 and name == str(int(name))):
            return f"names the class {short(name)}, which is no number of one"
        if count < 1:
            return f"says {count} of class {name}, which is less than 1"
    if not 0 < sum(predicted["classes"].values()) <= predicted["texts"] <= predicted["of"]:
        return "counts more classes than texts, more texts than there are, or none"
    if not 0 <= predicted["seconds"] < math.inf:
        return f"says {predicted['seconds']} of seconds, which is no duration"
    return None


def _label(model: str, written: str) -> str:
    """The label of a named model as it is now: parameters that came later may have to be said of older ones."""
    now = spec.label("model", model)
    return now if now.partition("(")[0] == written.partition("(")[0] else written


def _wrong_performance(performance: Mapping[str, float]) -> str | None:
    """What is wrong with how well a model did: it must say of how many texts, and what chance would have done."""
    by = [name for name in (*ACCURACIES, "R²") if name in performance]
    needed = [*by, *["chance"] * any(name in performance for name in ACCURACIES), *["labelled"] * bool(by)]
    for name in needed:
        value: Any = performance.get(name)
        if value is None or not math.isfinite(value):
            return f"says {value} of {name}, which is no number"
    return None
