"""Tables: pure functions of records. Every number is a mean over texts, made here and nowhere else."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from faithbench.records.results import CELL, Panel, any_twice, kind, label, panels, predicted_classes, read
from faithbench.records.seeds import Seeds, together
from faithbench.records.store import Store
from faithbench.records.units import is_of_neurons, of_neurons
from faithbench.tables.cautions import (
    cautions,
    not_by_label,
    of_data,
    of_earlier_versions,
    older_conversion,
    precision_said,
    trained_as,
    two_scales,
)
from faithbench.tables.controls import controls
from faithbench.tables.document import document
from faithbench.tables.equal_density import by_density as density_parts
from faithbench.tables.equal_density import density_frame
from faithbench.tables.layers import check_layers, with_sites
from faithbench.tables.looking import chosen_by_looking, leads, looked, not_corrected
from faithbench.tables.neurons import with_neurons
from faithbench.tables.parts import Part
from faithbench.tables.ranking import ranking
from faithbench.tables.signature import signature_of
from faithbench.tables.spreadsheet import csv
from faithbench.tables.writers import WRITERS, check_format, rendered

NOTES = {"token": "part of the tokens themselves", "position": "part of their places"}  # others are said as they are


def table(
    folders: Sequence[Path | str], by_class: bool = False, over_seeds: bool = False, by_layer: bool = False
) -> pd.DataFrame:
    """One row for each data set, model, explainer and metric of the runs.

    Columns: `dataset`, `dataset_fingerprint`, `model`, `model_fingerprint`, `explainer`, `metric` (identities); `kind`
    of the metric; `mean` over texts, `low` and `high` of its 95 % interval, and how `interval` was made; `n` texts with
    a value, `undefined` texts without, `failed` texts; `rank_group` of the explainer, from 1, and whether it is
    `tied_with_best`: paired tests, Holm-corrected (missing where the metric has no better or worse, and where the
    explainer was not measured on enough of the `ranked_on` texts; a test needs `texts_needed` to show anything);
    `equal_to`, the explainer that has the same scores on `equal_on` texts, and counts once together with it; whether
    the mean is `post_stratified` by the predicted class, and the `raw_mean` over the texts measured. Of several
    versions of a component only the latest counts. Where texts have several outputs explained, as those of a
    multi-label model may, these counts are of outputs, and `texts` is that of texts. See docs/statistics.md.
    Of neurons there are the columns of `tables.neurons.with_neurons`, and by layer those of `tables.layers.with_sites`.

    Args:
        folders: of the runs.
        by_class: apart for each class that was explained, the column `target`.
        over_seeds: models that differ in their seed alone are put together: means over `seeds` trainings, and
            `seed_deviation`, the standard deviation of the trainings' means; `seed_low` and `seed_high` are Student's
            95 % interval of the mean over trainings. `low` and `high` are those over texts.
        by_layer: neurons alone, apart for each layer of the model, the column `layer`.

    Raises:
        UserError: a folder is no run, two runs hold different records of one identity, or no neurons have layers.
    """
    return frame_of(folders, read(folders, slim=True), by_class, over_seeds, by_layer)


def frame_of(
    folders: Sequence[Path | str],
    records: pd.DataFrame,
    by_class: bool = False,
    over_seeds: bool = False,
    by_layer: bool = False,
) -> pd.DataFrame:
    """The same of records that were read.

    Raises:
        UserError: layers are asked for, and there are no neurons.
    """
    if by_layer:
        records, by_class = check_layers(records), True
    found = panels(records, by_class, predicted_classes(folders))
    seeds = together(found) if over_seeds else None
    parts = [_rows(each.panel, each) for each in seeds] if seeds is not None else [_rows(panel) for panel in found]
    frame = pd.DataFrame([row for part in parts for row in part])
    for name in ("rank_group", "ranked_on", "texts_needed", "equal_on"):
        frame[name] = frame[name].astype("Int64")
    frame["tied_with_best"] = (frame["rank_group"] == 1).astype("boolean").mask(frame["rank_group"].isna())
    if by_class:
        frame["target"] = frame["target"].astype(int)
    elif any_twice(records, [*CELL, "unit"]) and not over_seeds:
        frame = frame.merge(_texts(records), on=CELL)
    frame = with_neurons(frame, folders, over_seeds)
    if by_layer:
        frame = with_sites(frame.rename(columns={"target": "layer"}), folders, over_seeds)
        return frame.sort_values([*CELL, "layer"], ignore_index=True)
    return frame.sort_values([*CELL, "target"] if by_class else CELL, ignore_index=True)


def _texts(records: pd.DataFrame) -> pd.DataFrame:
    """How many texts there are of each cell."""
    counts = records.groupby(CELL, observed=True)["unit"].nunique().rename("texts").reset_index()
    return counts.astype(dict.fromkeys(CELL, str))


def _rows(panel: Panel, seeds: Seeds | None = None) -> list[dict[str, object]]:
    """A row for each cell of the panel that has records."""
    places = np.argwhere(panel.present.any(axis=0))  # explainer, metric
    found, means = panel.intervals(places), panel.means
    ranks = ranking(panel if seeds is None else seeds.ranked)
    raw, stratified = (panel.raw_means, panel.stratified) if seeds is None else (seeds.raw, seeds.stratified)
    counts = {
        "n": (panel.weights > 0).sum(axis=0),
        "failed": panel.failed.sum(axis=0),
        "records": panel.present.sum(axis=0),
    }
    rows = []
    for i, (explainer, metric) in enumerate(places):
        n, failed, records = (int(count[explainer, metric]) for count in counts.values())
        row = {
            **panel.key,
            "explainer": panel.explainers[explainer],
            "metric": panel.metrics[metric],
            "kind": kind(panel.metrics[metric]),
            "mean": means[explainer, metric],
            "low": found.low[i],
            "high": found.high[i],
            "interval": found.method[i],
            "raw_mean": raw[explainer, metric],
            "post_stratified": bool(stratified[explainer, metric]),
            "n": n,
            "undefined": records - n - failed,
            "failed": failed,
            **ranks.row(panel, explainer, metric),
        }
        if seeds is not None:
            row["seeds"] = int(seeds.count[explainer, metric])
            row["seed_deviation"] = seeds.deviation[explainer, metric]
            half = _half_width(row["seed_deviation"], row["seeds"])
            row["seed_low"], row["seed_high"] = row["mean"] - half, row["mean"] + half
        rows.append(row)
    return rows


def _half_width(deviation: float, count: int) -> float:
    """Of Student's 95 % interval of a mean; NaN of one value."""
    return float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count) if count > 1 else math.nan


def render(
    folders: Sequence[Path | str],
    format: str = "markdown",
    by_class: bool = False,
    over_seeds: bool = False,
    by_layer: bool = False,
    by_density: bool = False,
) -> str:
    """The table as `markdown`, `latex` or for a `terminal`, or tidy as `csv`.

    By density it is of neurons alone: by each score and describer means for each decile of how often neurons fire, and
    differences between models in pairs that fire as often. Models that differ in their seed alone are then one.

    Raises:
        UserError: another format, or no neurons for what is asked of them.
    """
    if by_density:
        return rendered(format, lambda: density_frame(folders), lambda: density_parts(folders))
    check_format(format)
    if format == "csv":
        return csv(table(folders, by_class, over_seeds, by_layer))
    return contents(folders, by_class, over_seeds, by_layer).render(format)


@dataclass(frozen=True)
class Contents:
    """What a table for people says: the numbers, what is known of the models, what must be said beside them.

    Of neurons there are `controls`.
    """

    frame: pd.DataFrame
    models: pd.DataFrame
    notes: tuple[str, ...]
    signature: str
    controls: tuple[Part, ...] = ()

    def render(self, format: str = "markdown") -> str:
        """As text in a format of `faithbench.tables.writers`."""
        return WRITERS[format](document(self.frame, self.models, self.notes, self.signature, self.controls))


def contents(
    folders: Sequence[Path | str], by_class: bool = False, over_seeds: bool = False, by_layer: bool = False
) -> Contents:
    """What the table of runs says, computed once.

    Raises:
        UserError: a folder is no run, or two runs hold different records of one identity.
    """
    records = read(folders, slim=True)
    told = (*notes(folders), *of_earlier_versions(records))
    frame = frame_of(folders, records, by_class, over_seeds, by_layer)
    shown = () if (by_class and not by_layer) or of_neurons(records).empty else tuple(controls(folders))
    return Contents(frame, models(folders), told, signature_of(records, folders), shown)


def models(folders: Sequence[Path | str]) -> pd.DataFrame:
    """What the manifests say of the models: test accuracies in percent, training texts, checks of the training.

    Of language models the `perplexity` on validation texts, of next-token questions the `probability gap` in percent,
    and where neurons were described the `loss here`, in nats per token of the windows that they were scored on.
    """
    rows = []
    for folder in folders:
        for name, entry in Store(Path(folder)).manifest().get("models", {}).items():
            training = entry.get("training", {})
            rows.append(
                {
                    "dataset": label("dataset", name.partition(" on ")[2]),
                    "model": entry["label"],
                    "test accuracy": training.get("test", {}).get("accuracy"),
                    "balanced accuracy": training.get("test", {}).get("balanced_accuracy"),
                    "perplexity": training.get("validation", {}).get("perplexity"),
                    "loss here": entry.get("units", {}).get("loss"),
                    "trained on texts": training.get("texts", {}).get("train"),
                    "texts cut": entry["truncated_texts"],
                    **_performance(entry.get("performance", {})),
                    **{check: _checked(value) for check, value in entry.get("checks", {}).items()},
                }
            )
    frame = pd.DataFrame(rows).drop_duplicates(ignore_index=True)
    return frame.astype({name: "Int64" for name in ("labelled texts", "trained on texts") if name in frame})


def _performance(found: Mapping[str, float]) -> dict[str, float]:
    """How well a model did on the texts that were measured, as columns."""
    if not found:
        return {}
    shown = ("accuracy", "subset accuracy", "R²", "macro F1", "probability gap", "chance")
    columns = {f"{name} here": found[name] for name in shown if name in found}
    return {**columns, "labelled texts": int(found["labelled"])}


def _checked(value: object) -> object:
    return " / ".join(f"{each:.2f}" for each in value) if isinstance(value, Sequence) else value


def notes(folders: Sequence[Path | str]) -> Iterator[str]:
    """A sentence for what is to be known of data and models, and for everything that explainers noted of themselves."""
    known: list[str] = []
    manifests = [Store(Path(folder)).manifest() for folder in folders]
    datasets = [pair for manifest in manifests for pair in manifest.get("datasets", {}).items()]
    drawn = dict.fromkeys(label("dataset", name) for name, entry in datasets if not_by_label(entry))
    if drawn:
        yield f"Texts were drawn at random, and not as many of each label as the split has: {', '.join(drawn)}."
    for name, watched in (pair for manifest in manifests for pair in chosen_by_looking(manifest)):
        yield from (f"{label('dataset', name)}: {sentence}" for sentence in (looked(watched), *leads(watched)))
    yield from not_corrected(manifests)
    for manifest in manifests:
        known += trained_as(manifest.get("models", {}))
        yield from of_data(manifest.get("datasets", {}))
        for place, entry in manifest.get("models", {}).items():
            where = f"{entry['label']}, {label('dataset', place.partition(' on ')[2])}"
            if not is_of_neurons(place.partition(" on ")[2]):  # of which no tokens are taken away
                yield from (f"{where}: {sentence}." for sentence in entry.get("reading", ()))
            yield from (f"{where}: {sentence}" for sentence in cautions(entry))
            for explainer, found in entry.get("notes", {}).items():
                for note, value in found.items():
                    name = label("explainer", explainer)
                    yield f"{name} on {where}: mean absolute {NOTES.get(note, note.replace('_', ' '))} {value:.2g}."
        for place, asked in manifest.get("precision", {}).items():
            model, _, dataset = place.partition(" on ")
            where = f"{label('model', model)}, {label('dataset', dataset)}"
            yield from (f"{where}: {told}" for name, found in asked.items() for told in precision_said(name, found))
    yield from older_conversion(known)
    places = {place: entry for manifest in manifests for place, entry in manifest.get("models", {}).items()}
    yield from two_scales(places, dict.fromkeys(name for name, _ in datasets))


def failures(folders: Iterable[Path | str]) -> pd.DataFrame:
    """The failed cells and why: `explainer`, `metric`, `error`, `texts`."""
    return failures_of(read(list(folders)))


def failures_of(records: pd.DataFrame) -> pd.DataFrame:
    """Likewise of records that have been read."""
    failed = records[records["error"].notna()]
    return failed.groupby(["explainer", "metric", "error"], sort=False).size().rename("texts").reset_index()
