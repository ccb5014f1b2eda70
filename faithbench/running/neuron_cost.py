"""What a study of neurons would take: a part of the documents is read, and two neurons are described and scored."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from faithbench.errors import UserError
from faithbench.neurons.corpus import Corpus, read_corpus
from faithbench.neurons.recording import Unit, record
from faithbench.neurons.showing import shown_windows
from faithbench.running.calibration import Calibration, Cost
from faithbench.running.describing import Studied, Study
from faithbench.running.neurons import answering, chosen_units, white_box
from faithbench.running.scoring import Scoring
from faithbench.shown import counted

TRIED = 2  # neurons
TOKENS = 20_000  # of documents that are tried, about
HALF = 2  # bytes of an activation


@dataclass(frozen=True)
class NeuronCost:
    """What is left of a study, and what it would take.

    Args:
        neurons: how many, those included that have been done.
        todo: results to do.
        calibration: what a neuron was found to cost; None where nothing is left.
        seconds: that all would take.
        said: what would be read and kept meanwhile, in sentences.
    """

    neurons: int
    todo: int
    calibration: Calibration | None = None
    seconds: float | None = None
    said: tuple[str, ...] = ()


def neuron_cost(scoring: Scoring, limit: int | None) -> NeuronCost:
    """Tries a few neurons on a few documents, and takes all to cost as much for each token.

    Args:
        scoring: one model on one data set of neurons.
        limit: neurons at most.

    Raises:
        UserError: the model or the documents cannot be looked at.
    """
    units = chosen_units(scoring, limit)
    left = scoring.remaining.cells([unit.name for unit in units])
    todo, count = [unit for unit in units if left[unit.name]], sum(map(len, left.values()))
    if not todo:
        return NeuronCost(len(units), 0)
    corpus, some = _corpora(scoring)
    read, studied = _tried(scoring, some, todo[:TRIED])
    more = corpus.windows.ids.size / some.windows.ids.size
    costs = {each.label: _cost(name, studied, more) for name, each in scoring.explainers.items()}
    each = sum(cost.seconds + cost.metrics_seconds for cost in costs.values())
    reading = read * len(corpus.ids) / len(some.ids)
    size = len(todo) * corpus.windows.ids.size * HALF
    said = (
        f"{corpus.documents:,} of {counted(len(corpus.names), 'document')} of the {scoring.texts.split} split have "
        f"{corpus.windows.ids.size:,} tokens in windows of {corpus.windows.ids.shape[1]}; the model reads "
        f"{len(corpus.ids):,} tokens, in about {reading:.0f} s; activations take {size / 1e6:,.1f} MB on disk meanwhile.",
        f"Tried on {counted(len(studied), 'neuron')}, and {some.documents:,} of the documents; the others are taken to "
        "cost as much for each token.",
    )
    calibration = Calibration(len(studied), 1.0, each, costs)
    return NeuronCost(len(units), count, calibration, reading + each * len(todo), said)


def _corpora(scoring: Scoring) -> tuple[Corpus, Corpus]:
    """All documents; and as many of them as are enough to try, each of some distance to the next."""
    data, inside = scoring.texts.dataset.object, white_box(scoring)
    every = scoring.texts.examples
    whole = read_corpus(every, inside.tokenizer, inside.max_length, data.window)
    step = len(whole.ids) // TOKENS
    if step < 2:
        return whole, whole
    try:
        return whole, read_corpus(every[::step], inside.tokenizer, inside.max_length, data.window)
    except UserError:  # too few of them
        return whole, whole


def _tried(scoring: Scoring, corpus: Corpus, units: Sequence[Unit]) -> tuple[float, list[Studied]]:
    """Seconds of reading, and what came of the neurons."""
    start, found = time.perf_counter(), list[Studied]()
    cells = [(describer, score) for describer in scoring.explainers for score in scoring.metrics]
    with record(white_box(scoring), corpus, units) as activations:
        read = time.perf_counter() - start
        study = Study(scoring.identity, scoring.explainers, scoring.metrics, answering(activations))
        for place in range(len(units)):
            neuron = activations.neuron(place)
            shown = neuron.evaluate.windows.take(shown_windows(neuron)[0])
            found.append(study.of(neuron, cells, (), shown))
    return read, found


def _cost(describer: str, studied: Sequence[Studied], more: float) -> Cost:
    """What a describer and its scores take for a neuron, with so many times the tokens."""
    records = [record for each in studied for record in each.records if record.explainer == describer]
    described = sum(each.seconds[describer] for each in studied)
    count, rows = len(studied), sum(record.rows for record in records)
    scored = sum(record.seconds for record in records) - described
    return Cost(0, described * more / count, rows / count, scored * more / count)
