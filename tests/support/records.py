"""Records and runs by hand, for tests of what is made from them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from faithbench.records.store import Store
from faithbench.types import Record

COMP, SUFF = "comprehensiveness(protocol=strict)", "sufficiency(protocol=strict)"  # higher and lower is better
ENTROPY = "entropy(part=absolute, normalised=False)"  # no better or worse


def record(value: float, text: int, **changes: object) -> Record:
    fields = {
        "dataset": "planted",
        "dataset_fingerprint": "d",
        "model": "conv-tiny(seed=42)",
        "model_fingerprint": "m",
        "explainer": "occlusion",
        "metric": COMP,
        "version": "1.1",
        "unit": str(text),
        "target": 1,
        "value": value,
        "parts": (value,),
        "weight": 1.0,
        "seconds": 0.1,
        "rows": 3,
    }
    return Record(**{**fields, **changes})


def column(values: Sequence[float], **changes: object) -> list[Record]:
    """A record for each text."""
    return [record(float(value), text, **changes) for text, value in enumerate(values)]


def run_of(folder: Path, records: Sequence[Record], **entry: Mapping[str, object]) -> Path:
    """A run's folder with these records; `entry` adds to what the manifest says of each model.

    The manifest names the weights and data of the last record of each model and data set.
    """
    store = Store(folder).open()
    store.add([], records)
    store.flush()
    models = {
        f"{r.model} on {r.dataset}": {
            "label": "conv-tiny",
            "fingerprint": r.model_fingerprint,
            "truncated_texts": 0,
            **entry,
        }
        for r in records
    }
    datasets = {r.dataset: {"label": r.dataset, "fingerprint": r.dataset_fingerprint} for r in records}
    store.write_text("manifest.json", json.dumps({"models": models, "datasets": datasets}))
    store.write_text("plan.toml", 'datasets = ["planted"]\nmodels = ["conv-tiny"]\n')
    return folder
