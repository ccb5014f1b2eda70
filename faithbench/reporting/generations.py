"""Texts that a language model has gone on with, for a report: from JSON files of `faithbench explain`, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from typing_extensions import TypedDict

from faithbench.errors import UserError, brief, short
from faithbench.running.generation import FORMAT
from faithbench.running.prediction import number
from faithbench.schemas import read_json
from faithbench.showing.html import triangle_html
from faithbench.showing.triangle import Said, Triangle, triangle_legend

MOST = 200  # texts of a report
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


def shown_generations(paths: Sequence[Path]) -> list[ShownGeneration]:
    """The texts of files.

    Raises:
        UserError: a file cannot be read, or is none that `faithbench explain` writes.
    """
    found = [_shown(each) for path in paths for each in _read(path)]
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


def _triangle(table: GenerationTable, name: str) -> Triangle:
    rows = tuple(
        Said(step["token"], number(step["probabilities"][0], True), step["runner_up"], _scores(step["scores"], name))
        for step in table["steps"]
    )
    return Triangle(tuple(table["columns"]), table["given"], rows)


def _scores(scores: Mapping[str, Scores], name: str) -> np.ndarray:
    return np.array([np.nan if score is None else score for score in scores.get(name, ())], dtype=np.float64)
