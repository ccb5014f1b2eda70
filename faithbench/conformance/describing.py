"""A component in full: what the package says of it, its traits, and what it costs, counted on a model of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.conformance import linear
from faithbench.conformance.answers import outcomes
from faithbench.conversations import ask
from faithbench.errors import UserError, unknown
from faithbench.interfaces import Traits
from faithbench.plugins import spec
from faithbench.plugins.listing import Listed, components
from faithbench.questions import Row
from faithbench.types import Text

TOKENS = 20  # of the text that costs are counted on


@dataclass(frozen=True)
class Described:
    """A component in full.

    Args:
        listed: what its package says.
        traits: of the component with its defaults; None where it cannot be made of them.
        rows: that it asks a model for to explain, or to measure, one text of `TOKENS` tokens; None where that cannot be
            counted, since it looks inside of models, for instance.
    """

    listed: Listed
    traits: Traits | None = None
    rows: int | None = None


def describe(name: str) -> tuple[Described, ...]:
    """The components of a name, of whatever kind, in full.

    Raises:
        UserError: there is none.
    """
    every = components()
    found = [each for each in every if each.name == name]
    if not found:
        raise unknown("kind or component", name, {each.name for each in every} | {each.kind for each in every})
    return tuple(map(_described, found))


def _described(listed: Listed) -> Described:
    if listed.problem or listed.kind == "architecture" or any(each.default is None for each in listed.parameters):
        return Described(listed)
    try:
        component = spec.build(listed.kind, listed.name)
    except UserError:
        return Described(listed)
    return Described(listed, component.traits, _rows(listed.kind, component.object))


def _rows(kind: str, component: Any) -> int | None:
    if kind not in ("explainer", "metric"):
        return None
    text = linear.document("counted", [2 + place * 7 % (len(linear.WEIGHTS) - 2) for place in range(TOKENS)])
    model = _Counting()
    (outcome,) = outcomes(model, {kind: ask(component, text, *_given(kind, text))}).values()
    return None if outcome.error else max(outcome.rows, model.rows)


class _Counting(linear.LinearModel):
    """Counts the rows that it reads, those too that a component reads by itself (`Inside`)."""

    rows = 0

    def logits(self, rows: Sequence[Row]) -> Float[np.ndarray, "rows outputs"]:
        self.rows += len(rows)
        return super().logits(rows)


def _given(kind: str, text: Text) -> tuple[object, ...]:
    target = linear.predicted(text)
    return (target,) if kind == "explainer" else (linear.perfect(text, target),)
