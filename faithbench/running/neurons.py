"""Neurons of one model in one data set's documents: described and scored, with a record for each.

What is recorded is not measured again; where nothing is left, no document is read.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import numpy as np

from faithbench.activations import Neuron, Overwritten
from faithbench.conversations import Answer
from faithbench.errors import UserError
from faithbench.interfaces import WhiteBox
from faithbench.neurons.answering import answer
from faithbench.neurons.corpus import PARTS, Corpus, read_corpus
from faithbench.neurons.recording import Activations, Unit, choose_units, record
from faithbench.neurons.showing import shown_windows
from faithbench.neurons.statistics import Activity
from faithbench.plugins.faults import blaming
from faithbench.records.manifest import SiteEntry, UnitsEntry
from faithbench.running.describing import Study
from faithbench.running.knowledge import Knowledge, key_of, mark_of
from faithbench.running.manifest import note
from faithbench.running.neuron_keeping import NeuronKeeping, kept_neuron
from faithbench.running.neuron_progress import NeuronLine
from faithbench.running.remaining import Cell
from faithbench.running.scoring import Done, Scoring
from faithbench.shown import counted
from faithbench.stopping import written_first


def score_neurons(begin: Callable[[], None], scoring: Scoring, limit: int | None = None) -> Done:
    """Describes and scores the neurons that have cells left.

    Before anything is written of them, and once it is known that they can be looked at, it is begun.

    Args:
        begin: the run.
        scoring: one model on one data set of neurons.
        limit: neurons at most; None for all that the data set takes.

    Raises:
        UserError: the model does not let components look inside, or the documents are too few.
    """
    units = chosen_units(scoring, limit)
    begin()
    known = Knowledge(0, {}, {"read": mark_of(scoring), **_earlier(scoring)})
    note(scoring.store, scoring, known)
    keeping = NeuronKeeping(scoring.store, scoring.identity)
    left = scoring.remaining.cells([unit.name for unit in units])
    versions = {name: str(each.version) for name, each in scoring.explainers.items()}
    also = {unit.name: keeping.undescribed(unit.name, versions) for unit in units}
    todo = [unit for unit in units if left[unit.name] or also[unit.name] or keeping.lacks(unit.name)]
    count, cells = sum(map(len, left.values())), len(scoring.explainers) * len(scoring.metrics)
    before = len(units) * cells - count
    _say_what(scoring, units, before)
    failed = 0
    if todo:
        failed, entry = _study(scoring, keeping, units, todo, left, also)
        known = replace(known, more={**known.more, "units": entry})
    note(scoring.store, scoring, known, done=True)
    return Done(count - failed, before, failed)


def chosen_units(scoring: Scoring, limit: int | None) -> tuple[Unit, ...]:
    """The neurons that a run takes, by layer; a larger limit takes all that a smaller does.

    Raises:
        UserError: the model has none that can be looked at.
    """
    data, network = scoring.texts.dataset.object, white_box(scoring).model
    with blaming(f"{scoring.model.label} cannot be looked into"):
        units = choose_units(network, data.site, data.per_layer, data.seed)
    return limited_units(units, limit, data.seed)


def limited_units(units: Sequence[Unit], limit: int | None, seed: int) -> tuple[Unit, ...]:
    """So many of the neurons, drawn over all layers alike, in the order in which they stand."""
    if limit is None or limit >= len(units):
        return tuple(units)
    of_sites: dict[str, list[int]] = {}
    for place, unit in enumerate(units):
        of_sites.setdefault(unit.site.name, []).append(place)
    rounds = list[tuple[int, float, int]]()
    for number, places in enumerate(of_sites.values()):
        generator = np.random.default_rng([seed, number])
        order = generator.permutation(len(places))
        turns = generator.random(len(places))  # of each round, which site is first
        rounds += [(turn, float(turns[turn]), places[place]) for turn, place in enumerate(order)]
    taken = {place for *_, place in sorted(rounds)[:limit]}
    return tuple(unit for place, unit in enumerate(units) if place in taken)


def white_box(scoring: Scoring) -> WhiteBox:
    """The model as one that components can look into.

    Raises:
        UserError: it is none.
    """
    classifier = scoring.model.classifier
    if any(not hasattr(classifier, name) for name in ("model", "tokenizer", "max_length")):
        raise UserError(
            f"{scoring.model.label} shows its answers alone and not the modules inside, so its neurons cannot be "
            "described; give a model of transformers."
        )
    return cast(WhiteBox, classifier)


def _say_what(scoring: Scoring, units: Sequence[Unit], before: int) -> None:
    layers = len({unit.site.name for unit in units})
    cells = len(scoring.explainers) * len(scoring.metrics)
    scoring.setup.say(
        f"{_title(scoring)}: {counted(len(units), 'neuron')} of {counted(layers, 'layer')} × "
        f"{counted(len(scoring.explainers), 'describer')} × {counted(len(scoring.metrics), 'score')} = "
        f"{counted(len(units) * cells, 'result')}, {before:,} of them done already."
    )


def _title(scoring: Scoring) -> str:
    return f"{scoring.model.label} on {scoring.texts.dataset.label}"


def _study(
    scoring: Scoring,
    keeping: NeuronKeeping,
    units: Sequence[Unit],
    todo: Sequence[Unit],
    left: Mapping[str, Sequence[Cell]],
    also: Mapping[str, Sequence[str]],
) -> tuple[int, UnitsEntry]:
    """Reads the documents and studies the neurons, one after another: how many results failed, and what was read."""
    data, inside = scoring.texts.dataset.object, white_box(scoring)
    corpus = read_corpus(scoring.texts.examples, inside.tokenizer, inside.max_length, data.window)
    _say_read(scoring, corpus, todo)
    failed, tokens = 0, len(corpus.ids)
    with (
        written_first(keeping.flush),
        NeuronLine(_title(scoring), tokens, len(todo), scoring.setup.console) as line,
        record(inside, corpus, todo, units, say=scoring.setup.say, heard=line.recorded) as activations,
    ):
        study = Study(
            scoring.identity, scoring.explainers, scoring.metrics, answering(activations), scoring.most_seconds
        )
        try:
            for place, unit in enumerate(todo):
                neuron = activations.neuron(place)
                places, kinds = shown_windows(neuron)
                shown = neuron.evaluate.windows.take(places)
                studied = study.of(neuron, left[unit.name], also[unit.name], shown)
                kept = kept_neuron(neuron, unit.site.name, activations.unit(place), places, kinds, corpus.names)
                keeping.add(kept, studied)
                failed += sum(record.error is not None for record in studied.records)
                line.studied(len(studied.records))
        finally:
            keeping.flush()
    keeping.compact()
    return failed, _units_entry(activations.activity(units))


def answering(activations: Activations) -> Callable[[Neuron, Overwritten], Answer]:
    """What scores ask of the model; a window is a row.

    One number in a neuron's place is asked for each of its descriptions: the model answers that once, and each asker is
    charged in full.
    """
    places = {unit.name: place for place, unit in enumerate(activations.units)}
    known = dict[tuple[object, ...], Answer]()  # of the neuron that was asked about last

    def asked(neuron: Neuron, question: Overwritten) -> Answer:
        start = time.perf_counter()
        value = answer(activations, places[neuron.unit], question)
        return Answer(value, len(question.windows), time.perf_counter() - start)

    def told(neuron: Neuron, question: Overwritten) -> Answer:
        values, where = question.values, question.windows.places
        if where is None or not isinstance(values, np.ndarray) or (values != values[:1, :1]).any():
            return asked(neuron, question)
        if any(unit != neuron.unit for unit, *_ in known):
            known.clear()
        key = neuron.unit, question.windows.ids.shape, values.shape, where.tobytes(), values.tobytes()
        found = known.get(key) or known.setdefault(key, asked(neuron, question))
        return replace(found, value=np.array(found.value))  # which whoever has it may write into

    return told


def _say_read(scoring: Scoring, corpus: Corpus, todo: Sequence[Unit]) -> None:
    counts = ", ".join(f"{int((corpus.part == part).sum()):,} to {name}" for part, name in enumerate(PARTS))
    sites = list(dict.fromkeys(unit.site.name for unit in todo))
    named = ", ".join(sites) if len(sites) < 4 else f"{sites[0]} to {sites[-1]}"
    scoring.setup.say(
        f"{_title(scoring)}: {corpus.documents:,} of {counted(len(corpus.names), 'document')} of the "
        f"{scoring.texts.split} split have {corpus.windows.ids.size:,} tokens in windows of "
        f"{corpus.windows.ids.shape[1]}: {counts}; {counted(len(todo), 'neuron')} of {named} "
        f"{'is' if len(todo) == 1 else 'are'} recorded."
    )


def _earlier(scoring: Scoring) -> dict[str, Any]:
    """What the manifest says of what was read for the same weights and documents."""
    manifest, texts = scoring.store.manifest(), scoring.texts
    entry = manifest.get("models", {}).get(key_of(scoring))
    data = manifest.get("datasets", {}).get(texts.dataset.identity)
    if entry is None or data is None or "units" not in entry:
        return {}
    same = (entry["fingerprint"], data["fingerprint"]) == (scoring.model.fingerprint, texts.fingerprint)
    return {"units": entry["units"]} if same else {}


def _units_entry(activity: Activity) -> UnitsEntry:
    """What the manifest says of what was read, and of the neurons there."""
    sites = [cast(SiteEntry, asdict(site)) for site in activity.sites]
    entry: UnitsEntry = {"documents": activity.documents, "tokens": activity.tokens, "sites": sites}
    return entry if activity.loss is None else {**entry, "loss": activity.loss}
