"""Attributions from a file into a run's folder, where a run finds them and only measures."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import predict
from faithbench.conversations import Outcome, attempt
from faithbench.datasets.fingerprint import fingerprint
from faithbench.errors import UserError, short, unknown
from faithbench.importing.align import align, align_ids, check_same
from faithbench.importing.entries import read_entries
from faithbench.importing.formats import Entry
from faithbench.importing.texts import Texts
from faithbench.interfaces import Classifier
from faithbench.labels import class_number
from faithbench.paths import as_path
from faithbench.plan import AUTO, Plan
from faithbench.plugins import spec
from faithbench.plugins.naming import build_texts
from faithbench.plugins.spec import Component
from faithbench.records.commands import Noted
from faithbench.records.manifest import Source
from faithbench.records.store import Store
from faithbench.running.drift import SINGLE, decided
from faithbench.running.measuring import attribution_row
from faithbench.running.readme import write_readme
from faithbench.running.runner import default_folder
from faithbench.running.scoring import identity
from faithbench.running.texts import Keeping
from faithbench.shown import path_word, shell_words
from faithbench.tables.cautions import left_out, skipped_entry
from faithbench.tokens import Scores, spread
from faithbench.training.encoding import classes_by_name, encode_examples, readable
from faithbench.training.hardware import machine
from faithbench.training.prepare import Prepared, prepare
from faithbench.training.setup import Setup, best_device
from faithbench.types import Attribution, Target, Text


@dataclass(frozen=True)
class Import:
    """What was imported.

    Attributes:
        folder: of the run.
        explainer: the spec under which metrics find the attributions.
        texts: how many texts have one.
        without: how many texts of the split have none.
        left_out: entries about texts that the split does not have.
        command: the command line that scores them.
    """

    folder: Path
    explainer: str
    texts: int
    without: int
    left_out: int
    command: str


def import_attributions(
    file: Path | str,
    model: Path | str,
    dataset: Path | str,
    *,
    name: str,
    format: str | None = None,
    method: str | None = None,
    out: Path | str | None = None,
    split: str = "test",
    dtype: str = "float32",
    device: str | None = None,
    skip_unknown: bool = False,
    console: Console | None = None,
) -> Import:
    """Brings attributions that were computed elsewhere into a run's folder; see docs/import.md for the formats.

    Args:
        file: JSON lines, JSON or Parquet.
        model: a checkpoint folder, a hub id, or a named model that has been trained on the data set.
        dataset: a spec or a path, as for a run.
        name: what to call the method that made them.
        format: `jsonl`, `eraser`, `thermostat` or `bcos`; None to tell by the file's keys.
        method: which, if a `bcos` file holds several.
        out: the run's folder; None for the one that a run of this model and data set has by default.
        split: of the data set.
        dtype: of the model, as in the run that is to score them; `auto` is what that run has decided.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        skip_unknown: leave out entries about texts that the split does not have; otherwise they are a mistake.
        console: where messages go; None for silence.

    Raises:
        UserError: something in the file, the model or the data set is wrong, or the folder cannot be written. Nothing
            is written then.
    """
    model, dataset, file = str(model), str(dataset), as_path("file", file)
    folder = None if out is None else as_path("out", out)
    plan = Plan((dataset,), (model,), split=split, dtype=dtype)
    _imported(name, {})
    component = build_texts(dataset, "an import")
    every = list(component.object.load(split))
    texts = Texts(every, f"the {split} split of {component.label}")
    kind, entries, left_out = read_entries(file, format, method, texts, skip_unknown)
    folder = folder or default_folder(plan)
    setup = Setup(best_device(device), SINGLE if dtype == AUTO else dtype, train=False, console=console)
    prepared = prepare(model, component, setup)
    if dtype == AUTO:
        prepared = prepare(model, component, replace(setup, dtype=decided(prepared, component, Store(folder))))
    named, said = classes_by_name(prepared, component, every)
    if said:
        setup.say(f"{prepared.label} on {component.label}: {said}.")
    entries = _readable(entries, prepared, component, setup)
    found = aligned(entries, prepared.classifier, named)
    explainer = _imported(name, found)
    read = encode_examples(prepared, component, every, set(found))
    own = identity(component, fingerprint(every), prepared)
    rows = [attribution_row(own, explainer, a.text_id, a.target, Outcome(a)) for a in found.values()]
    source: Source = {
        "file": file.name,
        "format": kind,
        "method": method,
        "texts": len(rows),
        "dataset": component.identity,
        "model": prepared.identity,
    }
    store = _write(folder, rows, explainer.identity, source)
    Keeping(store, own, prepared).keep_unasked(read.texts, read.examples)
    write_readme(store)
    noted = Noted(machine(torch.device(setup.device)))
    noted.begin(store)
    noted.end(done=len(rows), before=0, failed=0)
    command = _command(plan, explainer.identity, folder, device)
    return Import(folder, explainer.identity, len(rows), len(every) - len(rows), left_out, command)


def aligned(entries: Sequence[Entry], model: Classifier, data_names: Mapping[str, int]) -> dict[str, Attribution]:
    """What entries say of the model's tokens, by text id; where they name no class, of the class that it predicts.

    Args:
        entries: of texts that the model can read.
        model: whose classes numbers and names mean.
        data_names: the model's class for names that the data set has for classes.

    Raises:
        UserError: scores or tokens do not fit the text, or there is no such class.
    """
    targets = {entry.example.id: _target(entry, model, data_names) for entry in entries}
    scores, undecided = {}, []
    for entry in entries:
        text = model.encode(entry.example)
        scores[text.id] = _scores(entry, text)
        if targets[text.id] is None:
            undecided.append(text)
    for name, outcome in Engine(model).run(attempt(text.id, predict(text)) for text in undecided):
        if outcome.value is None:
            raise UserError(f"text {name!r}: the class that the model predicts is not to be had: {outcome.error}.")
        targets[name] = outcome.value
    return {
        name: Attribution(name, Target(target), scores[name]) for name, target in targets.items() if target is not None
    }


def _scores(entry: Entry, text: Text) -> Scores:
    try:
        if entry.text is not None:
            check_same(entry.text, text.source)
        if entry.ids is not None:
            return align_ids(text, entry.ids, entry.scores)
        return spread(text, entry.scores) if entry.tokens is None else align(text, entry.tokens, entry.scores)
    except ValueError as error:
        raise UserError(f"{entry.where}: text {short(text.id)}: {error}.") from error


def _target(entry: Entry, model: Classifier, data_names: Mapping[str, int]) -> int | None:
    """The model's class that an entry names; a name is the model's own, or else one of the data's."""
    target, names = entry.target, getattr(model, "class_names", ())
    if target is None or (type(target) is int and 0 <= target < model.classes):
        return target
    if isinstance(target, str):
        roads = (data_names.get(target), class_number(target, names, model.classes))
        number = next((each for each in (roads[::-1] if names else roads) if each is not None), None)
        if number is None:
            raise UserError(f"{entry.where}: {unknown('class', target, names or data_names)}")
        return number
    raise UserError(f"{entry.where}: target {short(target)} is not one of the classes 0 to {model.classes - 1}.")


def _readable(entries: Sequence[Entry], model: Prepared, dataset: Component, setup: Setup) -> list[Entry]:
    """The entries of texts that the model can read; which it cannot is said."""
    texts, skipped = readable(model.classifier, [entry.example for entry in entries])
    if skipped:
        told = f"{model.label} on {dataset.label}: {left_out(skipped_entry(skipped, len(entries)))}"
        if not texts:
            raise UserError(told)
        setup.say(told)
    there = {text.id for text in texts}
    return [entry for entry in entries if entry.example.id in there]


def _imported(name: str, found: Mapping[str, Attribution]) -> Component:
    """The explainer whose identity is the name and the content."""
    digest = hashlib.sha256()
    for key, attribution in sorted(found.items()):
        digest.update(f"{key!r} {attribution.target} ".encode(errors="replace"))
        digest.update((attribution.scores + 0.0).astype("<f8").tobytes())  # -0.0 is 0.0
    content = f"h{digest.hexdigest()[:12]}"  # a bare word in a spec
    return spec.build("explainer", spec.write("imported", {"name": name, "content": content}))


def _write(folder: Path, rows: Sequence[Mapping[str, object]], explainer: str, source: Source) -> Store:
    """All rows or none, and in the manifest where they come from."""
    store = Store(folder).open()
    try:
        store.read("attributions")
        store.manifest()
        store.add(rows, [])
        store.flush()
    except UserError:
        store.discard_if_empty()
        raise
    store.compact()
    store.change_manifest(lambda manifest: manifest.setdefault("imported", {}).update({explainer: source}))
    return store


def _command(plan: Plan, explainer: str, folder: Path, device: str | None) -> str:
    words = ["faithbench", "run", "--model", plan.models[0], "--dataset", plan.datasets[0], "--explainer", explainer]
    for option, value, default in (("split", plan.split, "test"), ("dtype", plan.dtype, "float32")):
        words += [] if value == default else [f"--{option}", value]
    return shell_words([*words, *(["--device", device] if device else []), "--out", path_word(folder)])
