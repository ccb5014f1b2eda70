"""Records of a model on a data set, and which of them claim a cell of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from faithbench.errors import UserError
from faithbench.records.manifest import Predicted
from faithbench.records.results import Panel, label, panels
from faithbench.records.seeds import Seeds, together, without_seed
from faithbench.statistics.intervals import Intervals


@dataclass(frozen=True)
class Group:
    """The trainings of one model on one data set, which differ in their seed alone."""

    model: str
    dataset: str
    panels: tuple[Panel, ...]

    @cached_property
    def seeds(self) -> Seeds:
        """All of them as one."""
        return together(self.panels)[0]

    @cached_property
    def intervals(self) -> Intervals:
        """Of every explainer by every metric, flat."""
        panel = self.seeds.panel
        return panel.intervals(np.argwhere(np.ones(panel.present.shape[1:], dtype=bool)))


@dataclass(frozen=True)
class Claim:
    """What a group holds for a cell."""

    group: Group
    explainer: str
    metric: str

    @cached_property
    def place(self) -> tuple[int, int]:
        """Explainer and metric as places in the group's panel."""
        panel = self.group.seeds.panel
        return panel.explainers.index(self.explainer), panel.metrics.index(self.metric)

    @property
    def texts(self) -> int:
        """How many have a value."""
        explainer, metric = self.place
        return int((self.group.seeds.panel.weights[:, explainer, metric] > 0).sum())


def groups(records: pd.DataFrame, predicted: Mapping[tuple[str, ...], Predicted]) -> tuple[Group, ...]:
    """The records, put together over seeds; `predicted` says how often models predict each class."""
    found: dict[tuple[str, ...], list[Panel]] = {}
    for panel in panels(records, predicted=predicted):
        place = without_seed(panel.key["model"]), panel.key["dataset"], panel.key["dataset_fingerprint"]
        found.setdefault(place, []).append(panel)
    return tuple(Group(model, dataset, tuple(each)) for (model, dataset, _), each in found.items())


def holds(panel: Panel, explainer: str, metric: str) -> bool:
    """Whether there are records of an explainer by a metric."""
    if explainer not in panel.explainers or metric not in panel.metrics:
        return False
    return bool(panel.present[:, panel.explainers.index(explainer), panel.metrics.index(metric)].any())


def only(claims: Sequence[Claim]) -> Claim | None:
    """The one claim on a cell, None if there is none.

    Raises:
        UserError: there are two.
    """
    if not claims:
        return None
    if len(claims) > 1:
        raise twice(*_told_apart(*claims[:2]))
    claim = claims[0]
    seen: dict[str, str] = {}
    for panel in claim.group.panels:
        if holds(panel, claim.explainer, claim.metric):
            model, weights = panel.key["model"], panel.key["model_fingerprint"]
            if seen.setdefault(model, weights) != weights:
                name = f"{claim.metric} of {claim.explainer} on {model}"
                raise twice(f"{name} (weights {seen[model]})", f"{name} (weights {weights})")
    return claim


def most_texts(claims: Sequence[Claim]) -> list[Claim]:
    """Those of the explainer that ran on most texts."""
    best = max(claims, key=lambda claim: (claim.texts, claim.explainer), default=None)
    return [claim for claim in claims if best is not None and claim.explainer == best.explainer]


def twice(one: str, other: str) -> UserError:
    """The error for two records that are of one result."""
    return UserError(f"two records for one result: {one} and {other}; give runs that hold only one of them.")


def _told_apart(one: Claim, other: Claim) -> tuple[str, str]:
    """Two claims, named short if that tells them apart."""
    names = [
        f"{label('metric', each.metric)} of {label('explainer', each.explainer)} on "
        f"{label('model', each.group.model)}, {label('dataset', each.group.dataset)}"
        for each in (one, other)
    ]
    if names[0] == names[1]:
        names = [
            f"{each.metric} of {each.explainer} on {each.group.model}, {each.group.dataset} "
            f"(content {each.group.panels[0].key['dataset_fingerprint']})"
            for each in (one, other)
        ]
    return names[0], names[1]
