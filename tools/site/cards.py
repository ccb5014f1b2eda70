"""Cards of metrics and explainers, made from their docstrings, signatures and traits: nobody keeps a list of them."""

import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from griffe import Docstring, DocstringSectionKind, Parser

from faithbench.plugins.finding import Plugin, find
from faithbench.plugins.traits import DEFAULTS

ARXIV = re.compile(r"(?:arXiv )?\b(\d{4}\.\d{4,5}|cs/\d{7})\b")
SAYS = {"softmax": "one class", "sigmoid": "several labels", "identity": "a value"}
BETTER = {True: "higher", False: "lower", None: "neither"}
SUMS = {
    "": "nothing in particular",
    "logit": "the target's logit",
    "content": "what the content tokens add to the target's logit",
    "tokens": "what all tokens add to the target's logit",
}


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

    def trait(self, name: str, said: Callable[[Any], str]) -> str:
        """What the component says of itself under this name, in words."""
        value = getattr(self.made, name, DEFAULTS[name])
        return "as its parameters say" if isinstance(value, property) else said(value)

    def markdown(self) -> str:
        """A section: summary, facts, parameters, and the rest of the docstring."""
        described = Docstring(inspect.getdoc(self.factory) or "")
        sections = described.parse(Parser.google, warn_missing_types=False, warn_unknown_params=False)
        said = "\n\n".join(str(part.value) for part in sections if part.kind is DocstringSectionKind.text)
        told = [each for part in sections if part.kind is DocstringSectionKind.parameters for each in part.value]
        summary, _, rest = said.partition("\n\n")
        facts = "\n".join(f"- {name}: {value}" for name, value in self.facts())
        parts = [f"## `{self.plugin.name}`", summary, facts, rest]
        return "\n\n".join(filter(None, [*parts, self.parameters({each.name: each.description for each in told})]))

    def facts(self) -> Iterable[tuple[str, str]]:
        """Names and values of what is known of the component."""
        yield "from", linked((sys.modules[self.factory.__module__].__doc__ or "").split("\n\n")[0].replace("\n", " "))
        if self.plugin.kind == "metric":
            yield "about", self.trait("kind", str)
            yield "better", self.trait("higher_is_better", BETTER.__getitem__)
            yield "range", self.trait("range", shown_range)
            yield "needs of a text", self.trait("needs", lambda names: ", ".join(names) or "nothing beside its tokens")
            yield "for models that say", self.trait("links", lambda links: ", ".join(map(SAYS.__getitem__, links)))
        else:
            yield "depends on the class", self.trait("class_sensitive", lambda depends: "yes" if depends else "no")
            yield "scores add up to", self.trait("sums_to", SUMS.__getitem__)
        yield "runs", self.trait("on_request", lambda asked: "where it is named" if asked else "by itself")
        yield "version", self.trait("version", str)

    def parameters(self, told: dict[str, str]) -> str:
        """A table of parameters with defaults; empty where there are none."""
        rows = [
            (f"`{p.name}`", "needed" if p.default is p.empty else f"`{p.default}`", told.get(p.name, ""))
            for p in self.plugin.signature().parameters.values()
        ]
        return _table(("parameter", "default", "what it is"), rows) if rows else ""


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


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines])


def _cell(value: str) -> str:
    return " ".join(value.split()).replace("|", "\\|")
