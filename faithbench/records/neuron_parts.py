"""Neurons that a run has looked at, and what was said of each: written whole, never changed, checked when read.

A neuron is kept once for each model and data set, with what it does in a few windows that no description was made
from; its descriptions beside it, with what each predicts in the same windows.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import TypedDict

from faithbench.errors import UserError, short
from faithbench.paths import as_paths
from faithbench.records.columns import KEPT, KEPT_IDENTITY, PLACE
from faithbench.records.kept_parts import add_kept, kept_parts, rows_of, where
from faithbench.records.store import Store
from faithbench.records.text_parts import sound
from faithbench.schemas import MissingFileError, is_json

Key = Mapping[str, str]  # `Panel.key`: data set and model, with their fingerprints
Kind = Literal["top", "random"]
KINDS = ("neurons", "descriptions")
NEEDED = {"neurons": ("layer", "number", "site", "windows"), "descriptions": ("text", "bits", "simulated", "error")}
SHARES = ("density",)  # from 0 to 1
LEAST = ("layer", "number", "tokens", "deviation", "bits")  # that are not below 0
FINITE = ("density", "mean", "deviation", "largest", "bits")
LARGEST_FLOAT = sys.float_info.max
TRIES = 100  # to read parts that another process is joining
DIGITS = 5  # of numbers that are there to be looked at


class _Window(TypedDict):
    tokens: list[str]
    activations: list[float]
    document: str
    kind: Kind


@dataclass(frozen=True)
class Shown:
    """A window in which people see what a neuron does.

    Args:
        tokens: as people write them.
        activations: of each.
        document: its id.
        kind: `top`, of those in which the neuron is most active, or `random`.
    """

    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    document: str
    kind: Kind


@dataclass(frozen=True)
class KeptNeuron:
    """A neuron, and what it does in the documents that it is scored on.

    Args:
        unit: its name, as records have it.
        layer: of the model, from 0.
        number: in its module.
        site: that module.
        density: share of the tokens on which its activation is above 0.
        mean: of its activations.
        deviation: their standard deviation.
        largest: of them.
        tokens: how many there are.
        windows: some of them: the top ones, then those drawn at random.
    """

    unit: str
    layer: int
    number: int
    site: str
    density: float
    mean: float
    deviation: float
    largest: float
    tokens: int
    windows: tuple[Shown, ...]


@dataclass(frozen=True)
class KeptDescription:
    """What a describer said of a neuron.

    Args:
        unit: the neuron's name.
        explainer: the describer's identity.
        version: of the describer.
        text: for people; "" where it failed.
        bits: its length; NaN where it failed.
        simulated: the activations that it predicts, in each of the neuron's windows.
        error: why it failed; None where it did not.
    """

    unit: str
    explainer: str
    version: str
    text: str
    bits: float
    simulated: tuple[tuple[float, ...], ...]
    error: str | None = None


class KeptNeurons:
    """The neurons that runs have kept, and their descriptions; each part is read when it is first asked for.

    Raises:
        UserError: a part is corrupt, is none of neurons, or holds what no run writes.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._stores = [Store(folder) for folder in folders]

    def of(self, key: Key) -> dict[str, KeptNeuron]:
        """The neurons of a model on a data set, by name, in the order of layers and numbers; empty for none."""
        rows = rows_of(self._neurons, {name: key[name] for name in PLACE})
        found = [_neuron(row) for row in rows]
        return {each.unit: each for each in sorted(found, key=lambda each: (each.layer, each.site, each.number))}

    def descriptions(self, key: Key) -> dict[tuple[str, str], KeptDescription]:
        """What was said of them, by describer and neuron; of several the last that did not fail, failing that the last.

        Raises:
            UserError: a description predicts something else than an activation for each token of the windows kept.
        """
        neurons, found = self.of(key), dict[tuple[str, str], KeptDescription]()
        for row in rows_of(self._descriptions, {name: key[name] for name in PLACE}):
            place = row["explainer"], row["unit"]
            if row["error"] is None or place not in found:
                found[place] = _description(row, neurons.get(row["unit"]))
        return found

    @cached_property
    def _neurons(self) -> pa.Table:
        return self._table("neurons")

    @cached_property
    def _descriptions(self) -> pa.Table:
        return self._table("descriptions")

    def _table(self, kind: str) -> pa.Table:
        tables = [table for store in self._stores for table in parts_of(store, kind)]
        return pa.concat_tables([KEPT[kind].empty_table(), *tables])


def read_neurons(folders: Sequence[Path | str]) -> KeptNeurons:
    """The neurons that runs have kept, with their descriptions; none of runs on texts.

    Args:
        folders: of the runs.

    Raises:
        UserError: a path is none.
    """
    return KeptNeurons(as_paths("folders", folders))


def neuron_row(own: Mapping[str, str], neuron: KeptNeuron) -> dict[str, object]:
    """A neuron as its columns."""
    windows = [
        {
            "tokens": [sound(token) for token in each.tokens],
            "activations": rounded(each.activations),
            "document": sound(each.document),
            "kind": each.kind,
        }
        for each in neuron.windows
    ]
    numbers = {name: getattr(neuron, name) for name in (*FINITE, "layer", "number", "tokens") if name != "bits"}
    return {
        **{name: own[name] for name in PLACE},
        "unit": neuron.unit,
        "site": neuron.site,
        **numbers,
        "windows": json.dumps(windows, ensure_ascii=False),
    }


def description_row(own: Mapping[str, str], description: KeptDescription) -> dict[str, object]:
    """A description as its columns."""
    failed = description.error is not None
    return {
        **{name: own[name] for name in PLACE},
        "explainer": description.explainer,
        "version": description.version,
        "unit": description.unit,
        "text": None if failed else sound(description.text),
        "bits": None if failed else float(description.bits),
        "simulated": None if failed else json.dumps([rounded(each) for each in description.simulated]),
        "error": description.error,
    }


def rounded(values: Sequence[float]) -> list[float]:
    """Numbers with as many digits as are worth looking at."""
    return [float(f"{value:.{DIGITS}g}") for value in values]


def kept_names(store: Store, own: Key) -> tuple[set[str], set[tuple[str, str, str]]]:
    """The neurons of a model on a data set that are kept, and their descriptions that did not fail.

    Returns:
        names of neurons; and describer, version and neuron of each description.
    """
    identity = {name: own[name] for name in PLACE}
    neurons, described = set[str](), set[tuple[str, str, str]]()
    for table in parts_of(store, "neurons", KEPT_IDENTITY["neurons"]):
        neurons.update(table.filter(where(table, identity)).column("unit").to_pylist())
    for table in parts_of(store, "descriptions", (*KEPT_IDENTITY["descriptions"], "error")):
        mine = table.filter(pc.and_(where(table, identity), pc.is_null(table.column("error"))))
        described.update(
            zip(*(mine.column(name).to_pylist() for name in ("explainer", "version", "unit")), strict=True)
        )
    return neurons, described


def compact(store: Store) -> None:
    """Joins the parts of neurons and of descriptions into one of each, in which nothing stands twice.

    Raises:
        UserError: the folder cannot be written, or a part holds what no run writes.
    """
    for kind in KINDS:
        paths = sorted((store.folder / kind).glob("*.parquet"))
        if len(paths) < 2:
            continue
        last: dict[tuple[object, ...], dict[str, Any]] = {}
        for table in parts_of(store, kind):
            for row in rows_of(table, {}):
                name = tuple(row[column] for column in KEPT_IDENTITY[kind])
                if row.get("error") is None or name not in last:
                    last[name] = row
        add_kept(store, kind, last.values())
        for path in paths:
            path.unlink(missing_ok=True)


def parts_of(store: Store, kind: str, columns: Sequence[str] | None = None) -> list[pa.Table]:
    """The parts of `neurons` or `descriptions`, checked; a run that goes on meanwhile may join them.

    Raises:
        UserError: one is corrupt, or holds what no run writes.
    """
    for _ in range(TRIES):
        with suppress(MissingFileError):  # they have just been joined: look again
            return list(kept_parts(store, kind, NEEDED[kind], _check, columns))
    raise UserError(f"{store.folder / kind} keeps changing, or holds a link to nothing.")


def _check(path: Path, kind: str, table: pa.Table) -> None:
    """Refuses what no run writes.

    Raises:
        UserError: names the column.
    """
    there = set(table.column_names)
    failed = pc.is_valid(table.column("error")) if "error" in there else pa.scalar(False)
    for name in (*KEPT_IDENTITY[kind], *NEEDED[kind], *FINITE, "tokens"):
        if name not in there or name == "error":
            continue
        lacking = pc.is_null(table.column(name))
        if kind == "descriptions" and name in NEEDED[kind]:
            lacking = pc.and_(lacking, pc.invert(failed)) if "error" in there else pa.scalar(False)
        if pc.any(lacking).as_py():
            raise UserError(f"{path}: {name} is missing in a row.")
    for name in there.intersection(LEAST):
        if pc.any(pc.less(table.column(name), 0)).as_py():
            raise UserError(f"{path}: {name} is less than 0 in a row.")
    for name in there.intersection(FINITE):
        if not pc.all(pc.is_finite(table.column(name)), min_count=0).as_py():
            raise UserError(f"{path}: {name} is not finite in a row.")
    for name in there.intersection(SHARES):
        if pc.any(pc.greater(table.column(name), 1)).as_py() or pc.any(pc.less(table.column(name), 0)).as_py():
            raise UserError(f"{path}: {name} is no share from 0 to 1 in a row.")


def _is_finite(number: float) -> bool:
    """Whether it is in the range of floats; JSON has whole numbers that are not."""
    return -LARGEST_FLOAT <= number <= LARGEST_FLOAT


def _neuron(row: Mapping[str, Any]) -> KeptNeuron:
    where = f"neuron {short(row['unit'])} of {row['model']}"
    if not is_json(row["windows"], list[_Window]):
        raise UserError(f"{where} has windows that are no JSON list of tokens, activations, a document and a kind.")
    windows = tuple(
        Shown(tuple(each["tokens"]), tuple(each["activations"]), each["document"], each["kind"])
        for each in json.loads(row["windows"])
    )
    for each in windows:
        if len(each.tokens) != len(each.activations) or not all(map(_is_finite, each.activations)):
            raise UserError(f"{where} has a window without a finite activation for each of its tokens.")
    names = ("unit", "layer", "number", "site", "density", "mean", "deviation", "largest", "tokens")
    return KeptNeuron(**{name: row[name] for name in names}, windows=windows)


def _description(row: Mapping[str, Any], neuron: KeptNeuron | None) -> KeptDescription:
    names = row["unit"], row["explainer"], row["version"]
    if row["error"] is not None:
        return KeptDescription(*names, "", math.nan, (), row["error"])
    where = f"the description of neuron {short(row['unit'])} of {row['model']} by {short(row['explainer'])}"
    if not is_json(row["simulated"], list[list[float]]):
        raise UserError(f"{where} has simulated activations that are no JSON list of lists of numbers.")
    simulated = tuple(map(tuple, json.loads(row["simulated"])))
    wanted = [len(each.tokens) for each in neuron.windows] if neuron else [len(each) for each in simulated]
    if [len(each) for each in simulated] != wanted or not all(_is_finite(v) for each in simulated for v in each):
        raise UserError(f"{where} has other than one finite simulated activation for each token of its windows.")
    return KeptDescription(*names, row["text"], row["bits"], simulated)
