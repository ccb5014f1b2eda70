"""`faithbench.figure`: any run as a figure, or a published table or figure with the runs' numbers in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from faithbench.comparing.meta import meta_evaluation
from faithbench.errors import UserError, unknown
from faithbench.figures.choosing import Choice, is_random, line_of
from faithbench.figures.neurons import by_density, layers, lengths
from faithbench.figures.scores import costs, curves, scores
from faithbench.figures.texts import coloured
from faithbench.paper.figure import PaperFigure
from faithbench.paper.figures import paper_figure
from faithbench.paths import as_names, as_paths
from faithbench.records.units import units_of
from faithbench.tables.figure import write_figure

MEANS = "means over {units}, with 95 % bootstrap intervals over {units}"
FILLED = "Filled: the best{of}, and those not shown to differ from it; hollow: others"


@dataclass(frozen=True)
class RunFigure:
    """What a figure shows.

    Args:
        of: `scores`, `curves`, `cost`, `agreement`, `text`; of neurons `layers`, `length` or `density`.
        data: a row for each dot; the numbers of `faithbench.table`.
        caption: what stands below the drawing: of how many texts it is, and what intervals and marks mean.
        notes: sentences on what is not drawn.
        drawn: what the drawing needs beside the data.
    """

    of: str
    data: pd.DataFrame
    caption: str
    notes: tuple[str, ...] = ()
    drawn: tuple[object, ...] = field(default=(), repr=False)

    def plot(self, path: Path | str) -> Path:
        """Draws it.

        Raises:
            UserError: the file's ending is not that of a figure, matplotlib is not there, or it cannot be written.
        """
        if self.of == "agreement":
            return write_figure("faithbench.comparing.heatmap:draw", path, *self.drawn)
        if self.of == "text":
            return write_figure("faithbench.showing.drawing:draw_lines", path, *self.drawn, self.caption)
        return write_figure("faithbench.figures.drawing:draw", path, self.of, self.data, self.caption)


def figure(
    runs: Sequence[Path | str],
    of: str = "scores",
    *,
    like: str | None = None,
    datasets: Sequence[str] = (),
    models: Sequence[str] = (),
    metrics: Sequence[str] = (),
    explainers: Sequence[str] = (),
    text: str | None = None,
    by: str = "rows",
    backbone: str | None = None,
) -> RunFigure | PaperFigure:
    """A figure of runs, as data that can be drawn (`plot`).

    `scores`: the mean of each explainer by each metric with its interval. `curves`: what a deletion metric sums up,
    over the share of tokens. `cost`: scores against rows or seconds of an explanation. `agreement`: how alike metrics
    rank explainers. `text`: one text, coloured by each explainer. Of neurons: `layers`, scores by layer; `length`,
    scores against the length of descriptions; `density`, scores by how often neurons fire.

    Args:
        runs: their folders.
        of: what is shown.
        like: instead, a figure or table of arXiv 2502.12992, such as `figure5` or `table2` (ours against published).
        datasets: names as tables show them, or beginnings; all if left out.
        models: likewise.
        metrics: likewise; as many as a figure can hold.
        explainers: likewise; all but degraded copies.
        text: for `text`, its number, as in reports, or its id.
        by: for `cost`, `rows` or `seconds`.
        backbone: with `like`, whose models.

    Raises:
        UserError: the runs do not hold what the figure shows, or a name is not among what they hold.
    """
    folders = as_paths("runs", runs)
    named = [as_names(name, names) for name, names in zip(NAMES, (datasets, models, metrics, explainers), strict=True)]
    choice = Choice(*map(tuple, named))
    if like is not None:
        if any(named) or text is not None:
            raise UserError(f"like={like!r} shows what the published one shows; leave out what chooses from runs.")
        return paper_figure(folders, like, backbone)
    if of not in MAKERS:
        raise unknown("figure of runs", of, MAKERS)
    return MAKERS[of](folders, choice, by if of == "cost" else text)


NAMES = ("datasets", "models", "metrics", "explainers")


def _scores(folders: Sequence[Path], choice: Choice, _: str | None) -> RunFigure:
    data, notes = scores(folders, choice)
    best = " Dashed line: the best orders that a search found (normalised)." if data["best"].notna().any() else ""
    alone = line_of(data) == "model" and data["tied_with_best"].fillna(True).all()  # no other explainer is ahead of it
    filled = "" if alone else f" {_filled(choice)}."
    return RunFigure("scores", data, f"{_texts(data)}. Dots: {_means(data)}.{filled}{_random(data)}{best}", notes)


def _curves(folders: Sequence[Path], choice: Choice, _: str | None) -> RunFigure:
    data, notes = curves(folders, choice)
    told = "Drop of what the model says of its class, by the share of tokens, highest scores first"
    return RunFigure("curves", data, f"{_texts(data)}. {told}: {_means(data)}.{_random(data)}", notes)


def _cost(folders: Sequence[Path], choice: Choice, by: str | None) -> RunFigure:
    data, notes = costs(folders, choice, by or "rows")
    data = data.assign(by=by or "rows")
    told = f"Marks: {_means(data)}; across: mean {by} of an explanation, logarithmic"
    return RunFigure("cost", data, f"{_texts(data)}. {told}. {_filled(choice)}.{_random(data)}", notes)


def _agreement(folders: Sequence[Path], choice: Choice, _: str | None) -> RunFigure:
    found = meta_evaluation(folders, kept=choice.of if any(choice.named.values()) else None)
    return RunFigure("agreement", found.pairs, found.caption, found.notes, found.drawn)


def _text(folders: Sequence[Path], choice: Choice, wanted: str | None) -> RunFigure:
    if wanted is None:
        raise UserError("which text? Name it with text (--text): its number, as in reports, or its id.")
    data, lines, called, explained = coloured(folders, choice, wanted)
    caption = f"{called}: what speaks for {explained} (+), and what against it (−)"
    return RunFigure("text", data, caption, (), (lines,))


def _layers(folders: Sequence[Path], choice: Choice, _: str | None) -> RunFigure:
    data, notes = layers(folders, choice)
    return RunFigure("layers", data, f"{_texts(data)} a layer. Dots: {_means(data)}. Lines: models.", notes)


def _length(folders: Sequence[Path], choice: Choice, _: str | None) -> RunFigure:
    data, notes = lengths(folders, choice)
    told = f"Marks: {_means(data)}; across: mean length of a description in bits, logarithmic (1: none)"
    return RunFigure("length", data.assign(by="bits"), f"{_texts(data)}. {told}. {_filled(choice)}.", notes)


def _density(folders: Sequence[Path], choice: Choice, _: str | None) -> RunFigure:
    data, notes = by_density(folders, choice)
    told = (
        "Neurons in ten groups by the share of tokens on which they fire, of all models that are no controls together; "
        "those that never fire are in none"
    )
    return RunFigure("density", data, f"{_texts(data)} a group. {told}. Dots: {_means(data)}.", notes)


def _means(data: pd.DataFrame) -> str:
    return MEANS.format(units=units_of(data["dataset"].unique()))


def _texts(data: pd.DataFrame) -> str:
    least, most, units = int(data["n"].min()), int(data["n"].max()), units_of(data["dataset"].unique())
    return f"n = {most:,} {units}" if least == most else f"n = {least:,} to {most:,} {units}"


def _filled(choice: Choice) -> str:
    """What marks mean: tests are the table's, so the best may be an explainer that is not drawn."""
    return FILLED.format(of=" of all that were measured" if choice.explainers else "")


def _random(data: pd.DataFrame) -> str:
    return " Hatched band: random scores." if any(map(is_random, data["explainer"])) else ""


MAKERS: Mapping[str, Callable[[Sequence[Path], Choice, str | None], RunFigure]] = {
    "scores": _scores,
    "curves": _curves,
    "cost": _cost,
    "agreement": _agreement,
    "text": _text,
    "layers": _layers,
    "length": _length,
    "density": _density,
}
