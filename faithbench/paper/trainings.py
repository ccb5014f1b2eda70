"""What the manifests of runs say of trainings: accuracies in percent, steps, hardware. It is not to be trusted."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithbench.paper.matching import value_of
from faithbench.store import Store

PUBLISHED = {"epochs": 5, "limit": None, "max_length": 512, "eval_limit": None}  # settings of the paper's trainings
TRAINED = ("epochs=5", "all texts", "max_length=512")


@dataclass(frozen=True)
class Training:
    """What is known of a model that was run on a data set."""

    model: str
    dataset: str
    fingerprint: str
    hardware: str
    report: Mapping[str, Any]

    def number(self, *keys: str) -> float:
        """A number in the report; NaN if it is not there."""
        value: Any = self.report
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def differing(training: Training) -> list[str]:
    """The settings that are not the paper's; epochs that a model's name gives are those of a row."""
    settings = training.report.get("training")
    if not isinstance(settings, Mapping):
        return []
    named = value_of("model", training.model, "epochs")
    return [
        f"{key}={settings[key]!r}"
        for key, published in PUBLISHED.items()
        if key in settings and settings[key] != published and not (key == "epochs" and named)
    ]


def trainings(folders: Sequence[Path]) -> tuple[Training, ...]:
    """Those of all runs, each once, with its report if one of them has it."""
    found = sorted(_read(folders), key=lambda each: bool(each.report))
    return tuple({(each.model, each.dataset, each.fingerprint): each for each in found}.values())


def _read(folders: Sequence[Path]) -> Iterator[Training]:
    for folder in folders:
        entries = Store(folder).manifest().get("models")
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(entry, Mapping):
                model, _, dataset = name.partition(" on ")
                fingerprint, hardware = (str(entry.get(key, "")) for key in ("fingerprint", "hardware"))
                report = entry.get("training")
                yield Training(model, dataset, fingerprint, hardware, report if isinstance(report, Mapping) else {})
