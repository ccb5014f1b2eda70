"""Fills a table of the paper from runs, and notes where they are not what was published."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from faithbench.errors import UserError
from faithbench.paper.choose_backbone import check_models, choose_backbone, is_of
from faithbench.paper.crate import CrateTable, crate_table
from faithbench.paper.decoders import DecoderTable, decoder_table
from faithbench.paper.departures import Shown, departures
from faithbench.paper.layouts import Layout, layout_of
from faithbench.paper.matching import is_dataset, same, source_of
from faithbench.paper.run_data import RunData, run_data_of
from faithbench.paper.sources import ONLY_STRICT, PAPER_PROTOCOL, STRICT_PROTOCOL, Cell, Mean, Seconds, Subject
from faithbench.paper.table import PaperTable
from faithbench.paper.trainings import TrainedModel, differing
from faithbench.plan import CRATE, DECODERS, TABLES_OF_PAPER, Plan
from faithbench.plugins.naming import refer
from faithbench.records.manifest import read_manifest
from faithbench.records.results import label
from faithbench.shown import counted
from faithbench.tables.cautions import computed_in, of_earlier_versions, older_conversion
from faithbench.tables.signature import signature_of


def paper_table(
    folders: Sequence[Path | str], like: str, backbone: str | None = None, drop_last: bool = True
) -> PaperTable | DecoderTable | CrateTable:
    """A table of arXiv 2502.12992 with the numbers of runs, the table of decoders, or that of CRATE's neurons.

    Args:
        folders: of the runs.
        like: `table2` to `table8`, `decoders`, or `crate` (Table 2 of arXiv 2410.16443).
        backbone: whose models are shown; may be left out if the runs hold only one, of `decoders`, which shows all,
            and of `crate`, which has none.
        drop_last: of `crate`: leave the last of six or more layers out of means and variances, as is published.

    Raises:
        UserError: as `published_table`, `decoder_table` or `crate_table`.
    """
    if like == CRATE:
        if backbone is not None:
            raise UserError(
                f"--backbone does not go with {CRATE}, which shows every crate-… and gpt-relu-… of the runs."
            )
        return crate_table(folders, drop_last)
    return decoder_table(folders, backbone) if like == DECODERS else published_table(folders, like, backbone)


def published_table(folders: Sequence[Path | str], like: str, backbone: str | None = None) -> PaperTable:
    """Fills a table of arXiv 2502.12992 with the numbers of runs; models that differ in their seed alone are one.

    Args:
        folders: of the runs.
        like: `table2` to `table8`.
        backbone: whose models are shown; may be left out if the runs hold only one.

    Raises:
        UserError: no such table or backbone, the runs hold several backbones or none of the table's models, or two
            records claim one cell.
    """
    layout = layout_of(like)
    found = run_data_of(folders)
    chosen = backbone_for(layout, found.models, backbone)
    subjects, elsewhere = _on_data_at_hand(layout.subjects, found, chosen)
    metrics = [source.metric for source in layout.columns.values() if isinstance(source, Mean)]
    metrics += [metric.replace(PAPER_PROTOCOL, STRICT_PROTOCOL) for metric in metrics]
    run_data = needed(found, chosen, lambda full: any(same("metric", full, metric) for metric in metrics))
    cells = {name: tuple(source(run_data, subject) for subject in subjects) for name, source in layout.columns.items()}
    notes = (*elsewhere, *_notes(cells, run_data, layout, subjects))
    entries = pd.concat([cell.entries for column in cells.values() for cell in column], ignore_index=True)
    notes += tuple(departures(Shown(layout.name, chosen, entries, _trained(run_data, subjects))))
    notes += tuple(of_earlier_versions(entries))
    notes += tuple(computed_in(_weights_in(entries), map(read_manifest, found.folders)))
    published = layout.published.assign(**dict.fromkeys(cells, "")) if elsewhere else layout.published
    return PaperTable(layout, chosen, published, cells, notes, signature_of(entries, found.folders))


def _on_data_at_hand(
    subjects: Sequence[Subject], found: RunData, backbone: str
) -> tuple[Sequence[Subject], Sequence[str]]:
    """The rows of a table of one data set, on that of the runs if they hold one other instead; and a note of that."""
    published = {subject.dataset for subject in subjects}
    here = {source_of(each.dataset) for each in found.trainings if is_of(each.model, backbone)}
    here |= {source_of(each.dataset) for each in found.groups if is_of(each.model, backbone)}
    if len(published) != 1 or len(here) != 1 or published == {""}:
        return subjects, ()
    (wanted,), (there,) = published, here
    if is_dataset(there, wanted):
        return subjects, ()
    note = f"Of {label('dataset', there)}; the paper's numbers, which are of {wanted}, are left out."
    return [replace(subject, dataset=there) for subject in subjects], (note,)


def _weights_in(entries: pd.DataFrame) -> set[str]:
    """The fingerprints of the models whose records fill cells; none where no cell is filled."""
    return set(map(str, entries["model_fingerprint"].dropna())) if "model_fingerprint" in entries else set()


def check_likes(plans: Sequence[Plan]) -> None:
    """Whether the models of plans are those of the published tables that the plans are like.

    Raises:
        UserError: not so.
    """
    for plan in plans:
        models = [refer(text).identity for text in plan.models]
        for table in (name for name in plan.like if name in TABLES_OF_PAPER):
            backbone_for(layout_of(table), models)


def backbone_for(layout: Layout, models: Sequence[str], backbone: str | None = None) -> str:
    """The backbone of these models that a table shows.

    Raises:
        UserError: there is not just one, or the table shows none of its models.
    """
    chosen = choose_backbone(models, backbone, layout.name)
    shown = [each.model for each in layout.subjects if each.model]
    shown += [source.model for source in layout.columns.values() if isinstance(source, Seconds)]
    check_models(models, chosen, [model.replace("*", chosen) for model in dict.fromkeys(shown)], layout.name)
    return chosen


def needed(found: RunData, backbone: str, is_wanted: Callable[[str], bool]) -> RunData:
    """Of what runs hold that of the backbone's models, and the records by metrics that are wanted."""

    def mine(records: pd.DataFrame) -> pd.DataFrame:
        models = {full for full in records["model"].unique() if is_of(full, backbone)}
        metrics = {full for full in records["metric"].unique() if is_wanted(full)}
        return records[records["model"].isin(models) & records["metric"].isin(metrics)]

    trainings = tuple(each for each in found.trainings if is_of(each.model, backbone))
    return replace(
        found, backbone=backbone, records=mine(found.records), outdated=mine(found.outdated), trainings=trainings
    )


def _notes(
    cells: Mapping[str, Sequence[Cell]], run_data: RunData, layout: Layout, subjects: Sequence[Subject]
) -> Iterator[str]:
    """Sentences on settings that are not the published ones, and on cells that are empty."""
    every = [cell for column in cells.values() for cell in column]
    yield from dict.fromkeys(remark for cell in every for remark in cell.remarks)
    strict = sum(cell.lack == ONLY_STRICT for cell in every)
    if strict:
        yield (
            f"{counted(strict, 'empty cell has', 'empty cells have')} records of the strict protocol only, which has "
            "another maximum; a run with --protocol paper fills them."
        )
    for lack in dict.fromkeys(cell.lack for cell in every if cell.lack not in ("", ONLY_STRICT)):
        count = sum(cell.lack == lack for cell in every)
        yield f"{counted(count, 'cell is', 'cells are')} empty: {lack}."
    if any(isinstance(source, Seconds) for source in layout.columns.values()):
        yield from _on_times(run_data)
    else:
        yield from older_conversion([each.model for each in _trained(run_data, subjects)])
        yield from _on_training(run_data, subjects)
        yield from _on_data(run_data, [subject.dataset for subject in subjects])
    yield from run_data.left_out


def _on_times(run_data: RunData) -> Iterator[str]:
    if run_data.times.empty:
        yield "The runs hold no attributions, as published boards do not, and so no seconds."
        return
    hardware = sorted({each.hardware for each in run_data.trainings if each.hardware})
    if hardware:
        yield f"Seconds were taken on {'; '.join(hardware)}."


def _on_training(run_data: RunData, subjects: Sequence[Subject]) -> Iterator[str]:
    """Which models were trained in another way than the paper's."""
    found: dict[str, list[str]] = {}
    for model, dataset in dict.fromkeys((subject.model, subject.dataset) for subject in subjects):
        for training in run_data.trained(model, dataset):
            chosen = differing(training)
            if chosen:
                found.setdefault(", ".join(chosen), []).append(f"{label('model', training.model)} on {dataset}")
    for setting, names in found.items():
        yield f"Trained with {setting}: {', '.join(names)}."


def _trained(run_data: RunData, subjects: Sequence[Subject]) -> tuple[TrainedModel, ...]:
    """The trainings that rows speak of."""
    pairs = dict.fromkeys((subject.model, subject.dataset) for subject in subjects)
    return tuple(training for pair in pairs for training in run_data.trained(*pair))


def _on_data(run_data: RunData, datasets: Sequence[str]) -> Iterator[str]:
    there = {each.dataset for each in run_data.trainings} | set(run_data.records["dataset"])
    missing = [name for name in dict.fromkeys(datasets) if not any(is_dataset(source_of(full), name) for full in there)]
    if missing:
        yield f"Not in these runs: {', '.join(missing)}."
