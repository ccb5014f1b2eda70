"""What a run's manifest says of data sets, models and versions, as a schema, and the one place that reads it.

What it says besides is left as it is.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from typing_extensions import Required, TypedDict

from faithbench.errors import UserError, short
from faithbench.plugins import spec
from faithbench.schemas import MissingFileError, read_json
from faithbench.types import Link

NAME = "manifest.json"
ACCURACIES = ("accuracy", "subset accuracy")
DOCUMENTS = "seqpg"  # data sets that are put together from the texts of another
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
    notes: list[str]


class Predicted(TypedDict):
    """How often a model predicts each class, by number, on `texts` drawn from those `of` the split."""

    classes: dict[str, int]
    texts: int
    of: int
    seconds: float


class Repeated(TypedDict):
    """How many texts are read just as one before them, of how many."""

    count: int
    of: int


class Mark(TypedDict):
    """Of which texts a model's entry speaks: how many, how they were taken, and a hash of how some of them are read."""

    texts: int
    sampling: Sampling
    probe: str


class SiteEntry(TypedDict, total=False):
    """A module whose outputs are neurons: how many of all `units` were `chosen`, and how many of these are `alive`.

    A unit is alive that fires at all in the windows that descriptions are scored on. `l0` is how many of all of them
    fire on a token, on average, and `density` that as a share.
    """

    name: Required[str]
    layer: Required[int]
    chosen: Required[int]
    alive: Required[int]
    units: int
    l0: float
    density: float


class UnitsEntry(TypedDict, total=False):
    """In what neurons were looked at: documents and tokens of all windows; and the model's `loss` there, in nats."""

    documents: Required[int]
    tokens: Required[int]
    sites: Required[list[SiteEntry]]
    loss: float


class ModelEntry(TypedDict, total=False):
    """What is known of a model on a data set; what its weights predict in other precisions, by fingerprint."""

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
    kinds: dict[str, dict[str, float]]
    predicted: Predicted
    other_precisions: dict[str, Predicted]
    unknown_tokens: float
    repeated: Repeated
    skipped: Skipped
    said: list[str]
    read: Mark
    reading: list[str]
    class_names: list[str]
    tokenizer: str
    units: UnitsEntry  # of a run on neurons


class Moved(TypedDict):
    """By how much values of a text are moved: mean, mean absolute and largest difference."""

    mean: float
    absolute: float
    largest: float


class Precision(TypedDict):
    """The precision in which a model was measured on a data set, and what was tried before, against float32.

    Of weights and data it says the fingerprints, `limit` in points, and of each precision how it moves each measure of
    so many texts.
    """

    dtype: str
    weights: str
    data: str
    limit: float
    unit: str
    texts: int
    measured: dict[str, dict[str, Moved]]


class Source(TypedDict, total=False):
    """Where imported attributions come from."""

    file: str
    format: str
    method: str | None
    texts: int
    dataset: str
    model: str


class Look(TypedDict):
    """A look at how wide the leading differences are: after how many texts, the level of one interval, the widest.

    `planned` says whether it is one of those that all texts would take; `width` is None where one is not known yet.
    """

    texts: int
    level: float
    width: float | None
    planned: bool


class LeadingEntry(TypedDict):
    """The leader of a metric less another explainer, or the mean of the only one, with its interval."""

    model: str
    metric: str
    leader: str
    other: str | None
    mean: float
    low: float
    high: float


class UntilEntry(TypedDict):
    """How texts of a data set were added until the leading differences were narrow, or why that ended otherwise."""

    fingerprint: str
    until: float
    split_texts: int
    planned: int
    looks: list[Look]
    ended: Literal["", "narrow", "limit", "split"]
    leading: list[LeadingEntry]


class Manifest(TypedDict, total=False):
    """What is known of a run: models are named with their data set, precisions by what was asked for besides."""

    versions: dict[str, str]
    datasets: dict[str, DatasetEntry]
    until: dict[str, UntilEntry]  # by data set
    models: dict[str, ModelEntry]
    imported: dict[str, Source]
    precision: dict[str, dict[str, Precision]]


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
    documents = [data for data in manifest.get("datasets", {}) if is_of_documents(data)]
    for name, entry in manifest.get("models", {}).items():
        if (fault := _wrong_performance(entry.get("performance", {}))) is not None:
            raise UserError(f"{path}: models.{name}.performance {fault}.")
        entry["label"] = _label(name.partition(" on ")[0], entry["label"])
        if any(is_on(name, data) for data in documents):  # no answer is right of them; older runs took one
            entry.pop("performance", None)
        for field, predicted in _predicted(entry):
            if (fault := _wrong_predicted(predicted)) is not None:
                raise UserError(f"{path}: models.{name}.{field} {fault}.")
    return manifest


def is_of_documents(dataset: str) -> bool:
    """Whether a data set is of documents, put together from texts of several classes."""
    return dataset.partition("(")[0] == DOCUMENTS


def is_on(place: str, dataset: str) -> bool:
    """Whether the model of a manifest's entry is on this data set; its own name may hold an " on " as well."""
    return place.endswith(f" on {dataset}")


def sampling_of(entry: DatasetEntry) -> Sampling:
    """How the texts of a data set were drawn; older manifests do not say so, and they were drawn at random."""
    if "sampling" in entry:
        return entry["sampling"]
    return "all" if "split_texts" in entry and entry.get("texts") == entry["split_texts"] else "random"


def predictions(entry: ModelEntry) -> dict[str, Predicted]:
    """How often the model predicts each class, by fingerprint: as it was run last, and in other precisions before."""
    own = {entry["fingerprint"]: entry["predicted"]} if "predicted" in entry else {}
    return {**entry.get("other_precisions", {}), **own}


def perplexities(entry: ModelEntry) -> tuple[float, float]:
    """A language model's perplexity of validation texts, and of the conventional one that it was converted from.

    As its training reported them; NaN for what that does not say.
    """
    training: Any = entry.get("training", {})
    return _perplexity(training), _perplexity(training.get("start"))


def _perplexity(report: Any) -> float:
    found = report.get("validation") if isinstance(report, Mapping) else None
    value = found.get("perplexity") if isinstance(found, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else math.nan


def _predicted(entry: ModelEntry) -> Iterator[tuple[str, Predicted]]:
    """The fields that say so."""
    if "predicted" in entry:
        yield "predicted", entry["predicted"]
    for fingerprint, predicted in entry.get("other_precisions", {}).items():
        yield f"other_precisions.{short(fingerprint)}", predicted


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
