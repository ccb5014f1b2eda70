"""`faithbench check`: does a component keep the contract?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

import faithbench
from faithbench.commands.completion import names
from faithbench.commands.output import err_console, out_console
from faithbench.console import say

if TYPE_CHECKING:
    from faithbench.conformance.checking import Checked, CheckedComponent


def check(
    name: Annotated[
        str,
        typer.Argument(
            help="An explainer or metric, or a package or module that brings some.",
            autocompletion=names("explainer", "metric"),
        ),
    ],
) -> None:
    """Try whether an explainer or a metric keeps the contract.

    On a tiny model, in seconds, offline; what fails comes with what to do. Status 1 if anything fails.
    """
    checked = faithbench.check(name, err_console)
    for component in checked.components:
        for line in _lines(component):
            say(out_console, line, whole=True)
    say(out_console, _summary(checked))
    if not checked.passed:
        raise typer.Exit(1)


def _lines(component: "CheckedComponent") -> Iterator[str]:
    state = "passed" if component.passed else "FAILED"
    yield f"{component.kind} {component.name}, of {component.origin}: {'loaded' if component.note else state}"
    for clause in component.clauses:
        yield f"  {'FAILED' if clause.problem else 'passed'}  {clause.what}"
        if clause.problem:
            yield f"          {clause.problem}"
            yield f"          To do: {clause.cure}."
    for remark in filter(None, (component.problem, component.note)):
        yield f"  {remark}"
    yield ""


def _summary(checked: "Checked") -> str:
    failed = [f"{component.kind} {component.name}" for component in checked.components if not component.passed]
    total = len(checked.components)
    if failed:
        return f"{len(failed)} of {total} failed: {', '.join(failed)}."
    tried = sum(bool(component.clauses) for component in checked.components)
    return (
        f"{tried} of {total} tried, and all of them keep the contract." if tried else "Nothing had a contract to try."
    )
