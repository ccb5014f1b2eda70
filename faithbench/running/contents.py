"""The plans of a run's folder state what it holds: all that was run into it, not what was run last.

A plan is a grid, so two of them become one only where that says no more than both: one holds the other, or they differ
in one list alone. Else each has a file of its own, `plan.toml`, `plan-2.toml` and so on. What a person wrote stays.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache

from faithbench.errors import UserError
from faithbench.plan import AUTO, PLANS, Plan, changed, read_plan, write_plan
from faithbench.plugins import spec
from faithbench.plugins.naming import build_dataset, refer
from faithbench.records.store import Store
from faithbench.running.agenda import BlockPlan
from faithbench.running.grid import DatasetPlan
from faithbench.schemas import read_text

WRITTEN = "# written by faithbench run\n"
AXES = ("datasets", "models", "explainers", "metrics")
SETTINGS = ("protocol", "split", "dtype")


class Contents:
    """What the plans in a run's folder said when a run began.

    Args:
        store: of the run.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._own, self._others = store, dict[str, Plan](), dict[str, Plan | None]()
        for path in sorted(store.folder.glob(PLANS), key=lambda each: (len(each.name), each.name)):
            ours, plan = False, None
            with suppress(UserError):  # what a person wrote may be anything
                ours = read_text(path).startswith(WRITTEN)
                plan = read_plan(path)
            if ours and plan is not None:
                self._own[path.name] = plan
            elif not ours:
                self._others[path.name] = plan

    def add(self, plan: Plan, asked: Plan | None = None) -> None:
        """Writes the plans of the folder, with this one among them; not if a person's says so already.

        Args:
            plan: with names for all that it leaves open.
            asked: the same as it was given.

        Raises:
            UserError: the folder cannot be written.
        """
        before = list(self._own.values())
        forms = (plan, asked or plan)
        held = any(other is not None and _holds(other, form) for other in self._others.values() for form in forms)
        now = before if held else together(before, plan)
        names = [name for name in self._names(len(now) + len(self._others)) if name not in self._others]
        wanted = dict(zip(names, now, strict=False))
        for name, each in wanted.items():
            self._store.write_text(name, WRITTEN + write_plan(each))
        for path in self._store.folder.glob(PLANS):
            if path.name not in wanted and path.name not in self._others and path.name in self._names(len(before) + 1):
                path.unlink(missing_ok=True)

    def _names(self, count: int) -> list[str]:
        return ["plan.toml", *(f"plan-{number}.toml" for number in range(2, count + 1))]


def together(plans: Sequence[Plan], new: Plan) -> list[Plan]:
    """The plans with one more, as few as say no more than what all of them hold."""
    found, place = list(plans), len(plans)
    while True:
        joined = next(((i, one) for i, each in enumerate(found) if (one := joint(each, new)) is not None), None)
        if joined is None:
            found.insert(min(place, len(found)), new)
            return found
        at, new = joined
        place = min(place, at)
        del found[at]


def joint(one: Plan, new: Plan) -> Plan | None:
    """The plan that holds what two hold, and nothing besides; None if there is none."""
    if not _alike(one, new):
        return None
    like = tuple(dict.fromkeys((*one.like, *new.like)))
    apart = [axis for axis in AXES if not (_covers(one, new, axis) and _covers(new, one, axis))]
    if not apart and one.limit == new.limit and None not in (one.until, new.until):
        return replace(new, like=like)  # until what width is another now
    larger = next((each for each, other in ((one, new), (new, one)) if _holds(each, other)), None)
    if larger is not None:
        return replace(larger, like=like)
    if len(apart) > 1 or (one.limit, one.until) != (new.limit, new.until):
        return None
    both = {**_keys(new, apart[0]), **_keys(one, apart[0])}
    ordered = [both[key] for key in dict.fromkeys((*_keys(one, apart[0]), *_keys(new, apart[0])))]
    return changed(one, {apart[0]: ordered, "like": like}, {})


def named(plan: Plan, blocks: Sequence[BlockPlan], texts: Mapping[str, DatasetPlan]) -> Plan:
    """The plan with names for the explainers and metrics that it leaves open: those that run, and fit some of its data.

    Args:
        plan: which.
        blocks: that it was resolved into.
        texts: of its data sets, by identity.
    """
    explainers = plan.explainers or _labels("explainer", (e.identity for e in blocks[0].selection.explainers))
    fitting = {metric.identity for each in texts.values() for metric in each.metrics}
    chosen = (m.identity for m in blocks[0].selection.metrics if m.identity in fitting)
    return replace(plan, explainers=explainers, metrics=plan.metrics or _labels("metric", chosen))


def _labels(kind: str, identities: Iterator[str]) -> tuple[str, ...]:
    return tuple(spec.label(kind, identity) for identity in identities)


def _alike(one: Plan, other: Plan) -> bool:
    """Whether two plans measure in one way, whatever and how much they measure."""
    drifts = one.drift == other.drift or one.dtype != AUTO
    settings = all(getattr(one, name) == getattr(other, name) for name in SETTINGS)
    return settings and drifts and one.training.recipe == other.training.recipe


def _holds(larger: Plan, smaller: Plan) -> bool:
    """Whether a plan asks for all that another asks for, in the same way."""
    enough = (larger.limit or math.inf) >= (smaller.limit or math.inf) and larger.until in (None, smaller.until)
    return enough and _alike(larger, smaller) and all(_covers(larger, smaller, axis) for axis in AXES)


def _covers(larger: Plan, smaller: Plan, axis: str) -> bool:
    """Whether one names in a list all that another names there; what is spelt alike need not be looked up."""
    texts, others = {*getattr(larger, axis)}, {*getattr(smaller, axis)}
    return texts >= others or {*_keys(larger, axis)} >= {*_keys(smaller, axis)}


def _keys(plan: Plan, axis: str) -> dict[str, str]:
    """The names in a list of a plan, by what they come to."""
    return {_identity(axis, text): text for text in getattr(plan, axis)}


@cache
def _identity(axis: str, text: str) -> str:
    """What a name comes to; itself if what it names is not to be had any more."""
    try:
        if axis == "models":
            return refer(text).identity
        return build_dataset(text).identity if axis == "datasets" else spec.build(axis.removesuffix("s"), text).identity
    except UserError:
        return text
