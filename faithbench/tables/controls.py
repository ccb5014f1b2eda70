"""Controls of studies of neurons, each with what is to be expected and whether it held."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.records.results import label
from faithbench.records.store import Store
from faithbench.shown import shell_words
from faithbench.statistics.density import Gap
from faithbench.statistics.intervals import weighted_mean
from faithbench.tables.comparing_neurons import Neurons, gap_of, leading_score, neurons_of, numbers_of
from faithbench.tables.equal_density import at_equal_density, gap_cell
from faithbench.tables.parts import EMPTY, Column, Grid, Heading, Note, Part, Title, Words
from faithbench.tables.wording import MINUS, places_of

LEAST = 2.0  # percent: what scores of permuted activations stay below
Told = dict[str, tuple[Gap, tuple[str, ...]]]
Rows = list[tuple[str, str, Told]]  # model, score, and by describer what is told
ADD = {
    "random weights": ("--model", "untrained({model})"),
    "permuted activations": ("--metric", "permuted({score})"),
    "leak check": ("--metric", "fitted({score})"),
    "the k largest activations": ("--model", "topk({model}, k=…)"),
    "sparse autoencoder": ("--model", "sae({model})"),
}


def controls(folders: Sequence[Path | str]) -> list[Part]:
    """The controls of every data set of neurons in runs, and sentences on those that are missing."""
    return [part for dataset, neurons in neurons_of(folders) for part in _of_data(dataset, neurons, folders)]


def _of_data(dataset: str, neurons: Neurons, folders: Sequence[Path | str]) -> Iterator[Part]:
    yield Title("Controls", f" on {label('dataset', dataset)}")
    made: Mapping[str, Callable[[Neurons], Iterable[Part]]] = {
        "random weights": _untrained,
        "permuted activations": _permuted,
        "leak check": _fitted,
        "the k largest activations": _topk,
        "sparse autoencoder": lambda own: _sae(own, folders),
    }
    missing = []
    for name, make in made.items():
        parts = list(make(neurons))
        missing += [name] * (not parts)
        yield from parts
    yield from at_equal_density(neurons)
    if missing:
        first = leading_score(neurons.scores)
        names = {
            "model": _inside(label("model", neurons.bases[0])) if neurons.bases else "…",
            "score": "…" if first is None else label("metric", first),
        }
        told = "; ".join(f"{name} ({shell_words(each.format(**names) for each in ADD[name])})" for name in missing)
        yield Note(f"Controls that these runs do not have: {told}. Add them to the same run, which keeps what it has.")


def _inside(model: str) -> str:
    """A model as a parameter in another's spec: as it is where that is read as it, else in quotes."""
    try:
        plain = spec.parse(f"x({model})")[1:] == ([model], {})
    except UserError:
        plain = False
    return model if plain else repr(model)


def _untrained(neurons: Neurons) -> Iterator[Part]:
    return _above(
        "random weights: the trained model less the same with random weights, whose mean is in parentheses",
        _against_base(neurons, "untrained", trained_first=True),
        "Random weights: what training has to do with a score is what it is above that of random weights, so the "
        "differences are expected above 0; {}.",
    )


def _topk(neurons: Neurons) -> Iterator[Part]:
    return _above(
        "the k largest activations of a layer alone: less the same model with all, whose mean is in parentheses",
        _against_base(neurons, "topk", trained_first=False),
        "The k largest activations alone: if fewer active neurons were enough to make descriptions true, the "
        "differences would be above 0; {}.",
    )


def _sae(neurons: Neurons, folders: Sequence[Path | str]) -> Iterator[Part]:
    known = "; ".join(_recovered(folders))
    return _above(
        "sparse autoencoder: latents less the neurons of the same layer, whose mean is in parentheses",
        _against_base(neurons, "sae", trained_first=False),
        "Sparse autoencoder: its latents are expected to be easier to describe, at the price of what it does not "
        "reconstruct; {}."
        + (f" Loss recovered and active latents a token (L0), of validation texts: {known}." if known else ""),
        "that they are is shown",
    )


def _above(head: str, rows: Rows, note: str, expected: str = "this is shown") -> Iterator[Part]:
    """Differences that are expected above 0; nothing where there are none. `{}` of the note says where they are."""
    if rows:
        yield Heading(head)
        yield _grid(rows)
        yield Note(note.replace("{}", _held(rows, lambda gap: gap.low > 0, expected)))


def _recovered(folders: Sequence[Path | str]) -> Iterator[str]:
    """How much of the loss each sparse autoencoder recovers, and how many latents are active at a token."""
    told = dict[str, str]()
    for folder in folders:
        for name, entry in Store(Path(folder)).manifest().get("models", {}).items():
            training: Mapping[str, Any] = {**entry.get("training", {})}
            own = training.get("validation", {})
            if name.startswith("sae(") and "loss_recovered" in own:
                told[entry["label"]] = f"{entry['label']} {own['loss_recovered']:.1f} %, L0 {own['l0']:.1f}"
    yield from told.values()


def _against_base(neurons: Neurons, control: str, trained_first: bool) -> Rows:
    """Differences between controls and the models that they are made of, with the mean of the subtrahend."""
    found: Rows = []
    for made, base in neurons.controls(control):
        for score in neurons.scores:
            told: Told = {}
            for describer in neurons.describers:
                sides = neurons.beside_base(made, base, score, describer)
                first, second = reversed(sides) if trained_first else sides
                gap = gap_of(first, second)
                if gap.n:
                    mean = weighted_mean(numbers_of(second, "value"), numbers_of(second, "weight"))
                    told[describer] = gap, (f"{mean:.1f}".replace("-", MINUS),)
            found += [(made, score, told)] * bool(told)
    return found


def _permuted(neurons: Neurons) -> Iterator[Part]:
    rows: Rows = []
    for metric, _ in neurons.metrics_of("permuted"):
        for model in sorted(map(str, neurons.records["bare"].unique())):
            means = {each: neurons.mean(model, metric, each) for each in neurons.describers}
            told: Told = {each: (mean, ()) for each, mean in means.items() if mean.n}
            rows += [(model, metric, told)] * bool(told)
    if rows:
        yield Heading("permuted activations: means of the same scores where nothing can be predicted")
        yield _grid(rows)
        held = _held(rows, lambda gap: abs(gap.mean) < LEAST, "it is")
        yield Note(
            f"Permuted activations: without any relation to the text a mean score is expected within "
            f"±{LEAST:g}; {held}."
        )


def _fitted(neurons: Neurons) -> Iterator[Part]:
    rows: Rows = []
    for metric, score in neurons.metrics_of("fitted"):
        for model in sorted(map(str, neurons.records["bare"].unique())):
            means = {each: neurons.more(model, metric, score, each) for each in neurons.describers}
            told: Told = {each: (mean, ()) for each, mean in means.items() if mean.n}
            rows += [(model, score, told)] * bool(told)
    if rows:
        yield Heading("leak check: scores on the documents that descriptions were made from, less those on others")
        yield _grid(rows)
        held = _held(rows, lambda gap: not gap.high < 0, "it is not below")
        yield Note(
            "Leak check: by so much a description knows its own documents better, which is no merit of it and is not "
            f"in the scores above; the leak is expected at 0 or above, and {held}. "
            f"{_held(rows, lambda gap: gap.low > 0, 'It is shown to be above 0')}."
        )


def _held(rows: Rows, holds: Callable[[Gap], bool], words: str) -> str:
    """In how many comparisons something holds, and the first of those in which it does not."""
    every = [(model, score, name, gap) for model, score, told in rows for name, (gap, _) in told.items()]
    failed = [each for each in every if not holds(each[3])]
    said = f"{words} in {len(every) - len(failed)} of {len(every)}"
    if failed and len(failed) < len(every):
        model, score, name, gap = failed[0]
        where = f"{label('model', model)}, {label('metric', score)}, {label('explainer', name)}"
        said += f" (not in {where}: {gap.mean:.1f}{', for instance' * (len(failed) > 1)})".replace(": -", f": {MINUS}")
    return said


def _grid(rows: Rows) -> Grid:
    """Models and scores down, describers across."""
    describers = sorted({name for _, _, told in rows for name in told}, key=lambda name: label("explainer", name))
    gaps = [gap for _, _, told in rows for gap, _ in told.values()]
    places = places_of(gap.high - gap.low for gap in gaps)
    return Grid(
        (Column("model"), Column("score"), *(Column(label("explainer", name)) for name in describers)),
        tuple(
            (
                Words(label("model", model)),
                Words(label("metric", score)),
                *(gap_cell(*told[name], places) if name in told else EMPTY for name in describers),
            )
            for model, score, told in rows
        ),
        keys=2,
        minus=MINUS,
    )
