"""Neurons of one model in one data set's documents: described and scored, with a record for each."""

import time
from collections.abc import Callable
from typing import cast

from faithbench.errors import describe
from faithbench.interfaces import WhiteBox
from faithbench.neurons.corpus import read_corpus
from faithbench.neurons.recording import Activations, choose_units, record
from faithbench.running.knowledge import Knowledge, mark_of
from faithbench.running.manifest import note
from faithbench.running.remaining import version_of
from faithbench.running.scoring import Done, Scoring
from faithbench.types import Measurement, Record, Target


def score_neurons(begin: Callable[[], None], scoring: Scoring) -> Done:
    """Describes and scores the neurons that have cells left."""
    data, classifier = scoring.texts.dataset.object, cast(WhiteBox, scoring.model.classifier)
    network, tokenizer = classifier.model, classifier.tokenizer
    corpus = read_corpus(scoring.texts.examples, tokenizer, classifier.max_length, data.window)
    units = choose_units(network, data.site, data.per_layer, data.seed)
    begin()
    known = Knowledge(0, {}, {"read": mark_of(scoring)})
    note(scoring.store, scoring, known)
    left = scoring.remaining.cells([unit.name for unit in units])
    todo = [unit for unit in units if left[unit.name]]
    cells = len(scoring.explainers) * len(scoring.metrics)
    done = failed = 0
    if todo:
        with record(classifier, corpus, todo, units) as activations:
            for place, unit in enumerate(todo):
                for made in _scored(scoring, activations, place, left[unit.name]):
                    scoring.store.add([], [made])
                    failed += made.error is not None
                    done += made.error is None
        scoring.store.flush()
    note(scoring.store, scoring, known, done=True)
    return Done(done, len(units) * cells - done - failed, failed)


def _scored(scoring: Scoring, activations: Activations, place: int, cells: list[tuple[str, str]]) -> list[Record]:
    neuron = activations.neuron(place)
    found = []
    for name in dict.fromkeys(explainer for explainer, _ in cells):
        start = time.perf_counter()
        describer = scoring.explainers[name]
        description, error = None, None
        try:
            description = describer.object(neuron.fit, neuron.calibrate)
        except Exception as problem:
            error = describe(problem)
        for metric in (metric for explainer, metric in cells if explainer == name):
            measured, wrong = Measurement(float("nan")), error
            if description is not None:
                try:
                    measured = scoring.metrics[metric].object(neuron, description)
                except Exception as problem:
                    wrong = describe(problem)
            found.append(
                Record(
                    **scoring.identity,
                    explainer=name,
                    metric=metric,
                    version=version_of(describer, scoring.metrics[metric]),
                    unit=neuron.unit,
                    target=Target(neuron.layer),
                    value=measured.value,
                    parts=measured.parts,
                    weight=measured.weight,
                    seconds=time.perf_counter() - start,
                    rows=0,
                    error=wrong,
                )
            )
    return found
