"""What runs hold of next-token questions with known evidence: for each model, paradigm by paradigm, and their mean.

Reciprocal ranks r and chance levels C are in the parts of `evidence_mrr` (docs/metrics.md); what is above chance,
Σ(r − C)/Σ(1 − C), is made of them here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faithbench.errors import UserError
from faithbench.paper.matching import is_named, value_of
from faithbench.plugins import spec
from faithbench.records.kinds import kind_of
from faithbench.records.manifest import perplexities
from faithbench.records.results import CELL, Panel, label, named, panels, read
from faithbench.records.seeds import without_seed
from faithbench.records.store import Store
from faithbench.statistics.paired_tests import paired_means
from faithbench.statistics.performance import accuracy_interval
from faithbench.statistics.stratified import Strata
from faithbench.tables.cautions import left_out
from faithbench.tables.ranking import Ranking, ranking

METRIC = "evidence_mrr"
MRR, ADJUSTED = METRIC, f"{METRIC}(adjusted=True)"
RIGHT, RIGHT_ADJUSTED = f"{METRIC}(right=True)", f"{METRIC}(adjusted=True, right=True)"
CHANCE, RIGHT_CHANCE = "chance", "chance where right"
FIXED = 10**12  # texts from which the shares of paradigms are known: they are fixed
MACRO = "macro mean"


@dataclass(frozen=True)
class Accuracy:
    """How often a model is right on a paradigm, in percent, with its exact interval; NaN where it is not known.

    `gap` is by how much good continuations are likelier than bad ones, in percent; `chance` what a guess has.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    gap: float = math.nan
    chance: float = 50.0

    @property
    def is_above_chance(self) -> bool:
        """Whether the whole interval is."""
        return self.low > self.chance


@dataclass(frozen=True)
class Score:
    """The mean of an explainer, with its interval over n items, and its rank group; 0 for no rank."""

    mean: float
    low: float
    high: float
    n: int
    group: int


@dataclass(frozen=True)
class Below:
    """By how much the best explainer is above another, over the items of both, and the Holm-corrected p of that.

    p is of all pairs of explainers; NaN where the pair is not tested.
    """

    best: str
    difference: float
    p: float


@dataclass(frozen=True)
class Paradigm:
    """One data set, or one kind of its questions, or the mean over several: what was measured, and the model's worth.

    Args:
        name: what tells it from the others; `MACRO` for a mean.
        dataset: its identity.
        panel: of the explainers, by `MRR` and the others.
        accuracy: of the model.
        is_ranked: whether explainers are ranked: not where the model is not shown to be above chance.
        skipped: a sentence on items that were left out.
        members: how many data sets.
    """

    name: str
    dataset: str
    panel: Panel
    accuracy: Accuracy
    is_ranked: bool
    skipped: str = ""
    members: int = 1

    @cached_property
    def ranks(self) -> Ranking | None:
        """Of the explainers; None where they are not ranked."""
        return ranking(self.panel) if self.is_ranked else None

    @cached_property
    def below(self) -> Mapping[tuple[str, str], Below]:
        """By explainer and metric, how far the best one is above each other; nothing where explainers are not ranked.

        Of `MRR`, and of the items that the model gets right.
        """
        return {} if self.ranks is None else dict(chain(*(self._below(self.ranks, each) for each in (MRR, RIGHT))))

    def _below(self, ranks: Ranking, metric: str) -> Iterator[tuple[tuple[str, str], Below]]:
        if metric not in self.panel.metrics:
            return
        panel, place = self.panel, self.panel.metrics.index(metric)
        means = panel.means[:, place]
        others = [each for each in np.argsort(-means, kind="stable") if math.isfinite(means[each])]
        best, others = others[:1], others[1:]
        pairs = np.array([[*best, other] for other in others], dtype=np.int64).reshape(-1, 2)
        gaps = paired_means(panel.values[:, :, place], panel.adjusted[:, :, place], pairs)
        for other, gap in zip(others, gaps, strict=True):
            p = float(ranks.p[best[0], other, place])
            yield (panel.explainers[other], metric), Below(panel.explainers[best[0]], float(gap), p)

    @cached_property
    def scores(self) -> Mapping[tuple[str, str], Score]:
        """By explainer and metric, of those that were measured."""
        places = np.argwhere(self.panel.present.any(axis=0))
        found, means, counts = self.panel.intervals(places), self.panel.means, (self.panel.weights > 0).sum(axis=0)
        return {
            (self.panel.explainers[e], self.panel.metrics[m]): Score(
                float(means[e, m]),
                float(found.low[i]),
                float(found.high[i]),
                int(counts[e, m]),
                int(self.ranks.groups[e, m]) if self.ranks is not None else 0,
            )
            for i, (e, m) in enumerate(places)
        }

    def most(self, metric: str) -> int:
        """On how many items the explainers have values by a metric."""
        return max((each.n for (_, name), each in self.scores.items() if name == metric), default=0)

    def level(self, metric: str) -> float:
        """The mean of what is the same for all explainers, of the one with most items."""
        found = [each for (_, name), each in self.scores.items() if name == metric and each.n]
        return max(found, key=lambda each: each.n).mean if found else math.nan


@dataclass(frozen=True)
class Block:
    """The paradigms of one family, such as those of BLiMP, of one model; `macro` are their means, if they have some.

    `perplexity` is the model's on validation texts, as its training reported it, and `perplexity_before` that of the
    conventional model that it was converted from; NaN where it did not.
    """

    model: str
    family: str
    paradigms: tuple[Paradigm, ...]
    macro: tuple[Paradigm, ...]
    perplexity: float = math.nan
    perplexity_before: float = math.nan

    @property
    def explainers(self) -> list[str]:
        """Of all paradigms."""
        return sorted({explainer for each in self.paradigms for explainer in each.panel.explainers})


def known_evidence(folders: Sequence[Path | str]) -> pd.DataFrame:
    """The records of `evidence_mrr` in runs, of the weights and data that these name now.

    Raises:
        UserError: there are none.
    """
    records = read(folders)
    records = records[named(records, folders)]
    records = records[[is_named(str(each), METRIC) for each in records["metric"]]]
    if records.empty:
        raise UserError(
            f"the runs hold no {METRIC}, which the table of decoders shows; measure it on data with known evidence: "
            f"faithbench run --metric {METRIC}."
        )
    return records


def blocks_of(records: pd.DataFrame, folders: Sequence[Path | str]) -> list[Block]:
    """What records of `evidence_mrr` say; models that differ in their seed alone are one.

    Args:
        records: which.
        folders: of the runs that they are from.
    """
    entries = _entries(folders)
    groups: dict[tuple[str, str], list[Panel]] = {}
    for panel in panels(by_kind(measured(records), entries)):
        dataset = panel.key["dataset"].partition("\n")[0]
        family = spec.parse(dataset)[0] if _is_spec(dataset) else dataset
        groups.setdefault((panel.key["model"], family), []).append(panel)
    return [_block(model, family, each, entries) for (model, family), each in sorted(groups.items())]


def measured(records: pd.DataFrame) -> pd.DataFrame:
    """Records of `evidence_mrr` as those of ranks, of what is above chance, and of chance; means over seeds.

    Each is made of the parts, whichever form of the metric was measured, and the plain one is taken first.
    """
    parts = [list(each) if each is not None and len(each) == 2 else [math.nan] * 2 for each in records["parts"]]
    rank, chance = np.array(parts, dtype=np.float64).reshape(-1, 2).T
    forms = {full: [bool(value_of("metric", full, key)) for key in ("adjusted", "right")] for full in records["metric"]}
    adjusted, right = np.array([forms[full] for full in records["metric"]]).T
    values = pd.to_numeric(records["value"]).to_numpy(dtype=np.float64, na_value=np.nan)
    rank = np.where(adjusted | np.isfinite(rank), 100 * rank, values)  # older records have no parts
    names = records["unit"].astype(str)
    units = names.where(records["target"] == 0, names + " [" + records["target"].astype(str) + "]")
    frame = records.assign(model=records["model"].map(without_seed), unit=units, right=right)
    frame = frame.assign(rank=rank, chance=100 * chance, adjusted=adjusted).sort_values("adjusted", kind="stable")
    frame = frame.drop_duplicates([*CELL[:-1], "right", "unit"])
    return pd.concat([_over_seeds(frame, *each) for each in FORMS], ignore_index=True)


FORMS = (
    (MRR, False, "rank"),
    (ADJUSTED, False, "above"),
    (CHANCE, False, "chance"),
    (RIGHT, True, "rank"),
    (RIGHT_ADJUSTED, True, "above"),
    (RIGHT_CHANCE, True, "chance"),
)


def by_kind(frame: pd.DataFrame, entries: Sequence[tuple[str, str, Any]]) -> pd.DataFrame:
    """Each kind of questions as a data set of its own, behind a line break, where manifests tell kinds apart."""
    told = {(model, dataset) for model, dataset, entry in entries if entry.get("kinds")}
    names = [
        f"{dataset}\n{kind_of(str(unit))}" if (model, dataset) in told else dataset
        for model, dataset, unit in zip(frame["model"], frame["dataset"], frame["unit"], strict=True)
    ]
    return frame.assign(dataset=names)


def _over_seeds(frame: pd.DataFrame, metric: str, right: bool, what: str) -> pd.DataFrame:
    """Records of one of them, the mean over trainings where there are several."""
    frame = frame[frame["right"] == right]
    least = 1 - frame["chance"] / 100
    value = 100 * (frame["rank"] - frame["chance"]) / (100 - frame["chance"]) if what == "above" else frame[what]
    weight = (least if what == "above" else pd.Series(1.0, frame.index)).where(np.isfinite(value), 0.0)
    frame = frame.assign(value=value.where(weight > 0, 0.0) * weight, weight=weight, failed=frame["error"].notna())
    if what != "rank":
        frame = frame[np.isfinite(frame["chance"]) | frame["failed"] | frame["value"].notna()]
    keys = ["dataset", "dataset_fingerprint", "model", "explainer", "unit"]
    sums = frame.groupby(keys, sort=False)[["value", "weight", "failed"]].agg(
        value=("value", "sum"), weight=("weight", "sum"), trainings=("weight", "size"), failed=("failed", "all")
    )
    found = sums.reset_index().assign(metric=metric, model_fingerprint="", target=0, against=None)
    values = (found["value"] / found["weight"]).where(found["weight"] > 0)
    return found.assign(
        value=values,
        weight=found["weight"] / found["trainings"],
        error=pd.Series("failed", found.index).where(found["failed"], None),
    )


def _block(model: str, family: str, found: Sequence[Panel], entries: Sequence[tuple[str, str, Any]]) -> Block:
    pairs = [panel.key["dataset"].partition("\n") for panel in found]
    datasets = list(dict.fromkeys(data for data, _, _ in pairs))
    whole = dict(zip(datasets, _names(datasets), strict=True))
    names = [
        (kind if len(whole) == 1 else f"{whole[data]}, {kind}") if kind else whole[data] for data, _, kind in pairs
    ]
    paradigms = tuple(_paradigm(panel, name, entries) for panel, name in zip(found, names, strict=True))
    ranked = [each for each in paradigms if each.is_ranked]
    macro = [ranked] * (len(ranked) > 1) + [list(paradigms)] * (len(paradigms) > max(1, len(ranked)))
    told = [perplexities(entry) for name, _, entry in entries if name == model] or [(math.nan, math.nan)]
    own, before = (_mean([each for each in values if math.isfinite(each)]) for values in zip(*told, strict=True))
    return Block(model, family, paradigms, tuple(map(macro_mean, macro)), own, before)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _paradigm(panel: Panel, name: str, entries: Sequence[tuple[str, str, Any]]) -> Paradigm:
    dataset, _, kind = panel.key["dataset"].partition("\n")
    mine = [entry for model, data, entry in entries if (model, data) == (panel.key["model"], dataset)]
    told = [entry.get("kinds", {}).get(kind, {}) if kind else entry.get("performance", {}) for entry in mine]
    accuracy = _accuracy([each for each in told if "accuracy" in each])
    skipped = next((left_out(entry["skipped"]) for entry in mine if entry.get("skipped")), "")
    return Paradigm(name, dataset, panel, accuracy, accuracy.is_above_chance, skipped)


def _accuracy(found: Sequence[Mapping[str, float]]) -> Accuracy:
    """Of one training, or the mean over several, with the interval that one training's items give."""
    if not found:
        return Accuracy()
    value, n = float(np.mean([each["accuracy"] for each in found])), min(int(each["labelled"]) for each in found)
    gaps = [each.get("probability gap", math.nan) for each in found]
    low, high = accuracy_interval(round(value * n / 100), n)
    return Accuracy(value, low, high, n, float(np.mean(gaps)), max(each.get("chance", 50.0) for each in found))


def macro_mean(paradigms: Sequence[Paradigm]) -> Paradigm:
    """The mean over paradigms, each of which counts alike: their items are drawn from each, and tests are over items.

    Of explainers that were measured on all of them. What is above chance is so of the means: with C and MRR the macro
    means, (MRR − C)/(1 − C).
    """
    every = [each.panel for each in paradigms]
    explainers = tuple(name for name in every[0].explainers if all(name in panel.explainers for panel in every))
    metrics = tuple(name for name in every[0].metrics if all(name in panel.metrics for panel in every))
    cut = [_cut(panel, explainers, metrics) for panel in every]
    texts = tuple(f"{number} {text}" for number, panel in enumerate(every) for text in panel.texts)
    values, weights = (np.concatenate([getattr(each, name) for each in cut]) for name in ("values", "weights"))
    of_texts = np.repeat(np.arange(len(every)), [len(panel.texts) for panel in every])
    strata = Strata(of_texts, np.full(len(every), 1 / len(every)), FIXED)
    key = {**every[0].key, "dataset": ""}
    defined = weights > 0
    usable = strata.usable(defined.reshape(len(texts), -1)).reshape(defined.shape[1:])  # else a mean of other paradigms
    values, weights = np.where(usable, values, np.nan), np.where(usable, weights, 0.0)
    panel = Panel(key, texts, explainers, metrics, values, weights, weights > 0, np.zeros_like(defined), strata)
    accuracy = Accuracy(
        float(np.mean([each.accuracy.value for each in paradigms])),
        n=sum(each.accuracy.n for each in paradigms),
        gap=float(np.mean([each.accuracy.gap for each in paradigms])),
    )
    ranked = all(each.is_ranked for each in paradigms)
    return Paradigm(MACRO, "", panel, accuracy, ranked, members=len(paradigms))


def _cut(panel: Panel, explainers: Sequence[str], metrics: Sequence[str]) -> Panel:
    """Some explainers and metrics of a panel."""
    rows, columns = [panel.explainers.index(each) for each in explainers], [panel.metrics.index(m) for m in metrics]
    arrays = {name: getattr(panel, name)[:, rows][:, :, columns] for name in ("values", "weights", "present", "failed")}
    return replace(panel, explainers=tuple(explainers), metrics=tuple(metrics), **arrays)


def _names(datasets: Sequence[str]) -> list[str]:
    """What tells data sets of one name apart: the value of the only parameter in which they differ, or their labels."""
    labels = [label("dataset", each) for each in datasets]
    given = [spec.parse(each)[2] if _is_spec(each) else {} for each in datasets]
    apart = [key for key in {key for each in given for key in each} if len({repr(e.get(key)) for e in given}) > 1]
    values = [str(value_of("dataset", each, apart[0])) for each in datasets] if len(apart) == 1 else labels
    return values if len(set(values)) == len(datasets) and all(values) else labels


def _is_spec(dataset: str) -> bool:
    try:
        spec.parse(dataset)
    except UserError:
        return False
    return True


def _entries(folders: Sequence[Path | str]) -> list[tuple[str, str, Any]]:
    """What manifests say of each model, without its seed, on each data set."""
    found = []
    for folder in folders:
        for place, entry in Store(Path(folder)).manifest().get("models", {}).items():
            model, _, dataset = place.partition(" on ")
            found.append((without_seed(model), dataset, entry))
    return found
