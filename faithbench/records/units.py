"""What records are of, texts or neurons, and what runs say of neurons beside their records."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from faithbench.activations import UNIT
from faithbench.records.columns import PLACE
from faithbench.records.neuron_parts import parts_of
from faithbench.records.results import CELL, installed
from faithbench.records.store import Store

TEXT = "text"
NUMBERS = ("density", "bits", "layer", "version", "error")
FACTS = ["units", "chosen", "alive", "l0", "density"]  # of a site, as manifests say


def unit_of(dataset: str) -> str:
    """What a data set's records are of: `text` or `neuron`."""
    found = installed("dataset", dataset)
    if found is not None:
        return found.traits.unit
    return UNIT if dataset.startswith("neurons(") else TEXT


def is_of_neurons(dataset: str) -> bool:
    """Whether a data set's records are of neurons."""
    return unit_of(dataset) == UNIT


def units_of(datasets: Iterable[object]) -> str:
    """What records of several data sets are of, in the plural: `texts`, `neurons` or `texts or neurons`."""
    found = {unit_of(str(name)) for name in datasets}
    return " or ".join(f"{name}s" for name in (TEXT, UNIT) if name in found) or f"{TEXT}s"


def of_neurons(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows whose data set's records are of neurons."""
    known = {name: is_of_neurons(str(name)) for name in frame["dataset"].unique()}
    return frame[frame["dataset"].map(known).astype(bool)]


def densities(folders: Sequence[Path | str]) -> pd.DataFrame:
    """The share of tokens on which each neuron fires, 0 to 1: `PLACE`, `unit`, `layer` and `density`."""
    return _kept(folders, "neurons", [*PLACE, "unit", "layer", "density"])


def lengths(folders: Sequence[Path | str]) -> pd.DataFrame:
    """How long descriptions are: `PLACE`, `explainer`, `unit` and `bits`, of those that did not fail."""
    found = _kept(folders, "descriptions", [*CELL[:-1], "unit", "bits", "version", "error"])
    return found[found["bits"].notna()].drop(columns=["version", "error"])


def sites(folders: Sequence[Path | str]) -> pd.DataFrame:
    """What manifests say of the layers of models whose neurons were looked at, a row for each site.

    Columns: `dataset`, `model`, `model_fingerprint`, `site`, `layer`; `units` of the site, `chosen` of them, and
    `alive` of those, which fire at all in the documents that are scored; `l0`, the mean number of all units that are
    active at a token, and its share of all, `density`; `documents` and `tokens`, and the model's `loss` in nats per
    token.
    """
    rows = [row for folder in folders for row in _sites(Store(Path(folder)).manifest().get("models", {}))]
    names = ["dataset", "model", "model_fingerprint", "site", "layer", *FACTS, "documents", "tokens", "loss"]
    return pd.DataFrame(rows, columns=names).drop_duplicates(ignore_index=True)


def _sites(models: Mapping[str, Any]) -> Iterator[dict[str, object]]:
    for name, entry in models.items():
        model, _, dataset = name.partition(" on ")
        told = entry.get("units", {})
        for site in told.get("sites", ()):
            yield {
                "dataset": dataset,
                "model": model,
                "model_fingerprint": entry["fingerprint"],
                "site": site["name"],
                "layer": site["layer"],
                **{fact: site.get(fact) for fact in FACTS},
                **{fact: told.get(fact) for fact in ("documents", "tokens", "loss")},
            }


def _kept(folders: Sequence[Path | str], kind: str, columns: Sequence[str]) -> pd.DataFrame:
    parts = [part.to_pandas() for folder in folders for part in parts_of(Store(Path(folder)), kind, columns)]
    if not parts:
        return pd.DataFrame(columns=list(columns))
    identity = [name for name in columns if name not in NUMBERS]
    return pd.concat(parts, ignore_index=True).drop_duplicates(identity, keep="last", ignore_index=True)
