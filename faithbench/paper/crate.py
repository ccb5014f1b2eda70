"""Table 2 of arXiv 2410.16443: how well descriptions of neurons predict, of CRATE and GPT-2, over layers.

Its rows and columns with the numbers of runs. What is published was scored by language models and stands in columns of
its own: the two are never compared.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from faithbench.errors import UserError
from faithbench.paper.paradigms import FIXED
from faithbench.paper.published import number, published
from faithbench.plugins import spec
from faithbench.records.results import label, read
from faithbench.records.seeds import without_seed
from faithbench.records.store import Store
from faithbench.statistics.stratified import Strata, stratified_intervals
from faithbench.tables.cautions import of_earlier_versions
from faithbench.tables.controls import controls
from faithbench.tables.parts import EMPTY, Cell, Column, Grid, Heading, Note, Number, Part, Signature, Title, Words
from faithbench.tables.signature import signature_of
from faithbench.tables.wording import MINUS, places_of
from faithbench.tables.writers import rendered

PAPER = "arXiv 2410.16443"
WHOSE = "Mistral-7B explains, Llama-2-7B simulates, Pile"
PUBLISHED = "published"
PROTOCOLS = ("top_and_random", "random_only", "quantile")
FAMILIES = {"crate": "CRATE", "gpt2": "GPT-2"}
PREFIXES = {"crate-": "crate", "gpt-relu-": "gpt2"}
DEEP = 6  # layers from which on the published means leave the last one out
PLACE = ["dataset", "dataset_fingerprint", "explainer", "metric", "layers", "size", "family"]
NUMBERS = ("mean", "variance", "last")
HEADS = {"mean": "mean", "variance": "variance", "last": "last layer"}


@dataclass(frozen=True)
class OverLayers:
    """Scores of one model over its layers, in percent: mean and variance over those that count, and the last layer."""

    mean: float
    variance: float
    last: float


def over_layers(scores: Float[np.ndarray, "layers"], drop_last: bool = True) -> OverLayers:
    """Mean and population variance of the layers' scores; those that are NaN do not count.

    Args:
        scores: from the first layer to the last.
        drop_last: leave the last of six or more layers out, as the published means do.
    """
    kept = scores[:-1] if drop_last and len(scores) >= DEEP else scores
    known = kept[np.isfinite(kept)]
    if not len(known):
        return OverLayers(math.nan, math.nan, float(scores[-1]))
    return OverLayers(float(known.mean()), float(known.var()), float(scores[-1]))


def published_layers() -> pd.DataFrame:
    """What is published of each layer: `model`, `layers`, `metric`, `layer`, `score` and `in_published_mean`."""
    found = published("crate_layers.csv")
    return found.assign(
        layers=found["layers"].astype(int), layer=found["layer"].astype(int), score=found["score"].map(number)
    )


def published_table() -> pd.DataFrame:
    """A row for each published pair of mean and variance: `metric`, `layers`, `family`, `mean`, `variance`, `last`.

    Numbers are as they are printed, texts; `last` is the score of the last layer, "" where it is not published.
    """
    table, layers = published("crate_table2.csv"), published("crate_layers.csv")
    rows = []
    for row in table.to_dict("records"):
        for metric in PROTOCOLS:
            for family in FAMILIES:
                own = layers[
                    (layers["model"] == family) & (layers["layers"] == row["layers"]) & (layers["metric"] == metric)
                ]
                name = f"{metric}_{family}"
                told = {"mean": row[name], "variance": row[f"{name}_var"], "last": own["score"].iloc[-1]}
                rows.append({"metric": metric, "layers": int(row["layers"]), "family": family, **told})
    return pd.DataFrame(rows)


def published_losses() -> dict[tuple[str, int], str]:
    """What is published of the loss in nats per token, by family and number of layers, as printed."""
    table = published("crate_loss.csv").set_index("model")
    return {(str(model), int(str(key)[1:])): str(table.at[model, key]) for model in table.index for key in table}


@dataclass(frozen=True)
class CrateTable:
    """What runs say in the rows and columns of Table 2: `cells` have a row for each of ours."""

    cells: pd.DataFrame
    losses: pd.DataFrame
    drop_last: bool
    notes: tuple[str, ...]
    signature: str = ""
    controls: tuple[Part, ...] = ()

    def frame(self, beside_paper: bool = False) -> pd.DataFrame:
        """A row for each data set, describer, score, number of layers, size and family of models.

        `mean` and `variance` over layers, in percent and its square, the mean with its interval (`low`, `high`) over
        neurons; `last`, the last layer's mean; `n` neurons with a value and `undefined` without, of `seeds` trainings;
        `mean_with_zeros`, in which those count as 0.
        `beside_paper` adds what is published as `published_mean`, `published_variance` and `published_last`.
        """
        found = self.cells.copy()
        if beside_paper:
            there = published_table().set_index(["metric", "layers", "family"])
            for name in NUMBERS:
                keys = zip(
                    map(_protocol, found["metric"]), found["layers"], found["family"], found["size"], strict=True
                )
                found[f"published_{name}"] = [
                    number(str(there.at[key[:3], name]))
                    if _is_published(key[3], key[1]) and key[:3] in there.index
                    else math.nan
                    for key in keys
                ]
        return found

    def render(self, format: str = "markdown", beside_paper: bool = False) -> str:
        """As `markdown`, `latex`, `html` or for a `terminal`, or `frame` as `csv`.

        Raises:
            UserError: another format.
        """
        return rendered(format, lambda: self.frame(beside_paper), lambda: self.document(beside_paper))

    def document(self, beside_paper: bool = False) -> list[Part]:
        """The table for people: a grid for each score, in the paper's rows.

        Describers of which no score is defined are left out, and what is published stands beside the first alone.
        """
        parts: list[Part] = []
        whose = f"; {PUBLISHED} ({WHOSE})" * beside_paper
        for (dataset, _, explainer), group in self.cells.groupby(PLACE[:3], sort=False):
            if not group["n"].any():
                continue
            beside = beside_paper and not parts
            told = f" on {label('dataset', str(dataset))}, described by {label('explainer', str(explainer))}"
            parts.append(Title(f"Table 2 of {PAPER}", told))
            for metric, rows in sorted(group.groupby("metric"), key=lambda pair: _order(str(pair[0]))):
                head = Heading(f"{label('metric', str(metric))}{whose if beside else ''}")
                parts += [head, _grid(str(metric), rows, beside)]
        several = self.losses["dataset"].nunique() > 1
        for dataset, group in self.losses.groupby("dataset"):
            on = f" on {label('dataset', str(dataset))}" * several
            parts += [Heading(f"loss, nats per token{on}{whose}"), _losses(group, beside_paper)]
        notes = map(Note, (*self._legend(beside_paper), *self.notes))
        return [*parts, *notes, *self.controls, Signature(self.signature)]

    def _legend(self, beside_paper: bool) -> Iterator[str]:
        yield (
            "Correlation of simulated with real activations, in percent: means over neurons of a layer, then mean and "
            "variance over layers (each layer counts alike; the variance is that of the layers, divided by their "
            "number). 95 % bootstrap intervals over neurons, drawn within each layer. L: layers. Undefined "
            "correlations are left out and counted, with the mean in which they are 0; what is empty was not run."
        )
        left = "is left out of means and variances, as in the published ones" if self.drop_last else "counts as others"
        yield f"The last layer of models with {DEEP} layers or more {left}; it stands beside."
        if beside_paper:
            yield (
                f"{PUBLISHED} ({WHOSE}): other descriptions, other models and other data, one training a size. They "
                "are not comparable with ours, and nothing here is ranked or tested against them."
            )


def crate_table(folders: Sequence[Path | str], drop_last: bool = True) -> CrateTable:
    """The table of CRATE's and GPT-2's neurons, of all `crate-…` and `gpt-relu-…` in runs; seeds are put together.

    Args:
        folders: of the runs.
        drop_last: leave the last of six or more layers out of means and variances.

    Raises:
        UserError: a folder is no run, or the runs hold no such neurons.
    """
    records = read(folders)
    every = records.assign(
        size=[_size(str(model)) for model in records["model"]],
        family=[_family(str(model)) for model in records["model"]],
    )
    scored = every["metric"].map(lambda metric: _order(str(metric))[0] < len(PROTOCOLS))
    kept = every[(every["family"] != "") & scored & every["error"].isna()]
    if kept.empty:
        raise UserError(
            "the runs hold nothing of what crate shows: neurons of crate-… or gpt-relu-… models, scored by "
            f"{', '.join(PROTOCOLS)}; leaderboards/paper/crate.toml is a plan of it."
        )
    kept = kept.assign(layers=kept.groupby([*PLACE[:2], "model"])["target"].transform("max") + 1)
    rows = [
        {**dict(zip(PLACE, key, strict=True)), **_numbers(group, drop_last)}
        for key, group in kept.groupby(PLACE, observed=True)
    ]
    cells = pd.DataFrame(rows).sort_values(PLACE, ignore_index=True)
    notes = tuple(of_earlier_versions(kept))
    losses = _known_losses(folders, cells)
    return CrateTable(cells, losses, drop_last, notes, signature_of(kept, folders), tuple(controls(folders)))


def _numbers(group: pd.DataFrame, drop_last: bool) -> dict[str, object]:
    """Mean and variance over layers of one model, or of several trainings, which count alike."""
    means = _means(group)
    found = over_layers(means.to_numpy(dtype=np.float64), drop_last)
    zeros = over_layers(_means(group.fillna({"value": 0.0})).to_numpy(dtype=np.float64), drop_last)
    layers = list(means.index)
    kept = layers[:-1] if drop_last and len(layers) >= DEEP else layers
    mine = group[group["target"].isin(kept)]
    values = mine["value"].to_numpy(dtype=np.float64)
    defined = np.isfinite(values)
    low, high = _interval(values[defined], mine.loc[defined, ["model", "target"]])
    return {
        "mean": found.mean,
        "low": low,
        "high": high,
        "variance": found.variance,
        "last": found.last,
        "n": int(defined.sum()),
        "undefined": int((~defined).sum()),
        "mean_with_zeros": zeros.mean,
        "seeds": int(group["model"].nunique()),
    }


def _means(group: pd.DataFrame) -> "pd.Series[float]":
    """Of each layer, trainings counting alike."""
    return group.groupby(["target", "model"], observed=True)["value"].mean().groupby("target").mean()


def _interval(values: Float[np.ndarray, "neurons"], places: pd.DataFrame) -> tuple[float, float]:
    """Of the mean over layers and trainings, each of which counts alike."""
    strata = places.groupby(["model", "target"], observed=True).ngroup().to_numpy()
    if not len(values):
        return math.nan, math.nan
    shares = np.full(strata.max() + 1, 1 / (strata.max() + 1))
    known, counted = Strata(strata, shares, FIXED), np.ones((len(values), 1), dtype=bool)
    if not known.usable(counted).all():
        return math.nan, math.nan
    found = stratified_intervals(values[:, None], np.ones((len(values), 1)), counted, known)
    return float(found.low[0]), float(found.high[0])


def _grid(metric: str, rows: pd.DataFrame, beside_paper: bool) -> Grid:
    """A row for each number of layers; ours of both families, and what is published of them."""
    printed = published_table().set_index(["metric", "layers", "family"])
    sizes = {(int(row["layers"]), str(row["size"])) for row in rows.to_dict("records")}
    if beside_paper:
        there = {layers for layers, size in sizes if _is_published(size, layers)}
        every = sorted(set(published_table()["layers"]))
        sizes |= {(layers, "") for layers in every if layers not in there}
    ours = {
        (int(row["layers"]), str(row["size"]), str(row["family"])): {str(name): row[name] for name in row}
        for row in rows.to_dict("records")
    }
    places = places_of(row["high"] - row["low"] for row in ours.values())
    grid = []
    for layers, size in sorted(sizes):
        row: list[Cell] = [Words(f"{layers}" if size in ("", f"{layers}l") else f"{layers} ({size})")]
        for family in FAMILIES:
            row += _ours(ours.get((layers, size, family)), places)
        for family in FAMILIES if beside_paper else ():
            key = (_protocol(metric), layers, family)
            shown = _is_published(size, layers) and key in printed.index
            row += [_printed(str(printed.at[key, name])) if shown else EMPTY for name in NUMBERS]
        grid.append(tuple(row))
    heads = [Column(f"{FAMILIES[family]} {HEADS[name]}", "ours") for family in FAMILIES for name in NUMBERS]
    heads += [Column(f"{FAMILIES[f]} {HEADS[n]}", PUBLISHED) for f in FAMILIES for n in NUMBERS] if beside_paper else []
    return Grid((Column("L"), *heads), tuple(grid), minus=MINUS)


def _ours(row: Mapping[str, Any] | None, places: int) -> list[Cell]:
    if row is None:
        return [EMPTY] * len(NUMBERS)
    remarks = [f"{row['n']:,} neurons"]
    if row["undefined"]:
        zeros = f"{row['mean_with_zeros']:.{places}f}".replace("-", MINUS)
        remarks.append(f"{row['undefined']:,} undefined, with which as 0 it is {zeros}")
    remarks += [f"{row['seeds']} trainings"] * (row["seeds"] > 1)
    mean = Number(row["mean"], places, row["low"], row["high"], remarks=tuple(remarks))
    return [mean, Number(row["variance"], 2), Number(row["last"], places)]


def _printed(text: str) -> Cell:
    """A published number, with the decimals that it has."""
    return Number(number(text), len(text.partition(".")[2])) if text else EMPTY


def _losses(losses: pd.DataFrame, beside_paper: bool) -> Grid:
    """Of each size the loss of both families."""
    printed, rows = published_losses(), []
    for key, group in losses.groupby(["layers", "size"]):
        layers, size = int(group["layers"].iloc[0]), str(key[1])
        own = dict(zip(group["family"], group["loss"], strict=True))
        row: list[Cell] = [Words(str(layers) if size == f"{layers}l" else f"{layers} ({size})")]
        row += [Number(own.get(family, math.nan), 3) for family in FAMILIES]
        known = [printed.get((family, layers), "") * _is_published(size, layers) for family in FAMILIES]
        rows.append((*row, *(map(_printed, known) if beside_paper else ())))
    heads = [Column(FAMILIES[family], "ours") for family in FAMILIES]
    heads += [Column(FAMILIES[family], PUBLISHED) for family in FAMILIES] if beside_paper else []
    return Grid((Column("L"), *heads), tuple(rows), minus=MINUS)


def _known_losses(folders: Sequence[Path | str], cells: pd.DataFrame) -> pd.DataFrame:
    """The losses that manifests say, of the evaluated windows of each data set; means over trainings."""
    layers = dict(zip(zip(cells["size"], cells["family"], strict=True), cells["layers"], strict=True))
    rows = []
    for folder in folders:
        for name, entry in Store(Path(folder)).manifest().get("models", {}).items():
            model, _, dataset = name.partition(" on ")
            place, loss = (_size(model), _family(model)), _units(entry).get("loss")
            if loss is not None and place in layers:
                rows.append((dataset, layers[place], *place, entry["fingerprint"], float(loss)))
    keys = ["dataset", "layers", "size", "family"]
    found = pd.DataFrame(rows, columns=[*keys, "model_fingerprint", "loss"])
    return found.drop_duplicates([*keys, "model_fingerprint"]).groupby(keys)["loss"].mean().reset_index()


def _units(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = entry.get("units", {})
    return found


def _family(model: str) -> str:
    return next((family for prefix, family in PREFIXES.items() if model.startswith(prefix)), "")


def _size(model: str) -> str:
    """What a model is called behind its family: `2l`, `tiny`, with parameters that are not the usual ones."""
    name = label("model", without_seed(model))
    return next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)


def _is_published(size: str, layers: int) -> bool:
    """Whether a size is one of the paper's, perhaps with another vocabulary or other data; or none of ours."""
    return size.partition("(")[0] in ("", f"{layers}l")


def _protocol(metric: str) -> str:
    return metric.partition("(")[0]


def _order(metric: str) -> tuple[int, str]:
    """For sorting scores; those that are none of the paper's come last: other protocols, forms and controls."""
    form = spec.parse(metric)[2].get("form", "pearson") if _protocol(metric) in PROTOCOLS else ""
    return (PROTOCOLS.index(_protocol(metric)) if form == "pearson" else len(PROTOCOLS)), metric
