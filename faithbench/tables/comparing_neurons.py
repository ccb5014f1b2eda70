"""Neurons of several models side by side: what each model is, its control's, and differences with intervals.

Neurons of two models are not the same ones, so their means are compared as those of two samples, and not in pairs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.records.columns import PLACE
from faithbench.records.results import kind, label, labels, read
from faithbench.records.seeds import without_seed
from faithbench.records.units import densities, of_neurons
from faithbench.statistics.density import Gap, firing, matched, matched_gap, unmatched_gap
from faithbench.statistics.intervals import intervals, weighted_mean
from faithbench.tables.ranking import direction

CONTROL = "control"  # kind of scores that judge others
CONTROLS = ("untrained", "topk", "sae")  # models that are made of another one
MOST = 3  # base models that are compared with each other where no two are of one size
FAMILIES = ("crate-", "gpt-relu-")
NUMBERS = ("density", "value", "weight")
LEADERS = ("random_only", "top_and_random", "quantile", "full")  # the scores by which neurons are ordered, if measured
Key = tuple[str, str]  # score and describer


@dataclass(frozen=True)
class Role:
    """What a model is in a study: itself, or a control made of another, without seeds and with them."""

    control: str
    base: str
    made_of: str = ""


def leading_score(metrics: Sequence[str]) -> str | None:
    """The score by which neurons are ordered: of random windows, else of the others; of one the shortest form."""
    names, known = labels("metric", metrics), {name: place for place, name in enumerate(LEADERS)}
    scores = [name for name in metrics if kind(name) != CONTROL and direction(name)]
    order = sorted(scores, key=lambda name: (known.get(name.partition("(")[0], len(known)), len(names[name]), name))
    return next(iter(order), None)


def role_of(model: str) -> Role:
    """A model's role; those that differ in seeds alone have one."""
    try:
        name, args, parameters = spec.parse(model)
    except UserError:  # a folder or hub id
        return Role("", model)
    inner = parameters.get("model", args[0] if args else None)
    if name in CONTROLS and isinstance(inner, str):
        return Role(name, bare(inner), inner)
    return Role("", bare(model))


def bare(model: str) -> str:
    """A model's spec without seeds, inner ones as well; a folder or hub id stays as it is."""
    try:
        name, args, parameters = spec.parse(model)
    except UserError:
        return model
    if args and not (name in CONTROLS and len(args) == 1):
        return model
    return without_seed(spec.write(name, {"model": args[0]} | parameters) if args else model)


class Neurons:
    """The scores of neurons in runs on one data set, by model, score and describer.

    Args:
        records: those without errors, with `bare` model, `role`, `density` and the `weight` of values in means.
    """

    def __init__(self, records: pd.DataFrame) -> None:
        self.records = records
        self._groups = dict(iter(records.groupby(["bare", "metric", "explainer"], observed=True)))

    @property
    def bases(self) -> list[str]:
        """The models that are no controls."""
        return sorted({str(name) for name in self.records.loc[self.records["control"] == "", "bare"].unique()})

    def controls(self, control: str) -> list[tuple[str, str]]:
        """Models of a kind of control, each with the model that it is made of, if that was measured too."""
        found = self.records[self.records["control"] == control]
        pairs = found[["bare", "base"]].drop_duplicates().itertuples(index=False, name=None)
        return sorted((str(made), str(base)) for made, base in pairs if base in self.bases)

    @property
    def scores(self) -> list[str]:
        """The metrics that are no controls."""
        return [name for name in sorted(map(str, self.records["metric"].unique())) if kind(name) != CONTROL]

    def metrics_of(self, control: str) -> list[tuple[str, str]]:
        """Metrics of a kind of control, each with the score that it is of, if that was measured too."""
        names = sorted(str(name) for name in self.records["metric"].unique() if _named(str(name)) == control)
        pairs = [(name, _inner(name)) for name in names]
        return [(name, inner) for name, inner in pairs if inner in set(self.records["metric"])]

    @property
    def describers(self) -> list[str]:
        """All that there are."""
        return sorted(map(str, self.records["explainer"].unique()))

    def of(self, model: str, score: str, describer: str) -> pd.DataFrame:
        """The records of neurons, trainings that differ in their seed one after the other; empty for none."""
        return self._groups.get((model, score, describer), self.records.iloc[:0])

    def values(self, model: str, score: str, describer: str) -> Float[np.ndarray, "neurons"]:
        """Their scores."""
        return numbers_of(self.of(model, score, describer), "value")

    def weights(self, model: str, score: str, describer: str) -> Float[np.ndarray, "neurons"]:
        """Theirs in means."""
        return numbers_of(self.of(model, score, describer), "weight")

    def gap(self, first: str, second: str, score: str, describer: str) -> Gap:
        """Mean of one model's neurons less that of another's."""
        return gap_of(self.of(first, score, describer), self.of(second, score, describer))

    def beside_base(self, control: str, base: str, score: str, describer: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The records of a control, and of the model that it is made of: in the layers that the control has neurons of.

        Of several trainings it is the one that the control is made of, if that was measured.
        """
        mine, theirs = self.of(control, score, describer), self.of(base, score, describer)
        alike = theirs[theirs["target"].isin(mine["target"].unique())]
        own = alike[alike["model"].isin(mine["made_of"].unique())]
        return mine, alike if own.empty else own

    def matched_gap(self, first: str, second: str, score: str, describer: str) -> Gap:
        """The same in pairs of like density, among neurons that fire and have a score."""
        sides = []
        for model in (first, second):
            own = self.of(model, score, describer)
            density, values, weights = (numbers_of(own, name) for name in NUMBERS)
            usable = firing(np.nan_to_num(density), values)
            sides.append((density[usable], values[usable], weights[usable]))
        pairs = matched(sides[0][0], sides[1][0])
        return matched_gap(
            *(np.stack([sides[0][part][pairs[:, 0]], sides[1][part][pairs[:, 1]]], axis=1) for part in (1, 2))
        )

    def mean(self, model: str, score: str, describer: str) -> Gap:
        """Mean of the defined scores with its interval over neurons."""
        values, weights = self.values(model, score, describer)[:, None], self.weights(model, score, describer)[:, None]
        if not (n := int(np.isfinite(values).sum())):
            return Gap(np.nan, np.nan, np.nan, 0)
        found = intervals(values, weights)
        return Gap(float(weighted_mean(values, weights)[0]), float(found.low[0]), float(found.high[0]), n)

    def more(self, model: str, score: str, other: str, describer: str) -> Gap:
        """Mean of a score less another one of the same neurons, where both are defined."""
        keys = ["model", "model_fingerprint", "unit"]
        sides = [self.of(model, name, describer).set_index(keys)[["value", "weight"]] for name in (score, other)]
        both = sides[0].join(sides[1].add_suffix("_other"), how="inner")
        return matched_gap(
            both[["value", "value_other"]].to_numpy(dtype=np.float64),
            both[["weight", "weight_other"]].to_numpy(dtype=np.float64),
        )

    def pairs(self) -> list[tuple[str, str]]:
        """Models to be compared: CRATE and GPT of one size; failing that all of a few with each other."""
        sizes: dict[str, dict[str, str]] = {}
        for model in self.bases:
            for prefix in FAMILIES:
                if model.startswith(prefix):
                    sizes.setdefault(label("model", model).removeprefix(prefix), {})[prefix] = model
        found = [(own[FAMILIES[0]], own[FAMILIES[1]]) for own in sizes.values() if len(own) == len(FAMILIES)]
        return found or (list(combinations(self.bases, 2)) if len(self.bases) <= MOST else [])


def gap_of(one: pd.DataFrame, other: pd.DataFrame) -> Gap:
    """Mean of some neurons' scores less that of others'."""
    values, weights = ([numbers_of(each, name) for each in (one, other)] for name in ("value", "weight"))
    return unmatched_gap(values[0], values[1], (weights[0], weights[1]))


def numbers_of(frame: pd.DataFrame, name: str) -> Float[np.ndarray, "neurons"]:
    """A column of records."""
    return frame[name].to_numpy(dtype=np.float64)


def _named(metric: str) -> str:
    return metric.partition("(")[0]


def _inner(metric: str) -> str:
    """The score inside of a control."""
    _, args, parameters = spec.parse(metric)
    return str(parameters.get("score", args[0] if args else ""))


def neurons_of(folders: Sequence[Path | str]) -> Iterator[tuple[str, Neurons]]:
    """The neurons of each data set in runs, with what is known of how often they fire."""
    every = of_neurons(read(folders))
    every = every[every["error"].isna()]
    known = densities(folders).drop(columns="layer")
    every = every.merge(known, on=[*PLACE, "unit"], how="left")
    roles = {name: role_of(str(name)) for name in every["model"].unique()}
    weights = pd.to_numeric(every["weight"]).fillna(1.0)
    every = every.assign(
        bare=every["model"].map({name: bare(str(name)) for name in roles}),
        base=every["model"].map({name: role.base for name, role in roles.items()}),
        control=every["model"].map({name: role.control for name, role in roles.items()}),
        made_of=every["model"].map({name: role.made_of for name, role in roles.items()}),
        density=pd.to_numeric(every["density"]),
        weight=weights,
        value=pd.to_numeric(every["value"]).where(weights > 0),
    )
    for (dataset, _), group in every.groupby(["dataset", "dataset_fingerprint"], observed=True):
        yield str(dataset), Neurons(group.sort_values(["model", "target", "unit"]))
