"""The precision of a model on a data set: chosen, or asked for, and by how much it moves scores (docs/precision.md).

Sixteen texts are measured in float32 and in the precision that is tried, with masks that both share, so that nothing
but rounding is compared. What was decided stands in the run's manifest, and a run that goes on decides nothing anew.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from jaxtyping import Float

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, measure, measure_with, targets_of
from faithbench.conversations import Asking, attempt, gather
from faithbench.draws import generator
from faithbench.errors import UserError
from faithbench.interfaces import Classifier
from faithbench.models.precision import candidates
from faithbench.plan import AUTO, MIXED
from faithbench.plugins import spec
from faithbench.plugins.naming import ModelRef
from faithbench.plugins.spec import Component
from faithbench.questions import Logits
from faithbench.records.manifest import Manifest, Moved, Precision
from faithbench.records.store import Store
from faithbench.running.grid import DatasetPlan
from faithbench.tables.cautions import is_above, precision_said
from faithbench.training.encoding import encode_examples
from faithbench.training.prepare import Prepared, Workshop, is_plugins
from faithbench.types import Attribution, Target, Text

SINGLE = "float32"
TEXTS, TOKENS, ORDERS = 16, 12, 2
REMOVALS = ("comprehensiveness", "sufficiency")
POINTING, SHAPLEY = "seqpg", "shapley"
FIXED = ("input_x_gradient", "random")  # explainers whose orders, taken in float32, tokens are removed in
K = TypeVar("K")
Values: TypeAlias = Mapping[str, Float[np.ndarray, "_"]]  # by measure


def resolve(
    asked: str, limit: float, model: ModelRef, base: Component, data: DatasetPlan, workshop: Workshop, store: Store
) -> str:
    """The precision in which a model is measured on a data set; all that a worker need be told of it.

    What it does to scores is measured, said and kept, unless that has been done.

    Args:
        asked: of the plan: a precision, or `auto`.
        limit: points by which `auto` lets a precision move a text's scores, on average.
        model: which.
        base: what a named model is trained on.
        data: the texts.
        workshop: makes models real.
        store: of the run, whose manifest keeps what is decided.

    Raises:
        UserError: there is no such model, or it has no such precision.
    """
    device = torch.device(workshop.setup.device)
    if is_plugins(model) or (asked != AUTO and not candidates(asked, device)):
        return _of_plugin(model, workshop) if asked == AUTO else asked
    exact = workshop.prepare(model, base, SINGLE)
    place = f"{exact.identity} on {data.dataset.identity}"
    found = store.manifest().get("precision", {}).get(place, {}).get(asked)
    of = exact.fingerprint, data.fingerprint, float(limit)
    if found is None or (found["weights"], found["data"], found["limit"]) != of:
        found = _decide(asked, limit, model, base, data, workshop)

        def change(manifest: Manifest, found: Precision = found) -> None:
            manifest.setdefault("precision", {}).setdefault(place, {})[asked] = found

        store.change_manifest(change)
    for sentence in precision_said(asked, found) if found["measured"] else [f"dtype {asked} is {found['dtype']}."]:
        workshop.setup.say(f"{exact.label} on {data.dataset.label}: {sentence}")
    return found["dtype"]


def decided(exact: Prepared, dataset: Component, store: Store) -> str:
    """The precision that `auto` is for a model on a data set in a run that has decided it.

    Args:
        exact: the model in float32.
        dataset: which.
        store: of the run.

    Raises:
        UserError: nothing is decided there.
    """
    found = store.manifest().get("precision", {}).get(f"{exact.identity} on {dataset.identity}", {}).get(AUTO)
    if found is None or found["weights"] != exact.fingerprint:
        raise UserError(
            f"{store.folder} has not decided what dtype {AUTO!r} is for {exact.label} on {dataset.label}; give the "
            f"precision of the run, such as {SINGLE} or {MIXED}."
        )
    return found["dtype"]


def _of_plugin(model: ModelRef, workshop: Workshop) -> str:
    """The precision of a model that knows of no other."""
    workshop.setup.say(f"{model.label} is prepared by a plugin, which has no mixed precision: dtype auto is {SINGLE}.")
    return SINGLE


def _decide(
    asked: str, limit: float, model: ModelRef, base: Component, data: DatasetPlan, workshop: Workshop
) -> Precision:
    """Tries one precision after the other, until one may be used."""
    exact = workshop.prepare(model, base, SINGLE)
    unit = "points" if exact.classifier.task.link != "identity" else "of the value"
    found: Precision = {
        "dtype": SINGLE,
        "weights": exact.fingerprint,
        "data": data.fingerprint,
        "limit": float(limit),
        "unit": unit,
        "texts": 0,
        "measured": {},
    }
    for name in candidates(asked, torch.device(workshop.setup.device)):
        try:
            tried = workshop.prepare(model, base, name)
        except UserError:
            if asked != AUTO:
                raise
            continue
        found["texts"], found["measured"][name] = drift(exact, tried.classifier, data)
        if asked != AUTO or not is_above(found, name):
            return {**found, "dtype": name}
    return found


def drift(exact: Prepared, other: Classifier, data: DatasetPlan, most: int = TEXTS) -> tuple[int, dict[str, Moved]]:
    """By how much a classifier moves scores against one in float32: of how many texts, and of each measure.

    Comprehensiveness, sufficiency and SeqPG in their units, Shapley values in percent of the largest of a text.

    Args:
        exact: the model in float32.
        other: the same in another precision.
        data: whose texts.
        most: of them.
    """
    texts = _chosen(exact, data, most)
    aims = _all(exact.classifier, {text.id: targets_of(exact.classifier, text) for text in texts})
    targets = {name: aim[0] for name, aim in aims.items() if aim}
    texts = [text for text in texts if text.id in targets]
    orders, metrics = _orders(exact.classifier, texts, targets), _metrics()
    both = []
    for classifier in (exact.classifier, other):
        asked = {text.id: _values(text, targets[text.id], orders[text.id], metrics) for text in texts}
        both.append(_all(classifier, asked))
    pairs = [(single, both[1][name]) for name, single in both[0].items() if single is not None]
    return len(pairs), {name: _moved(name, pairs) for name in (pairs[0][0] if pairs else ())}


def _chosen(exact: Prepared, data: DatasetPlan, most: int) -> list[Text]:
    """Texts from the shortest to the longest of the data set's sample, which is the same for every limit."""
    ordered = sorted(data.sample, key=lambda each: (len(each.text) + len(each.pair or ""), each.id))
    read = encode_examples(exact, data.dataset, [ordered[place] for place in spread(len(ordered), most)])
    return [text for text in read.texts if len(text.content)]


def spread(count: int, most: int) -> list[int]:
    """At most so many places of a list, evenly apart, with the first and the last."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))})


def _all(classifier: Classifier, askings: Mapping[K, Asking[Any]]) -> dict[K, Any]:
    """What came of each; None where it failed."""
    outcomes = Engine(classifier).run(attempt(name, asking) for name, asking in askings.items())
    found = {name: outcome.value for name, outcome in outcomes}
    return {name: found[name] for name in askings}


def _metrics() -> dict[str, Component]:
    return {name: spec.build("metric", name) for name in (*REMOVALS, POINTING)}


def _orders(
    classifier: Classifier, texts: Sequence[Text], targets: Mapping[str, Target]
) -> dict[str, list[Attribution]]:
    """The fixed scores by which tokens are removed, of the explainers that can explain the model."""
    explainers = [spec.build("explainer", name) for name in FIXED]
    asked = {
        (text.id, each.identity): explain(each, text, targets[text.id], classifier.classes)
        for text in texts
        for each in explainers
    }
    found = _all(classifier, asked)
    return {
        text.id: [found[text.id, each.identity] for each in explainers if found[text.id, each.identity] is not None]
        for text in texts
    }


def _values(
    text: Text, target: Target, orders: Sequence[Attribution], metrics: Mapping[str, Component]
) -> Asking[Values]:
    """Everything that is compared, of one text."""
    found = {}
    for name in REMOVALS:
        measured = yield from gather([measure(metrics[name], text.own(), each) for each in orders])
        found[name] = np.array([each.value for each in measured])
    few = yield from few_shapley(text, target)
    found[SHAPLEY] = few.scores
    if text.segments is not None:
        pointed = yield from measure_with(metrics[POINTING], text, few, few_shapley)
        found[POINTING] = np.array([pointed.value])
    return found


def few_shapley(text: Text, target: Target) -> Asking[Attribution]:
    """Shapley values of a few tokens, evenly apart, by two orders of them all; the others score 0."""
    content = text.content
    chosen = spread(len(content), TOKENS)
    draws = generator(text)
    places = np.argsort([draws.permutation(len(content)) for _ in range(ORDERS)], axis=1)  # of tokens in orders
    there = places[:, chosen, None] + np.arange(2)  # how many tokens have joined before each one, and with it
    keep = np.ones((*there.shape, len(text)), dtype=bool)
    keep[..., content] = places[:, None, None, :] < there[..., None]
    logits: Float[np.ndarray, "rows outputs"] = yield Logits(text, keep.reshape(-1, len(text)))
    steps = np.diff(target.value(logits).reshape(there.shape), axis=-1)[..., 0]
    scores = np.zeros(len(text))
    scores[content[chosen]] = steps.mean(axis=0)
    return Attribution(text.id, target, scores)


def _moved(name: str, pairs: Sequence[tuple[Values, Values | None]]) -> Moved:
    """How far apart a measure is in pairs of float32 and the other; infinitely where the other has failed."""
    apart = np.concatenate(
        [_apart(name, single[name], None if other is None else other[name]) for single, other in pairs]
    )
    apart = apart if len(apart) else np.zeros(1)
    sizes = np.abs(apart)
    return {"mean": float(apart.mean()), "absolute": float(sizes.mean()), "largest": float(sizes.max())}


def _apart(name: str, single: Float[np.ndarray, "_"], other: Float[np.ndarray, "_"] | None) -> Float[np.ndarray, "_"]:
    """The differences of one text, where there is something in float32; of Shapley values in percent of the largest."""
    defined = np.isfinite(single) if name != SHAPLEY else single != 0
    if other is None:
        return np.full(int(defined.sum()), np.inf)
    found = np.where(np.isfinite(other), other - single, np.inf)[defined]
    return 100 * found / np.abs(single).max() if name == SHAPLEY else found
