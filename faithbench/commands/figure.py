"""`faithbench figure`."""

from pathlib import Path
from typing import Annotated

import typer

import faithbench
from faithbench.commands.completion import names
from faithbench.commands.output import err_console
from faithbench.console import say

Names = list[str] | None


def figure(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    out: Annotated[Path, typer.Option(help="A file .svg, .png or .pdf.")],
    of: Annotated[str, typer.Option(help="scores, curves, cost, agreement, text; layers, length, density.")] = "scores",
    like: Annotated[
        str | None,
        typer.Option(
            help="Instead, of arXiv 2502.12992: figure2, figure5, figure6 or figure13; table2 to table8, ours against "
            "the published numbers."
        ),
    ] = None,
    dataset: Annotated[
        Names, typer.Option(help="As tables show it, or a beginning; repeat for more.", autocompletion=names("dataset"))
    ] = None,
    model: Annotated[Names, typer.Option(help="Likewise.", autocompletion=names("model"))] = None,
    metric: Annotated[
        Names, typer.Option(help="Likewise [default: as many as fit].", autocompletion=names("metric"))
    ] = None,
    explainer: Annotated[
        Names, typer.Option(help="Likewise [default: all but degraded copies].", autocompletion=names("explainer"))
    ] = None,
    text: Annotated[str | None, typer.Option(help="Of text: its number, as in reports, or its id.")] = None,
    by: Annotated[str, typer.Option(help="Of cost: rows or seconds.")] = "rows",
    backbone: Annotated[
        str | None, typer.Option(help="With --like: whose models [default: the only one's; figure2: all].")
    ] = None,
) -> None:
    """Draw one or more runs, or a published figure.

    Scores, curves, costs, how metrics agree, or one text.
    """
    found = faithbench.figure(
        runs,
        of,
        like=like,
        datasets=dataset or (),
        models=model or (),
        metrics=metric or (),
        explainers=explainer or (),
        text=text,
        by=by,
        backbone=backbone,
    )
    say(err_console, f"wrote {found.plot(out)}", whole=True)
    for note in found.notes:
        say(err_console, note)
