"""Cards of metrics and explainers, made from their docstrings, signatures and traits: no list of them is kept by hand."""

import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from faithbench.plugins.finding import Plugin, find
from griffe import Docstring, DocstringSectionKind, Parser

ARXIV = re.compile(r"(?:arXiv )?\b(\d{4}\.\d{4,5}|cs/\d{7})\b")
UNITS = {"softmax": "classes", "sigmoid": "several labels", "identity": "a value"}


@dataclass(frozen=True)
class Card:
    """What is said of one component."""

    plugin: Plugin
    factory: Callable[..., object]
    made: object

    @classmethod
    def of(cls, plugin: Plugin) -> "Card":
        """The card of an installed component; what needs parameters is described by its class."""
        factory = plugin.load()
        needed = any(p.default is p.empty for p in plugin.signature().parameters.values())
        return cls(plugin, factory, factory if needed else factory())

    def trait(self, name: str, default: Any) -> Any:
        """What the component says of itself under this name; the default where only one with parameters can say it."""
        value = getattr(self.made, name, default)
        return default if isinstance(value, property) or callable(value) else value

    def markdown(self) -> str:
        """A section: summary, facts, parameters, and the rest of the docstring."""
        sections = Docstring(inspect.getdoc(self.factory) or "").parse(
            Parser.google, warn_missing_types=False, warn_unknown_params=False
        )
        said = "\n\n".join(str(part.value) for part in sections if part.kind is DocstringSectionKind.text)
        told = [each for part in sections if part.kind is DocstringSectionKind.parameters for each in part.value]
        summary, _, rest = said.partition("\n\n")
        parts = [f"## `{self.plugin.name}`", summary, _table("", self.facts()), rest]
        return "\n\n".join(filter(None, [*parts, self.parameters({each.name: each.description for each in told})]))

    def facts(self) -> Iterable[tuple[str, str]]:
        """Names and values of what is known of the component."""
        yield "from", linked((sys.modules[self.factory.__module__].__doc__ or "").split("\n\n")[0].replace("\n", " "))
        if self.plugin.kind == "metric":
            yield "about", self.trait("kind", "faithfulness")
            yield "better", {True: "higher", False: "lower", None: "neither"}[self.trait("higher_is_better", None)]
            yield "range", shown_range(self.trait("range", None))
            yield "needs of a text", ", ".join(self.trait("needs", ())) or "nothing beside its tokens"
            yield "of models that say", ", ".join(UNITS[link] for link in self.trait("links", tuple(UNITS)))
        else:
            yield "depends on the class", "yes" if self.trait("class_sensitive", True) else "no"
            yield "scores add up to", SUMS[self.trait("sums_to", "")]
        yield "runs", "where it is named" if getattr(self.factory, "on_request", False) else "by itself"
        yield "version", str(self.trait("version", 1))

    def parameters(self, told: dict[str, str]) -> str:
        """A table of parameters with defaults; empty where there are none."""
        rows = [
            (f"`{p.name}`", "needed" if p.default is p.empty else f"`{p.default}`", told.get(p.name, ""))
            for p in self.plugin.signature().parameters.values()
        ]
        return _table("parameter | default | what it is", rows) if rows else ""


SUMS = {
    "": "nothing in particular",
    "logit": "the target's logit",
    "content": "what the content tokens add to the target's logit",
    "tokens": "what all tokens add to the target's logit",
}


def card_pages() -> dict[str, str]:
    """The pages of the site that hold cards."""
    return {"cards/metrics.md": page("metric"), "cards/explainers.md": page("explainer")}


def page(kind: str) -> str:
    """All components of a kind that faithbench brings, in the order of their names."""
    cards = [Card.of(plugin) for plugin in find(kind).values() if plugin.origin.startswith("faithbench ")]
    intro = f"Made from the docstrings; `faithbench list {kind}` shows those that are installed on your machine."
    return "\n\n".join([f"# {kind.capitalize()}s", intro, *(card.markdown() for card in cards)]) + "\n"


def linked(line: str) -> str:
    """A line whose arXiv numbers are links."""
    return ARXIV.sub(lambda number: f"[{number[0]}](https://arxiv.org/abs/{number[1]})", line)


def shown_range(ends: tuple[float, float] | None) -> str:
    """The least and the largest value, in words where there is no limit."""
    if ends is None:
        return "not known"
    low, high = ("no limit" if math.isinf(end) else f"{end:g}" for end in ends)
    return f"{low} to {high}"


def _table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    names = head.split(" | ") if head else ["", ""]
    return "\n".join([f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}", *lines])


def _cell(value: str) -> str:
    return " ".join(value.split()).replace("|", "\\|")
