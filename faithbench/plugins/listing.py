"""What is installed: every component with its origin, or why it cannot be used."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

from faithbench.errors import UserError, unknown
from faithbench.plugins import finding
from faithbench.plugins.docstrings import Docstring, read_docstring
from faithbench.plugins.faults import blaming
from faithbench.plugins.traits import read_trait


@dataclass(frozen=True)
class Parameter:
    """One parameter: its default as a spec writes it, or None; its type and meaning, where they are said."""

    name: str
    default: str | None
    type: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Listed:
    """One component.

    Args:
        kind: of `faithbench.plugins.finding.GROUPS`; `package` for a package that cannot be read.
        name: of the component.
        signature: its parameters on one line.
        summary: what it is, a sentence or two.
        origin: the package that brings it, with its version.
        problem: why it cannot be used; empty if it can.
        about: of metrics and scores, what they are about: faithfulness, ground truth, …; empty where that depends on
            parameters.
        on_request: whether it is only run where it is named.
        parameters: one by one.
        said: what its docstring says.
    """

    kind: str
    name: str
    signature: str
    summary: str
    origin: str
    problem: str = ""
    about: str = ""
    on_request: bool = False
    parameters: tuple[Parameter, ...] = ()
    said: Docstring = field(default_factory=Docstring)


def components(kind: str | None = None) -> list[Listed]:
    """All installed components, of one kind or of every kind; broken ones too.

    Raises:
        UserError: there is no such kind.
    """
    if kind is not None and kind not in finding.GROUPS:
        raise unknown("kind", kind, finding.GROUPS)
    kinds = finding.GROUPS if kind is None else (kind,)
    found = [_listed(plugin) for each in kinds for plugin in finding.find(each).values()]
    return found + [
        Listed("package", name, "", "", name, f"{name}: {why}.") for name, why in finding.unreadable().items()
    ]


def _listed(plugin: finding.Plugin) -> Listed:
    try:
        factory, signature = plugin.load(), plugin.signature()
        with blaming(f"{plugin.whose} cannot be described"):
            return _described(plugin, factory, signature)
    except UserError as error:
        return Listed(plugin.kind, plugin.name, "", "", plugin.origin, str(error))


def _described(plugin: finding.Plugin, factory: Callable[..., object], signature: inspect.Signature) -> Listed:
    said, who = read_docstring(factory), f"{plugin.kind} {plugin.name!r}"
    parameters = tuple(_parameter(each, said) for each in signature.parameters.values())
    depends = isinstance(getattr(factory, "kind", None), property)
    return Listed(
        plugin.kind,
        plugin.name,
        ", ".join(each.name if each.default is None else f"{each.name}={each.default}" for each in parameters),
        said.summary,
        plugin.origin,
        about=read_trait(factory, "kind", who) if plugin.kind in ("metric", "score") and not depends else "",
        on_request=read_trait(factory, "on_request", who),
        parameters=parameters,
        said=said,
    )


def _parameter(found: inspect.Parameter, said: Docstring) -> Parameter:
    default = None if found.default is found.empty else str(found.default)
    return Parameter(found.name, default, _type(found.annotation), said.parameters.get(found.name, ""))


def _type(annotation: object) -> str:
    """As the author wrote it, or the name of a class; nothing where there is none."""
    if annotation is inspect.Parameter.empty:
        return ""
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
