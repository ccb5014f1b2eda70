"""Reads and checks the traits of components (`faithbench.interfaces.Traits`): the one place where that is done."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from faithbench.errors import UserError, short
from faithbench.interfaces import Traits
from faithbench.plugins.faults import blaming
from faithbench.plugins.finding import KINDS
from faithbench.types import LINKS, Text

FIELDS = frozenset(field.name for field in fields(Text))
SUMS = ("", "logit", "content", "tokens")
EVERY = ("version", "added", "formerly", "on_request")
OF_METRICS = "kind higher_is_better range needs by_order keep_parts parts_at unproven links".split()
OF: dict[str, tuple[str, ...]] = {
    "dataset": (*EVERY, "lr", "base", "only_for", "unit", "planted_parts"),
    "model": EVERY,
    "explainer": (*EVERY, "class_sensitive", "sums_to", "dear", "degrades"),
    "metric": (*EVERY, *OF_METRICS),
    "describer": (*EVERY, "dear"),
    "score": (*EVERY, "kind", "higher_is_better", "range", "keep_parts"),
}
METHODS = {  # traits that are told by having a method of that name
    "model": ("change",),
    "dataset": ("for_model", "without", "says", "skipped", "notes", "unfit"),
    "explainer": ("repeats",),
}
DEFAULTS = {field.name: field.default for field in fields(Traits)}


def read_traits(kind: str, component: object, who: str) -> Traits:
    """All traits of a component.

    Args:
        kind: of `faithbench.plugins.finding.GROUPS`; those of another kind mean nothing to it.
        component: built.
        who: what it is called in errors.

    Raises:
        UserError: one is not what it must be.
    """
    said: dict[str, Any] = {name: read_trait(component, name, who) for name in OF.get(kind, ())}
    with blaming(f"{who} does not tell what methods it has"):
        said |= {name: callable(getattr(component, name, None)) for name in METHODS.get(kind, ())}
    return Traits(**said)


def read_trait(owner: object, name: str, who: str) -> Any:
    """One trait of a component, or of the class or function that makes it.

    Raises:
        UserError: it is not what it must be.
    """
    default, allowed = DEFAULTS[name], ALLOWED[name]
    with blaming(f"{who} does not tell its {name}"):
        value = getattr(owner, name, default)
        if value is not default and not allowed.holds(value):
            raise UserError(f"{who} says {name}={short(value)}, which is not allowed; it must be {allowed.words}.")
        return value


@dataclass(frozen=True)
class Allowed:
    """What values a trait may have, as a check and in words."""

    holds: Callable[[Any], bool]
    words: str


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_names(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) and name.isidentifier() for name in value)


def _are_shares(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and all(_is_number(share) and 0 <= share <= 1 for share in value)
        and list(value) == sorted(set(value))
    )


def _are_pairs(value: object) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(pair, tuple) and len(pair) == 2 and _is_names(pair[:1]) for pair in value
    )


def _is_line(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _is_range(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value)) and bool(value[0] < value[1])


def _is_share_of(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and _is_line(value[0]) and _is_number(value[1])


_BOOL = Allowed(_is_bool, "True or False")
ALLOWED = {
    "version": Allowed(lambda value: type(value) is int and value >= 1, "a whole number from 1"),
    "added": Allowed(_is_names, 'a tuple of names of parameters, such as ("epochs",)'),
    "formerly": Allowed(_are_pairs, 'a tuple of names with values, such as (("epochs", 3),)'),
    "on_request": _BOOL,
    "kind": Allowed(_is_line, 'a text on one line, such as "ground truth"'),
    "higher_is_better": Allowed(lambda value: value is None or _is_bool(value), "True, False or None"),
    "range": Allowed(
        lambda value: value is None or _is_range(value), "None or the least and the largest value, such as (0, 100)"
    ),
    "needs": Allowed(
        lambda value: _is_names(value) and FIELDS.issuperset(value), 'a tuple of fields of Text, such as ("evidence",)'
    ),
    "by_order": _BOOL,
    "keep_parts": _BOOL,
    "parts_at": Allowed(_are_shares, "a tuple of rising shares from 0 to 1, such as (0.1, 0.5)"),
    "unproven": Allowed(lambda value: value == "" or _is_line(value), "a text on one line"),
    "class_sensitive": _BOOL,
    "links": Allowed(
        lambda value: isinstance(value, tuple) and bool(value) and set(LINKS).issuperset(value),
        f"a tuple of some of {', '.join(map(repr, LINKS))}",
    ),
    "sums_to": Allowed(lambda value: value in SUMS, f"one of {', '.join(map(repr, SUMS))}"),
    "dear": _BOOL,
    "degrades": Allowed(
        lambda value: value is None or (_is_share_of(value) and 0 <= value[1] <= 1),
        'None or the identity of an explainer and a share from 0 to 1, such as ("occlusion", 0.5)',
    ),
    "planted_parts": Allowed(
        lambda value: isinstance(value, tuple) and all(map(_is_line, value)) and "trigger" not in value,
        'a tuple of texts on one line, such as ("the first word", "the second word"), none of them "trigger"',
    ),
    "lr": Allowed(lambda value: value is None or (_is_number(value) and value > 0), "a number above 0"),
    "unit": Allowed(lambda value: value in KINDS, f"one of {', '.join(map(repr, KINDS))}"),
    "base": Allowed(lambda value: value is None or _is_line(value), "the spec of a data set"),
    "only_for": Allowed(
        lambda value: value is None or (isinstance(value, str) and value in FIELDS),
        'a field of Text, such as "segments"',
    ),
}
