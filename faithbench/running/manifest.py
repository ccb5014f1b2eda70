"""What a run's manifest says of models and data sets."""

import platform
from typing import Any, cast

import torch

from faithbench.interfaces import Classifier
from faithbench.models.tokenizers import tokenizer_fingerprint
from faithbench.records.fingerprints import weights_of
from faithbench.records.manifest import DatasetEntry, Manifest, ModelEntry, Skipped, predictions
from faithbench.records.store import Store
from faithbench.running.knowledge import Knowledge, key_of
from faithbench.running.scoring import Scoring
from faithbench.running.texts import MOST_OUTPUTS
from faithbench.tables.cautions import skipped_entry
from faithbench.training.hardware import hardware, versions

OF_TEXTS = (
    "truncated_texts",
    "performance",
    "kinds",
    "unknown_tokens",
    "repeated",
    "skipped",
    "said",
    "read",
)  # of the texts that were read


def note(store: Store, scoring: Scoring, known: Knowledge, done: bool = False) -> None:
    """Writes down what is known of a model on a data set; what explainers noted once all its texts are scored."""
    texts, model, setup = scoring.texts, scoring.model, scoring.setup
    if (told := _what_replaces(store, scoring)) is not None:
        setup.say(told)
    data: DatasetEntry = {
        "label": texts.dataset.label,
        "fingerprint": texts.fingerprint,
        "texts": len(texts.examples),
        "split": texts.split,
        "split_texts": texts.split_texts,
        "sampling": texts.sampling,
        "offers": sorted(texts.offers),
    }
    if texts.skipped:
        data["skipped"] = cast(Skipped, skipped_entry(texts.skipped, texts.split_texts + len(texts.skipped)))
    if texts.notes:
        data["notes"] = list(texts.notes)
    entry = {
        "label": model.label,
        "fingerprint": model.fingerprint,
        "dtype": setup.dtype,
        "truncated_texts": known.truncated,
        "hardware": hardware(torch.device(setup.device)),
        "training": dict(model.report),
        "link": model.classifier.task.link,
        "notes": scoring.remaining.mean_notes() if done else {},
        "checks": dict(known.checks),
        **known.more,
    }
    entry |= named_classes(model.classifier)
    if reading := list(getattr(model.classifier, "notes", ())):
        entry["reading"] = reading
    if "predicted" in entry:
        entry["predicted"] = entry.pop("predicted")  # last, as it was when it was counted

    def change(manifest: Manifest) -> None:
        before = manifest.get("models", {}).get(key_of(scoring))
        _keep_predictions(before, entry)
        _keep_larger(manifest.get("datasets", {}).get(texts.dataset.identity), before, data, entry)
        _keep_notes(before, entry)
        manifest["versions"] = versions() | {"python": platform.python_version()}
        manifest.setdefault("datasets", {})[texts.dataset.identity] = data
        manifest.setdefault("models", {})[key_of(scoring)] = cast(ModelEntry, entry)

    store.change_manifest(change)


def _what_replaces(store: Store, scoring: Scoring) -> str | None:
    """What is said where records of this name, but of another dtype or other weights, are in the run already."""
    before = store.manifest().get("models", {}).get(key_of(scoring))
    if before is None or before["fingerprint"] == scoring.model.fingerprint:
        return None
    name = f"{scoring.model.label} on {scoring.texts.dataset.label}"
    shown = "tables show two models, and a paper's tables and figures what was run last alone"
    if before["dtype"] != scoring.setup.dtype:
        return (
            f"{name} was run in {before['dtype']} here before and is run in {scoring.setup.dtype} now: {shown}. Give "
            "all plans of a run the same dtype, or another folder (--out)."
        )
    return f"{name} has other weights than when it was run here before: {shown}."


def named_classes(classifier: Classifier) -> dict[str, Any]:
    """The names of a model's classes, where it has some, and what its tokenizer does, as a fingerprint."""
    names = [str(name) for name in getattr(classifier, "class_names", ())[:MOST_OUTPUTS]]
    tokenizer = tokenizer_fingerprint(classifier)
    return ({"class_names": names} if names else {}) | ({"tokenizer": tokenizer} if tokenizer else {})


def _keep_larger(
    data_before: DatasetEntry | None, before: ModelEntry | None, data: DatasetEntry, entry: dict[str, Any]
) -> None:
    """What was found on more texts of the same data stays where fewer of them are run again."""
    if data_before is None or data_before["fingerprint"] != data["fingerprint"]:
        return
    if data_before.get("texts", 0) > data["texts"] and "sampling" in data_before:
        data["texts"], data["sampling"] = data_before["texts"], data_before["sampling"]
    read = before.get("read") if before is not None and before["fingerprint"] == entry["fingerprint"] else None
    if before is not None and read is not None and read["texts"] > entry["read"]["texts"]:
        for name in OF_TEXTS:
            entry.pop(name, None)
        entry |= {name: value for name, value in before.items() if name in OF_TEXTS}


def _keep_notes(before: ModelEntry | None, entry: dict[str, Any]) -> None:
    """What explainers noted whose attributions are not here: of a published board that is gone on with."""
    if before is not None and before["fingerprint"] == entry["fingerprint"]:
        entry["notes"] = {**before.get("notes", {}), **entry["notes"]}


def _keep_predictions(before: ModelEntry | None, entry: dict[str, Any]) -> None:
    """What the same weights predict in other precisions goes from an earlier entry into the one in its place."""
    if before is None or weights_of(before["fingerprint"]) != weights_of(entry["fingerprint"]):
        return
    said = predictions(before)
    mine = said.pop(entry["fingerprint"], None)
    if mine is not None:
        entry.setdefault("predicted", mine)
    if said:
        entry["other_precisions"] = said
