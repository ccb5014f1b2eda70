"""`faithbench list`."""

from typing import Annotated

import typer

import faithbench
from faithbench.commands.output import out_console
from faithbench.console import show


def list_components(
    kind: Annotated[
        str | None, typer.Argument(help="dataset, model, explainer, metric or architecture; all if left out.")
    ] = None,
) -> None:
    """Show what is installed, where it comes from, or why it is broken."""
    found = faithbench.components(kind)
    rows = [
        [
            (row.kind, ""),
            (row.name, ""),
            (row.signature, ""),
            (f"BROKEN: {row.problem}", "red") if row.problem else (row.summary, ""),
            (row.origin, ""),
        ]
        for row in found
    ]
    show(out_console, ("kind", "name", "parameters", "what it is", "from"), rows)
