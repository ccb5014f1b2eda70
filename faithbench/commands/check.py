"""`faithbench check`: does a component keep the contract?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

import faithbench
from faithbench.commands.completion import names
from faithbench.commands.output import err_console, out_console
from faithbench.console import display, say, words
from faithbench.running.options import CLAUSE_SECONDS

if TYPE_CHECKING:
    from faithbench.conformance.checking import Checked, CheckedComponent

PASSED, FAILED = "passed", "FAILED"
STYLES = {PASSED: "green", FAILED: "bold red"}


def check(
    name: Annotated[
        str,
        typer.Argument(
            help="An explainer, metric, describer or score, or a package or module that brings some.",
            autocompletion=names("explainer", "metric", "describer", "score"),
        ),
    ],
    timeout: Annotated[float, typer.Option(help="Seconds for each clause of the contract.")] = CLAUSE_SECONDS,
) -> None:
    """Try whether a component keeps its contract.

    On a tiny model, in seconds, offline; what fails comes with what to do. Status 1 if anything fails.
    """
    checked = faithbench.check(name, err_console, timeout)
    for component in checked.components:
        say(out_console, f"{component.kind} {component.name}, of {component.origin}: {_state(component)}", whole=True)
        _show(list(_rows(component)))
        say(out_console, "")
    say(out_console, _summary(checked))
    if not checked.passed:
        raise typer.Exit(1)


def _state(component: "CheckedComponent") -> str:
    if not component.passed:
        return FAILED
    return "loaded" if component.note else PASSED


def _rows(component: "CheckedComponent") -> Iterator[tuple[str, str]]:
    """What stands in the margin, and a line beside it."""
    for clause in component.clauses:
        yield FAILED if clause.problem else PASSED, clause.what
        if clause.problem:
            yield "", clause.problem
            yield "", f"To do: {clause.cure}."
    for remark in filter(None, (component.problem, component.note)):
        yield "", remark


def _show(rows: list[tuple[str, str]]) -> None:
    """Folded on a terminal; whole lines elsewhere."""
    if not out_console.is_terminal:
        for margin, line in rows:
            say(out_console, f"  {margin:6}  {line}", whole=True)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=len(FAILED) + 2)
    table.add_column(overflow="fold")
    for margin, line in rows:
        table.add_row(words(out_console, f"  {margin}", STYLES.get(margin, "")), words(out_console, line))
    display(out_console, table)


def _summary(checked: "Checked") -> str:
    failed = [f"{component.kind} {component.name}" for component in checked.components if not component.passed]
    if failed:
        return f"{len(failed)} of {len(checked.components)} failed: {', '.join(failed)}."
    tried = [f"{component.kind} {component.name}" for component in checked.components if component.clauses]
    if not tried:
        return "Nothing here has a contract that could be tried."
    return f"{tried[0]} keeps the contract." if len(tried) == 1 else f"All {len(tried)} that were tried keep it."
