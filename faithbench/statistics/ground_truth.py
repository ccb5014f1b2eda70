"""Is what is known of texts true of a model? By its answers without what was planted, or beside a program's."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

WITH, WITHOUT = "accuracy with trigger", "accuracy without trigger"
WITHOUT_PART = "accuracy without {}"  # of what was planted
AGREES, AGREES_CHANGED = "agrees with program", "agrees on changed texts"
ACCEPTED = 99.9  # percent of texts, and of changed texts
LEAST, GAP = 90.0, 15.0  # percent: with the trigger; points that the accuracy must fall by without it


def ground_truth_holds(found: Mapping[str, Any]) -> bool:
    """Whether the model does what the trigger says and cannot do without it or a part of it; numbers say so alone."""
    gone = [accuracy for _, accuracy in without(found)]
    return _numbers(found[WITH], *gone) and found[WITH] >= LEAST and all(found[WITH] - each > GAP for each in gone)


def without(found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is gone from a trigger, and the accuracy then: first of all of it ("it"), then of parts."""
    before = WITHOUT_PART.format("")
    yield "it", found[WITHOUT]
    parts = ((name, value) for name, value in found.items() if name.startswith(before) and name != WITHOUT)
    yield from ((name.removeprefix(before), value) for name, value in parts)


def program_holds(found: Mapping[str, Any]) -> bool:
    """Whether the model computes the program, near enough that what is true of the one is true of the other."""
    shares = found[AGREES], found[AGREES_CHANGED]
    return _numbers(*shares) and bool(min(shares) >= ACCEPTED)


def truth_doubts(found: Mapping[str, Any]) -> Iterator[str]:
    """A sentence where what is known of texts is not true of the model.

    Args:
        found: numbers by name, in percent; others, as a manifest may hold, are passed over.
    """
    numbers = {name: value for name, value in found.items() if _numbers(value)}
    if {WITH, WITHOUT} <= set(numbers) and not ground_truth_holds(numbers):
        fallen = [f"{accuracy:.1f} % without {gone}" for gone, accuracy in without(numbers)]
        what = "all that" if len(fallen) > 1 else "what"
        yield (
            f"the ground truth does not hold, since the model does not rely on {what} was planted: accuracy "
            f"{numbers[WITH]:.1f} % with it, {', '.join(fallen)}."
        )
    if {AGREES, AGREES_CHANGED} <= set(numbers) and not program_holds(numbers):
        yield (
            "the ground truth is not the model's, which is not accepted as the program: it agrees with it on "
            f"{_down(numbers[AGREES])} % of the texts and {_down(numbers[AGREES_CHANGED])} % of their changes, and "
            f"{ACCEPTED} % are needed of both; train it with masking=none and another learning rate."
        )


def _numbers(*values: Any) -> bool:
    """Whether all are; of a manifest they may be anything."""
    return all(isinstance(value, (int, float)) for value in values)


def _down(percent: float) -> str:
    """A share that is not rounded up to what is asked of it."""
    return f"{math.floor(100 * percent) / 100:.2f}"
