"""Records of neurons by hand, and a run that holds them, with what it keeps of each neuron and its descriptions."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from records import record, run_of

from faithbench.records.columns import CELL
from faithbench.types import Record

DATA = "neurons(dataset=planted-grammar, per_layer=128, site='', documents=5000, window=64, split=train, seed=0)"
CRATE, GPT = "crate-tiny(seed=42)", "gpt-relu-tiny(seed=42)"
SCORE, TOPK = "random_only(windows=200, seed=0)", "token_topk(k=20)"
CONSTANT_NEURON, CONSTANT_SIMULATION = (0.0, 1.0, 64.0), (1.0, 0.0, 64.0)  # parts of undefined correlations


def unit(layer: int, number: int) -> str:
    return f"model.layers.{layer}.mlp.act:{number}"


def neuron(value: float, layer: int = 0, number: int = 0, **changes: object) -> Record:
    parts = (1.0, 1.0, 64.0) if math.isfinite(value) else CONSTANT_NEURON
    names = {"dataset": DATA, "model": CRATE, "explainer": TOPK, "metric": SCORE, "parts": parts}
    return record(float(value), 0, unit=unit(layer, number), target=layer, **{**names, **changes})


def neurons(scores: Sequence[Sequence[float]], **changes: object) -> list[Record]:
    """A record for each neuron, of each layer's scores."""
    return [neuron(v, layer, number, **changes) for layer, own in enumerate(scores) for number, v in enumerate(own)]


def sites(*alive: int, units: int = 256, chosen: int = 4, l0: float = 32.0) -> dict[str, object]:
    """What a manifest says of a model's layers, of each how many of the chosen units are alive."""
    told = [
        {"name": f"model.layers.{layer}.mlp.act", "layer": layer, "units": units, "chosen": chosen, "alive": living}
        for layer, living in enumerate(alive)
    ]
    return {
        "documents": 10,
        "tokens": 640,
        "loss": 1.5,
        "sites": [{**s, "l0": l0, "density": l0 / units} for s in told],
    }


def keep(
    folder: Path, records: Iterable[Record], density: Mapping[tuple[str, str], float], bits: float = 100.0
) -> None:
    """Puts what a run keeps beside its records: of each neuron by model and unit its density; of descriptions bits."""
    places = {tuple(getattr(r, name) for name, _ in CELL): r for r in records}
    units = {(r.dataset, r.dataset_fingerprint, r.model, r.model_fingerprint, r.unit): r for r in records}
    told = [
        {
            **dict(zip([name for name, _ in CELL[:4]], key[:4], strict=True)),
            "unit": key[4],
            "layer": r.target.output,
            "number": int(r.unit.split(":")[1]),
            "site": r.unit.split(":")[0],
            "density": density.get((r.model, r.unit), 0.1),
            "mean": 0.1,
            "deviation": 1.0,
            "largest": 2.0,
            "tokens": 640,
            "windows": json.dumps([]),
        }
        for key, r in units.items()
    ]
    described = [
        {
            **dict(zip([name for name, _ in CELL], place, strict=True)),
            "version": "1",
            "unit": key[4],
            "text": "fires on 'a'",
            "bits": bits,
            "simulated": json.dumps([]),
            "error": None,
        }
        for place in places
        for key in units
        if key[:4] == place[:4]
    ]
    for kind, rows in (("neurons", told), ("descriptions", described)):
        (folder / kind).mkdir()
        pq.write_table(pa.Table.from_pylist(rows), folder / kind / "1.parquet")


def run_of_neurons(
    folder: Path, records: Sequence[Record], density: Mapping[tuple[str, str], float] | None = None, **units: object
) -> Path:
    """A run of neurons with all that it keeps; `units` is what the manifest says of each model's layers."""
    run_of(folder, records, **({"units": units} if units else {}))
    keep(folder, records, density or {})
    return folder
