"""Files of a board besides its tables: its scores, figures of the paper that its plans are like, how its metrics agree.

Drawings differ with matplotlib's version, so each notes a hash of its data, by which drawings of two versions are
compared.
"""

import functools
import importlib.util
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from faithbench.boards.findings import first_place
from faithbench.boards.folder import Board
from faithbench.boards.overview import PICTURE
from faithbench.comparing.meta import meta_evaluation
from faithbench.errors import UserError
from faithbench.figures.choosing import line_of
from faithbench.figures.making import RunFigure, figure
from faithbench.paper.figure import PaperFigure
from faithbench.paper.figures import KINDS, paper_figure
from faithbench.plugins import spec
from faithbench.schemas import read_text
from faithbench.tables.table import table

AGREEMENT = "agreement"  # of metrics: made where a board has the file
CLIP = re.compile(r"(?<=url\(#)p[0-9a-f]+(?=\))|(?<=<clipPath id=\")p[0-9a-f]+(?=\")")


@dataclass(frozen=True)
class Pictures:
    """Files by name, and those that cannot be made from the records, with the reason."""

    made: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)


def pictures(board: Board) -> Pictures:
    """The figures of a board, and the agreement of its metrics."""
    found = Pictures()
    for name, make in _makers(board):
        try:
            if (reason := _why_lost(board, name)) is None:
                found.made[name] = make()
                continue
        except UserError as error:
            reason = str(error).removesuffix(".")
        found.lost[name] = reason
    return found


def is_drawn_alike(committed: str, made: str) -> bool:
    """Whether two drawings are the same, or by different versions of matplotlib and of the same data."""
    if without_names(committed) == without_names(made):
        return True
    return _drawer(committed) != _drawer(made) and _data_of(committed) == _data_of(made) is not None


def without_names(svg: str) -> str:
    """A drawing without the names of clipping paths: hashes of more digits than are drawn, which rounding moves."""
    return CLIP.sub("", svg)


def _makers(board: Board) -> Iterator[tuple[str, Callable[[], str]]]:
    folders = [board.folder]
    yield PICTURE, lambda: _drawn(_scores(board).plot)
    for name in sorted({name for plan in board.plans.values() for name in plan.like if name in KINDS}):
        yield f"{name}.svg", functools.partial(_figure, board, name)
    evaluation = functools.cache(lambda: meta_evaluation(folders))
    if (board.folder / f"{AGREEMENT}.md").is_file():
        yield f"{AGREEMENT}.md", lambda: evaluation().render()
    if (board.folder / f"{AGREEMENT}.svg").is_file():
        yield f"{AGREEMENT}.svg", lambda: _drawn(evaluation().plot)


def _scores(board: Board) -> RunFigure | PaperFigure:
    """The scores of the first model and data set on which explainers are ranked, by the metric that counts there.

    Beside it stands the same by deletion, where it was measured: what masks say need not be what the model says. Where
    there is but one explainer, all models are shown.
    """
    frame = table([board.folder])
    dataset, model, metric = first_place(frame)
    here = frame[frame["dataset"] == dataset]
    if line_of(here) == "model":
        return figure([board.folder], datasets=[dataset])
    here = here[here["model"] == model]
    deleting = [name for name in sorted(map(str, here["metric"].unique())) if _deletes(name, metric)]
    return figure([board.folder], datasets=[dataset], models=[model], metrics=[metric, *deleting])


def _deletes(name: str, metric: str) -> bool:
    """Whether one metric is another that does not delete, by deletion."""
    (one, _, told), (other, _, of_other) = spec.parse(name), spec.parse(metric)
    return one == other and (told.get("operator") == "delete") and (of_other.get("operator") != "delete")


def _figure(board: Board, name: str) -> str:
    return _drawn(paper_figure([board.folder], name).plot)


def _drawn(plot: Callable[[Path], Path]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return read_text(plot(Path(folder) / "figure.svg"))


def _why_lost(board: Board, name: str) -> str | None:
    """Why a file cannot be made; None if it may be."""
    if name.endswith(".svg") and importlib.util.find_spec("matplotlib") is None:
        return "matplotlib is not installed"
    if name == f"{AGREEMENT}.md" and board.records["rows"].isna().any():
        return "records have no rows"
    if name == "figure13.svg" and board.records["parts"].isna().all():
        return "records have no parts"
    return None


def _drawer(svg: str) -> str | None:
    return _between(svg, "<dc:title>", "</dc:title>")


def _data_of(svg: str) -> str | None:
    """The hash of its data that a drawing notes."""
    return _between(svg, "<dc:description>", "</dc:description>")


def _between(text: str, begin: str, end: str) -> str | None:
    _, found, rest = text.partition(begin)
    return rest.partition(end)[0] if found else None
