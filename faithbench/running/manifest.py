"""What a run's manifest says of models and data sets."""

import platform
from collections.abc import Mapping
from typing import Any

import torch

from faithbench.records.store import Store
from faithbench.running.ground_truth import WITH, WITHOUT, ground_truth_holds, trigger_accuracies
from faithbench.running.scoring import Scoring
from faithbench.training.fine_tuning import hardware, versions


def ground_truth_checks(scoring: Scoring, manifest: Mapping[str, Any]) -> Mapping[str, float]:
    """What tells whether the model uses what was planted in the data; nothing where nothing was.

    Args:
        scoring: the model on the data.
        manifest: what it says of the same weights and data is taken.
    """
    texts, model = scoring.texts, scoring.model
    if not texts.dataset.traits.without:
        return {}
    entry = manifest.get("models", {}).get(_key(scoring), {})
    data = manifest.get("datasets", {}).get(texts.dataset.identity, {})
    same = (entry.get("fingerprint"), data.get("fingerprint")) == (model.fingerprint, texts.fingerprint)
    found: Mapping[str, float] = entry.get("checks", {}) if same else {}
    if not found:
        found = trigger_accuracies(model.classifier, texts.sample, texts.dataset.object.without(texts.split))
    if found and not ground_truth_holds(found):
        scoring.setup.say(
            f"{model.label} does not rely on what was planted in {texts.dataset.label}, so the ground truth does not "
            f"hold: accuracy {found[WITH]:.1f} % with it, {found[WITHOUT]:.1f} % without."
        )
    return found


def note(store: Store, scoring: Scoring, truncated: int, checks: Mapping[str, float], done: bool = False) -> None:
    """Writes down what is known of a model on a data set; what explainers noted once all its texts are scored."""
    texts, model, setup = scoring.texts, scoring.model, scoring.setup
    data = {
        "label": texts.dataset.label,
        "fingerprint": texts.fingerprint,
        "texts": len(texts.examples),
        "split": texts.split,
        "split_texts": texts.split_texts,
        "offers": sorted(texts.offers),
    }
    entry = {
        "label": model.label,
        "fingerprint": model.fingerprint,
        "dtype": setup.dtype,
        "truncated_texts": truncated,
        "hardware": hardware(torch.device(setup.device)),
        "training": dict(model.report),
        "notes": scoring.mean_notes() if done else {},
        "checks": dict(checks),
    }

    def change(manifest: dict[str, Any]) -> None:
        manifest["versions"] = versions() | {"python": platform.python_version()}
        manifest.setdefault("datasets", {})[texts.dataset.identity] = data
        manifest.setdefault("models", {})[_key(scoring)] = entry

    store.change_manifest(change)


def _key(scoring: Scoring) -> str:
    return f"{scoring.model.identity} on {scoring.texts.dataset.identity}"
