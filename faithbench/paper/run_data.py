"""What runs hold for tables and figures of the paper: records, trainings, times; each found by its spec."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from faithbench.paper.cell_records import Claim, Group, groups, holds, twice
from faithbench.paper.matching import are_documents, is_dataset, of_models, same, source_of
from faithbench.paper.trainings import TrainedModel, trained_models
from faithbench.paths import as_paths
from faithbench.records.columns import IDENTITY, PLACE
from faithbench.records.fingerprints import weights_of
from faithbench.records.results import CELL, named, predicted_classes, read
from faithbench.records.seeds import without_seed
from faithbench.records.store import Store
from faithbench.shown import counted


@dataclass(frozen=True)
class RunData:
    """The records, trainings and times of runs. `*` in the name of a model stands for the backbone.

    `outdated` are the records of weights, precision or data that a later run replaced.
    """

    folders: tuple[Path, ...]
    records: pd.DataFrame
    outdated: pd.DataFrame
    trainings: tuple[TrainedModel, ...]
    backbone: str = ""

    @property
    def models(self) -> list[str]:
        """The specs of all models."""
        return list(dict.fromkeys([*self.records["model"], *(each.model for each in self.trainings)]))

    def model(self, wanted: str) -> str:
        """The spec of a model with the backbone in its place."""
        return wanted.replace("*", self.backbone)

    def is_model(self, full: str, wanted: str) -> bool:
        """Whether a model is the one that is wanted, whatever its seed, and its masking where all models have one."""
        return same("model", full, self.model(wanted), self._telling)

    @cached_property
    def _telling(self) -> Callable[[str], bool]:
        return of_models(self.models)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The records of the backbone's models, put together over seeds."""
        return groups(self.records, predicted_classes(self.folders))

    @property
    def left_out(self) -> tuple[str, ...]:
        """A sentence on outdated records, if there are any."""
        count = len(self.outdated)
        records = counted(count, "record is", "records are")
        return (f"{records} left out: of weights, precision or data that a later run replaced.",) * bool(count)

    def claims(
        self, model: str, dataset: str, documents: bool, explainer: Callable[[str], bool], metric: str
    ) -> list[Claim]:
        """Everything in the records that fits a cell.

        Args:
            model: spec, with `*`.
            dataset: spec.
            documents: of the Sequence Pointing Game, made of that data set.
            explainer: says whether it is one that is wanted.
            metric: spec.
        """
        fits = are_documents if documents else is_dataset
        return [
            Claim(group, name, measure)
            for group in self.groups
            if self.is_model(group.model, model) and fits(group.dataset, dataset)
            for name in group.seeds.panel.explainers
            if explainer(name)
            for measure in group.seeds.panel.metrics
            if same("metric", measure, metric) and holds(group.seeds.panel, name, measure)
        ]

    def claimed(self, claim: Claim) -> pd.DataFrame:
        """The records that a claim is made of."""
        keys = {
            (*(panel.key[name] for name in PLACE), claim.explainer, claim.metric)
            for panel in claim.group.panels
            if holds(panel, claim.explainer, claim.metric)
        }
        return self.records[pd.MultiIndex.from_frame(self.records[CELL]).isin(keys)]

    def trained(self, model: str, dataset: str) -> list[TrainedModel]:
        """The trainings of a model on a data set, one for each seed, in whatever precision their rows were computed.

        Raises:
            UserError: there are two of one seed, or they differ in more than the seed.
        """
        found: dict[str, TrainedModel] = {}
        for training in self.trainings:
            if self.is_model(training.model, model) and is_dataset(source_of(training.dataset), dataset):
                other = found.setdefault(training.model, training)
                if weights_of(other.fingerprint) != weights_of(training.fingerprint):
                    raise twice(*(f"{each.model} (weights {each.fingerprint})" for each in (other, training)))
        apart = list({without_seed(each): each for each in found}.values())
        if len(apart) > 1:
            raise twice(*apart[:2])
        return list(found.values())

    def reported(self, model: str, dataset: str, *keys: str) -> list[float]:
        """A number in the reports of a model's trainings on a data set, of those that have it."""
        numbers = [training.number(*keys) for training in self.trained(model, dataset)]
        return [number for number in numbers if math.isfinite(number)]

    @cached_property
    def times(self) -> pd.DataFrame:
        """The attributions that were computed, of each component's latest version."""
        frames = [Store(folder).read("attributions") for folder in self.folders]
        frame = pd.concat([each for each in frames if not each.empty] or frames[:1], ignore_index=True)
        frame = frame[frame["error"].isna() & named(frame, self.folders)]
        order = frame["version"].map(lambda version: tuple(map(int, version.split(".")))).sort_values(kind="stable")
        keys = [name for name in IDENTITY["attributions"] if name != "version"]
        return frame.loc[order.index].drop_duplicates(keys, keep="last")


def run_data_of(folders: Sequence[Path | str]) -> RunData:
    """What runs hold, of all backbones.

    Raises:
        UserError: a folder is no run, or two runs hold different records of one identity.
    """
    paths = tuple(as_paths("folders", folders))
    records = read(paths)
    current = named(records, paths)
    return RunData(paths, records[current], records[~current], trained_models(paths))
