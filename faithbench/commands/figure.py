"""`faithbench figure`."""

from pathlib import Path
from typing import Annotated

import typer

import faithbench
from faithbench.commands.output import err_console
from faithbench.console import say


def figure(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    like: Annotated[str, typer.Option(help="A figure of arXiv 2502.12992: figure2, figure5, figure6 or figure13.")],
    out: Annotated[Path, typer.Option(help="A file .svg, .png or .pdf.")],
    backbone: Annotated[str | None, typer.Option(help="Whose models [default: the only one's; figure2: all].")] = None,
) -> None:
    """Draw a published figure from one or more runs."""
    found = faithbench.paper_figure(runs, like, backbone)
    say(err_console, f"wrote {found.plot(out)}", whole=True)
    for note in found.notes:
        say(err_console, note)
