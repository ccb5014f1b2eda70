"""`faithbench report`."""

from pathlib import Path
from typing import Annotated

import typer

import faithbench
from faithbench.commands.output import err_console
from faithbench.console import say


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or of leaderboards.")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
    generation: Annotated[
        list[Path] | None,
        typer.Option(help="A text that a model went on with: JSON of `faithbench explain --generate`."),
    ] = None,
) -> None:
    """Write what runs have found as one HTML file.

    Whom to trust, and why, down to single texts; it needs no network.
    """
    say(err_console, f"wrote {faithbench.report(runs, out, generation or ())}", whole=True)
