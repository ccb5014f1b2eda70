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
TOKENS = 40_000  # of documents that are tried, about
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
    """Tries a few neurons on a few documents, and on half of these: what that saves tells what more documents cost.

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
    corpus, some, half = _corpora(scoring)
    read, studied, fewer = _tried(scoring, some, half, todo[:TRIED])
    sizes = [each.windows.ids.size for each in (corpus, some, half)]
    costs = {each.label: _cost(name, studied, fewer, sizes) for name, each in scoring.explainers.items()}
    each = sum(cost.seconds + cost.metrics_seconds for cost in costs.values())
    reading = read * len(corpus.ids) / len(some.ids)
    size = len(todo) * corpus.windows.ids.size * HALF
    said = (
        f"{corpus.documents:,} of {counted(len(corpus.names), 'document')} of the {scoring.texts.split} split have "
        f"{corpus.windows.ids.size:,} tokens in windows of {corpus.windows.ids.shape[1]}; the model reads "
        f"{len(corpus.ids):,} tokens, in about {reading:.0f} s; activations take {size / 1e6:,.1f} MB on "
        "disk meanwhile.",
        f"Tried on {counted(len(studied), 'neuron')}, with {some.documents:,} of the documents and with about half of "
        "these: more are taken to cost what the other half did, token for token.",
    )
    calibration = Calibration(len(studied), 1.0, each, costs)
    return NeuronCost(len(units), count, calibration, reading + each * len(todo), said)


def _corpora(scoring: Scoring) -> tuple[Corpus, Corpus, Corpus]:
    """All documents; as many of them as are enough to try, each of some distance to the next; and half of these."""
    data, inside = scoring.texts.dataset.object, white_box(scoring)
    every = scoring.texts.examples
    whole = read_corpus(every, inside.tokenizer, inside.max_length, data.window)
    corpora, step = [whole], max(1, len(whole.ids) // TOKENS)
    for apart in (step, 2 * step):
        try:
            found = read_corpus(every[::apart], inside.tokenizer, inside.max_length, data.window)
        except UserError:  # too few of them
            found = corpora[-1]
        corpora.append(found if apart > 1 else whole)
    return corpora[0], corpora[1], corpora[2]


def _tried(
    scoring: Scoring, some: Corpus, half: Corpus, units: Sequence[Unit]
) -> tuple[float, list[Studied], list[Studied]]:
    """Seconds of reading, and what came of the neurons in each."""
    _, (_, *fewer) = _looked_at(scoring, half, [units[0], *units])  # the first that is looked at only warms up
    read, studied = _looked_at(scoring, some, units)
    return read, studied, fewer


def _looked_at(scoring: Scoring, corpus: Corpus, units: Sequence[Unit]) -> tuple[float, list[Studied]]:
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


def _cost(describer: str, studied: Sequence[Studied], fewer: Sequence[Studied], sizes: Sequence[int]) -> Cost:
    """What a describer and its scores take for a neuron in all documents, from two trials.

    Args:
        describer: which.
        studied: neurons, in some documents.
        fewer: the same in about half of these.
        sizes: tokens of all documents, of some and of half.
    """
    trials = [_seconds(describer, each) for each in (studied, fewer)]
    described, scored = (extrapolated(*times, *sizes) for times in zip(*trials, strict=True))
    rows = sum(record.rows for each in studied for record in each.records if record.explainer == describer)
    return Cost(0, described, rows / len(studied), scored)


def _seconds(describer: str, studied: Sequence[Studied]) -> tuple[float, float]:
    """Of describing a neuron, and of its scores."""
    described = sum(each.seconds[describer] for each in studied)
    records = [record for each in studied for record in each.records if record.explainer == describer]
    return described / len(studied), (sum(record.seconds for record in records) - described) / len(studied)


def extrapolated(seconds: float, fewer: float, tokens: int, tried: int, half: int) -> float:
    """What all tokens take if those of the larger trial took so long and those of the smaller one so much less.

    Never less than the larger trial, nor more than in proportion to it.
    """
    more = max(0.0, seconds - fewer) / (tried - half) if tried > half else seconds / max(1, tried)
    return seconds + min(more, seconds / max(1, tried)) * (tokens - tried)
