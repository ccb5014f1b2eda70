"""Texts that a language model has gone on with, for a report: from JSON files of `faithbench explain`, checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from markupsafe import Markup
from typing_extensions import TypedDict

from faithbench.errors import UserError, brief, short
from faithbench.records.fingerprints import weights_of
from faithbench.records.manifest import Manifest
from faithbench.records.results import label
from faithbench.running.generation import FORMAT
from faithbench.running.prediction import number
from faithbench.schemas import read_json
from faithbench.showing.html import triangle_html
from faithbench.showing.triangle import Said, Triangle, triangle_legend

MOST = 200  # texts of a report
WEIGHTS = re.compile(r", weights ([0-9a-f]+)")  # of the model, in the sentence on what made a text
Scores = list[float | None]


class StepTable(TypedDict):
    """A token that was said."""

    token: str
    runner_up: str
    probabilities: list[float]
    scores: dict[str, Scores]


class GenerationTable(TypedDict):
    """A text that was gone on with."""

    model: str
    beginning: str
    continuation: str
    columns: list[str]
    given: int
    steps: list[StepTable]
    made: str


class GenerationFile(TypedDict):
    """What `faithbench explain --generate --json` writes."""

    format: str
    generations: list[GenerationTable]


@dataclass(frozen=True)
class ShownGeneration:
    """A text that was gone on with, as the page shows it: what was said, and a triangle for each explainer."""

    beginning: str
    continuation: str
    model: str
    made: str
    triangles: tuple[tuple[str, Markup], ...]
    doubt: str = ""


def shown_generations(paths: Sequence[Path], manifests: Sequence[Manifest] | None = None) -> list[ShownGeneration]:
    """The texts of files.

    Args:
        paths: of the files.
        manifests: of the runs that are reported, whose models the texts should be of; None not to look.

    Raises:
        UserError: a file cannot be read, or is none that `faithbench explain` writes.
    """
    found = [
        replace(_shown(table), doubt="" if manifests is None else _doubt(table, manifests))
        for path in paths
        for table in _read(path)
    ]
    if len(found) > MOST:
        raise UserError(f"{len(found):,} generated texts are too many for a report; it holds up to {MOST}.")
    return found


def legend_of(generations: Sequence[ShownGeneration]) -> str:
    """How triangles are to be read, if there are any."""
    return triangle_legend() if generations else ""


def _read(path: Path) -> list[GenerationTable]:
    file = read_json(path, GenerationFile)
    if file["format"] != FORMAT:
        raise UserError(f"{path} has the format {short(file['format'])}, and {FORMAT!r} is read here.")
    for table in file["generations"]:
        _check(path, table)
    return file["generations"]


def _check(path: Path, table: GenerationTable) -> None:
    """Raises a UserError if a table is none of a generation."""
    count = len(table["columns"])
    if not table["steps"] or not 0 <= table["given"] <= count:
        raise UserError(f"{path}: a text has no steps, or is given other than 0 to {count} of its columns.")
    for step in table["steps"]:
        if len(step["probabilities"]) != len((step["token"], step["runner_up"])):
            raise UserError(f"{path}: a step has other than two probabilities.")
        if any(not 0 < len(scores) <= count for scores in step["scores"].values()):
            raise UserError(f"{path}: a step has other than 1 to {count} scores, one a column before it.")


def _shown(table: GenerationTable) -> ShownGeneration:
    names = dict.fromkeys(name for step in table["steps"] for name in step["scores"])
    return ShownGeneration(
        " ".join(table["beginning"].split()),
        " ".join(table["continuation"].split()),
        brief(table["model"]),
        table["made"],
        tuple((name, Markup(triangle_html(_triangle(table, name), name))) for name in names),  # noqa: S704  # escaped
    )


def _doubt(table: GenerationTable, manifests: Sequence[Manifest]) -> str:
    """A sentence where a text is not of a model of the runs, by the weights that it names or else by name; or ""."""
    models = [pair for manifest in manifests for pair in manifest.get("models", {}).items()]
    is_known = any(table["model"] in (entry["label"], label("model", on.partition(" on ")[0])) for on, entry in models)
    weights = WEIGHTS.search(table["made"])
    if is_known if weights is None else weights[1] in {weights_of(entry["fingerprint"]) for _, entry in models}:
        return ""
    which = "that model with these weights: they have it with others" if is_known else "that model"
    return f"The runs of this report do not have {which}. Nothing else in it is of the model that says this."


def _triangle(table: GenerationTable, name: str) -> Triangle:
    rows = tuple(
        Said(step["token"], number(step["probabilities"][0], True), step["runner_up"], _scores(step["scores"], name))
        for step in table["steps"]
    )
    return Triangle(tuple(table["columns"]), table["given"], rows)


def _scores(scores: Mapping[str, Scores], name: str) -> np.ndarray:
    return np.array([np.nan if score is None else score for score in scores.get(name, ())], dtype=np.float64)
