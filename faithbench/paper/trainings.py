"""What the manifests of runs say of trainings: accuracies in percent, steps, hardware."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from faithbench.errors import UserError
from faithbench.paper.matching import source_of, value_of
from faithbench.plan import Training
from faithbench.plugins.naming import build_dataset
from faithbench.records.store import Store
from faithbench.training.settings import LR, MLM_LR

PUBLISHED = Training(epochs=5, precision="float32")
WORDS = {"limit": "all texts", "eval_limit": "accuracies on all texts"}  # for None


@dataclass(frozen=True)
class TrainedModel:
    """What is known of a model that was run on a data set."""

    model: str
    dataset: str
    fingerprint: str
    hardware: str
    report: Mapping[str, object]

    def number(self, *keys: str) -> float:
        """A number in the report; NaN if it is not there."""
        value: object = self.report
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def differing(model: TrainedModel) -> list[str]:
    """The settings that are not the paper's, with the paper's; epochs that a model's name gives are those of a row."""
    rate = _rate(source_of(model.dataset))
    named = ("epochs",) if value_of("model", model.model, "epochs") else ()
    found = _apart(model.report, rate, named)
    start = model.report.get("start")
    if isinstance(start, Mapping):
        mine = _apart(start, MLM_LR if start.get("start") == "mlm" else rate, ("epochs",))
        found += [f"{each} in the first phase" for each in mine]
    return found


def _rate(dataset: str) -> float | None:
    """The published learning rate; None for a data set that is not to be had."""
    try:
        return build_dataset(dataset).traits.lr or LR
    except UserError:
        return None


def _apart(report: Mapping[str, object], lr: float | None, named: Sequence[str]) -> list[str]:
    """The settings of a phase that are not the published ones, but for those that are named."""
    published = replace(PUBLISHED, lr=lr)
    settings = report.get("training")
    if not isinstance(settings, Mapping):
        return []
    return [
        f"{name}={there!r} (the paper: {WORDS[name] if value is None else value})"
        for name, value, there in published.differences(settings)
        if name in settings and name not in named and (value is not None or name in WORDS)
    ]


def trained_models(folders: Sequence[Path]) -> tuple[TrainedModel, ...]:
    """Those of all runs, each once, with its report if one of them has it."""
    found = sorted(_read(folders), key=lambda each: bool(each.report))
    return tuple({(each.model, each.dataset, each.fingerprint): each for each in found}.values())


def _read(folders: Sequence[Path]) -> Iterator[TrainedModel]:
    for folder in folders:
        for name, entry in Store(folder).manifest().get("models", {}).items():
            model, _, dataset = name.partition(" on ")
            yield TrainedModel(
                model, dataset, entry["fingerprint"], entry.get("hardware", ""), entry.get("training", {})
            )
