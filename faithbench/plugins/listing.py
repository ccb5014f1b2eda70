"""What is installed: every component with its origin, or why it cannot be used."""

import inspect
from dataclasses import dataclass

from faithbench.errors import UserError
from faithbench.plugins import finding
from faithbench.plugins.faults import blaming


@dataclass(frozen=True)
class Listed:
    """One component. `problem` is empty if it can be used."""

    kind: str
    name: str
    signature: str
    summary: str
    origin: str
    problem: str = ""


def components(kind: str | None = None) -> list[Listed]:
    """All installed components, of one kind or of every kind; broken ones too.

    Raises:
        UserError: there is no such kind.
    """
    if kind is not None and kind not in finding.GROUPS:
        raise UserError(f"kind {kind!r} is not known; use {', '.join(finding.GROUPS)}.")
    kinds = finding.GROUPS if kind is None else (kind,)
    found = [_listed(plugin) for each in kinds for plugin in finding.find(each).values()]
    return found + [
        Listed("package", name, "", "", name, f"{name}: {why}.") for name, why in finding.unreadable().items()
    ]


def _listed(plugin: finding.Plugin) -> Listed:
    try:
        factory = plugin.load()
        parameters = plugin.signature().parameters.values()
        with blaming(f"{plugin.whose} cannot be described"):
            shown = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters)
            summary = (inspect.getdoc(factory) or "").split("\n\n")[0].replace("\n", " ")
    except UserError as error:
        return Listed(plugin.kind, plugin.name, "", "", plugin.origin, str(error))
    return Listed(plugin.kind, plugin.name, shown, summary, plugin.origin)
