"""`faithbench list`: what is installed, on one screen, by kind, or one component in full."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

import faithbench
from faithbench.commands import described, listed
from faithbench.commands.completion import names
from faithbench.commands.output import out_console
from faithbench.console import display, write
from faithbench.errors import unknown
from faithbench.plugins.finding import GROUPS
from faithbench.plugins.listing import Listed
from faithbench.tables.markdown import markdown
from faithbench.tables.parts import Part

FORMATS = ("terminal", "markdown", "json")


def list_components(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A kind (dataset, model, explainer, metric, describer, score, architecture) or a name [default: all].",
            autocompletion=names(*GROUPS, others=tuple(GROUPS)),
        ),
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="terminal, markdown or json [default: terminal on one, else markdown].")
    ] = None,
) -> None:
    """Show what is installed, and why something is broken.

    All by name, a kind a line each, or one component with its parameters, paper and cost.
    """
    chosen = format or ("terminal" if out_console.is_terminal else "markdown")
    if chosen not in FORMATS:
        raise unknown("format of a list", chosen, FORMATS)
    found, one = _found(name)
    if chosen == "json":
        return write(out_console, f"{json.dumps([asdict(each) for each in found], indent=2, default=str)}\n")
    if chosen == "terminal":
        return _on_terminal(name, found, one)
    parts: Iterable[Part] = listed.grid(found) if name else listed.overview(found)
    return write(out_console, markdown(described.parts(faithbench.describe(name)) if name and one else parts))


def _found(name: str | None) -> tuple[Sequence[Listed], bool]:
    """What is to be shown, and whether it is a component rather than a kind."""
    every = faithbench.components(name if name in GROUPS else None)
    if name is None or name in GROUPS:
        return every, False
    found = [each for each in every if each.name == name]
    if not found:
        raise unknown("kind or component", name, {*GROUPS, *(each.name for each in every)})
    return found, True


def _on_terminal(name: str | None, found: Sequence[Listed], one: bool) -> None:
    if name is not None and one:
        shown = described.renderable(out_console, faithbench.describe(name))
    elif name is not None:
        shown = listed.lines(out_console, found)
    else:
        shown = listed.screen(out_console, found)
    display(out_console, shown)
