"""What the plans of a leaderboard ask for: every cell, and of how many texts. No data are loaded."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from faithbench.boards.folder import CELL, Board
from faithbench.errors import UserError
from faithbench.plan import LARGEST
from faithbench.plugins.naming import ModelRef
from faithbench.plugins.spec import Component
from faithbench.records.manifest import DatasetEntry, ModelEntry, UntilEntry
from faithbench.records.units import is_of_neurons
from faithbench.running.agenda import BlockPlan, Cell, resolve_plan
from faithbench.running.grid import fields_present
from faithbench.types import Link

COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Asked:
    """How many texts of a cell are asked for, and the name of the plan that asks for the most."""

    texts: int
    plan: str


@dataclass(frozen=True)
class NamedBlock:
    """A block of a plan: with the model as records name it, and the name of the plan."""

    block: BlockPlan
    model: str
    plan: str


@dataclass(frozen=True)
class Asks:
    """What a board's plans ask for.

    Args:
        cells: all of them.
        blocks: each data set with each model.
        idle: plans with metrics that they name and that fit none of their data.
    """

    cells: Mapping[Cell, Asked]
    blocks: tuple[NamedBlock, ...]
    idle: tuple[tuple[str, str], ...]


class Splits:
    """What is known of the data sets without loading them: by the manifest.

    One that says less is believed to leave out nothing: there are as many texts as the plan's limit, or without one as
    were measured, and what the metrics measured there need.
    """

    def __init__(self, board: Board) -> None:
        self.known: Mapping[str, DatasetEntry] = board.manifest.get("datasets", {})
        self.models: Mapping[str, ModelEntry] = board.manifest.get("models", {})
        self.until: Mapping[str, UntilEntry] = board.manifest.get("until", {})
        self.most = board.records.groupby(CELL)["unit"].nunique().groupby("dataset").max().to_dict()
        self.measured = set(board.records[["dataset", "metric"]].itertuples(index=False, name=None))

    def texts(self, dataset: str, limit: int | None, until: float | None = None) -> int:
        """How many texts there are to measure. At least 1 where nothing is known.

        Of a plan with `until`, as many as the look at which its differences were narrow enough.
        """
        watched = self.until.get(dataset) if until is not None else None
        if watched and watched["ended"] and watched["looks"]:
            limit = min(limit or LARGEST, watched["looks"][-1]["texts"])
        told = self.known[dataset].get("split_texts") if dataset in self.known else None
        there = int(told or limit or self.most.get(dataset) or 1)
        return min(there, limit or there)

    def neurons(self, dataset: str, model: str, limit: int | None) -> int:
        """How many neurons of a model there are to measure, as its manifest says; at least 1 where nothing is known."""
        entry = self.models.get(f"{model} on {dataset}")
        chosen = sum(site["chosen"] for site in entry["units"]["sites"]) if entry and "units" in entry else 1
        return min(chosen, limit or chosen)

    def link(self, dataset: str, model: str) -> Link:
        """From the model's logits to what it says; by older manifests one class of several."""
        entry = self.models.get(f"{model} on {dataset}")
        return "softmax" if entry is None else entry.get("link", "softmax")

    def offers(self, dataset: Component, metrics: Iterable[Component]) -> frozenset[str]:
        """What metrics find in a data set: failing the manifest, what those that were measured there need."""
        told = self.known[dataset.identity].get("offers") if dataset.identity in self.known else None
        if told is not None:
            return frozenset(told)
        measured = [metric for metric in metrics if (dataset.identity, metric.identity) in self.measured]
        return fields_present(dataset).union(*(metric.traits.needs for metric in measured))


def read_asks(board: Board) -> Asks:
    """Every cell that a plan of the board asks for.

    Raises:
        UserError: a component that a plan names is not installed or cannot be built.
    """
    splits, cells, blocks, idle = Splits(board), dict[Cell, Asked](), [], []
    for name, plan in board.plans.items():
        try:
            asked = [NamedBlock(block, _model(block.model, board), name) for block in resolve_plan(plan)]
        except UserError as error:
            raise UserError(f"plan {board.folder / name}: {error}") from error
        mine = {cell: texts for block in asked for cell, texts in _cells(block, splits, plan.until)}
        blocks += asked
        for cell, texts in mine.items():
            if cell not in cells or texts > cells[cell].texts:
                cells[cell] = Asked(texts, name)
        if plan.metrics:
            used, metrics = {cell[3] for cell in mine}, asked[0].block.selection.metrics
            idle += [(name, metric.label) for metric in metrics if metric.identity not in used]
    return Asks(cells, tuple(blocks), tuple(idle))


def _cells(named: NamedBlock, splits: Splits, until: float | None) -> Iterator[tuple[Cell, int]]:
    block = named.block
    dataset = block.dataset.identity
    if is_of_neurons(dataset):
        texts = splits.neurons(dataset, named.model, block.limit)
    else:
        texts = splits.texts(dataset, block.limit, until)
    link = splits.link(dataset, named.model)
    for cell in block.cells(splits.offers(block.dataset, block.selection.metrics), named.model, link):
        yield cell, texts


def _model(model: ModelRef, board: Board) -> str:
    """A plan's model as records name it: one from the hub has the commit that a branch or tag stood for."""
    if model.component is not None:
        return model.identity
    repo, _, revision = model.text.partition("@")
    entries = board.manifest.get("models", {})
    names = {name.partition(" on ")[0] for name, entry in entries.items() if entry["label"] == repo}
    return model.text if COMMIT.fullmatch(revision) or len(names) != 1 else names.pop()
