"""Builds the documents of the Sequence Pointing Game (arXiv 2502.12992): judges texts, draws documents, keeps them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from faithbench.datasets.fingerprint import fingerprint
from faithbench.datasets.seqpg import SeqPG
from faithbench.documents.drawing import document_row, draw
from faithbench.documents.judging import judge_texts, tokenizer_of
from faithbench.errors import UserError
from faithbench.files import remove_leftovers, write_whole
from faithbench.interfaces import Classifier
from faithbench.paths import as_path
from faithbench.plugins import spec
from faithbench.plugins.naming import build_dataset, refer, resolve
from faithbench.plugins.spec import Component
from faithbench.shown import counted
from faithbench.training.encoding import matched
from faithbench.training.hardware import versions
from faithbench.training.keeping import in_turn
from faithbench.training.prepare import Prepared, Workshop, check_model
from faithbench.training.setup import Setup, best_device
from faithbench.types import Example

FILTERS = {
    "texts": "texts",
    "short": "do not fill the segment",
    "changed": "do not encode to the same number of tokens again",
    "wrong": "are given another class by the judge",
    "unsure": "are given theirs without enough confidence",
}


@dataclass(frozen=True)
class Documents:
    """The documents' file, how many there are, and how they were built."""

    path: Path
    documents: int
    provenance: Mapping[str, Any]

    @property
    def counts(self) -> tuple[str, ...]:
        """How many texts there were, were lost at each filter, and are usable of each class, in words."""
        lost = [f"{count:,} {FILTERS[name]}" for name, count in self.provenance["lost"].items()]
        return (*lost, *(f"{count:,} of class {name} are usable" for name, count in self.provenance["usable"].items()))


def check_judge(dataset: Component, setup: Setup) -> None:
    """What can be said of a resolved data set before anything is built.

    Raises:
        UserError: the judge would have to be trained although that is switched off, or there are too few classes.
    """
    made: SeqPG = dataset.object
    check_model(refer(made.judge), made.source, setup)
    if made.segments > len(made.class_names):
        raise UserError(
            f"segments={made.segments} is not allowed for {made.dataset}, which has {len(made.class_names)} classes; "
            "each segment of a document is of another class."
        )


def ensure(dataset: Component, split: str, workshop: Workshop) -> Documents:
    """The documents of a resolved data set: those in the cache if they are still true, else built now.

    Raises:
        UserError: there is no such judge, it cannot read so long a document, or too few texts are usable.
    """
    made: SeqPG = dataset.object
    remove_leftovers(made.path(split).parent)
    every = list(made.source.object.load(split))
    judge = workshop.prepare(refer(made.judge), made.source, dtype="float32")
    origin = {
        "judge": {"model": judge.identity, "fingerprint": judge.fingerprint},
        "data": {"dataset": made.dataset, "split": split, "fingerprint": fingerprint(every)},
    }
    setup = workshop.setup
    if kept := _kept(made, split, origin):
        return kept
    with in_turn(made.path(split), lambda holder: setup.say(f"Waiting for documents of {dataset.label}: {holder}.")):
        if kept := _kept(made, split, origin):  # by another, since
            return kept
        provenance = made.built(split)
        if provenance is not None:
            cause = "judge has" if provenance.get("judge") != origin["judge"] else "data have"
            setup.say(f"The {cause} changed since the documents of {dataset.label} were built; they are built anew.")
        return _build(dataset, split, origin, every, judge, setup)


def _kept(made: SeqPG, split: str, origin: Mapping[str, object]) -> Documents | None:
    """The documents in the cache, if they are of this origin."""
    provenance = made.built(split)
    if provenance is None or any(provenance.get(key) != value for key, value in origin.items()):
        return None
    return Documents(made.path(split), provenance["documents"], provenance)


def build_documents(
    dataset: Path | str,
    model: Path | str,
    *,
    segment: int = 0,
    documents: int = 500,
    segments: int = 2,
    confidence: float = 0.75,
    seed: int = 0,
    split: str = "test",
    out: Path | str | None = None,
    device: str | None = None,
    train: bool = True,
    console: Console | None = None,
) -> Documents:
    """Builds the documents of the Sequence Pointing Game, unless they are in the cache.

    Args:
        dataset: where the texts are from: a spec or a path.
        model: the model that is to be run; it is judged by the conventional model of its backbone.
        segment: tokens of a segment, special ones included; 0 for the published length.
        documents: how many at most.
        segments: of a document.
        confidence: that the judge must exceed.
        seed: draws the classes.
        split: of the data set.
        out: a file to copy the documents to.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        train: whether a judge that has no checkpoint yet may be trained.
        console: where messages go; None for silence.

    Raises:
        UserError: a name or value is not allowed, too few texts are usable, or the file cannot be written.
    """
    dataset, model, out = str(dataset), str(model), None if out is None else as_path("out", out)
    given = {"dataset": dataset, "segment": segment, "segments": segments, "documents": documents}
    given |= {"confidence": confidence, "seed": seed}
    setup = Setup(best_device(device), train=train, console=console)
    component = resolve(build_dataset(spec.write("seqpg", given)), refer(model))
    check_judge(component, setup)
    built = ensure(component, split, Workshop(setup))
    if out is None:
        return built
    write_whole(out, built.path.read_text(encoding="utf-8"))
    return replace(built, path=out)


def _build(
    dataset: Component,
    split: str,
    origin: Mapping[str, object],
    every: Sequence[Example],
    judge: Prepared,
    setup: Setup,
) -> Documents:
    made: SeqPG = dataset.object
    setup.say(f"Building documents of {made.segments} texts: {len(every):,} are judged by {judge.label}.")
    _check_length(judge.classifier, made)
    matching = matched(judge, made.source, every)
    if matching.said:
        setup.say(f"{judge.label} on {made.source.label}: {matching.said}.")
    texts, losses = judge_texts(judge.classifier, every, made.segment, made.confidence, matching.classes)
    drawn = draw(texts, made.documents, made.segments, made.seed)
    usable = {name: sum(text.label == i for text in texts) for i, name in enumerate(made.class_names)}
    provenance = {
        "dataset": dataset.identity,
        "label": "class of the first segment",
        "documents": len(drawn),
        "lost": asdict(losses),
        "usable": usable,
        **origin,
        "versions": versions(),
    }
    told = ", ".join(Documents(made.path(split), len(drawn), provenance).counts)
    if len(drawn) < 2:
        raise UserError(
            f"{dataset.label} makes only {counted(len(drawn), 'document')} of segments of {made.segment} tokens; "
            f"of {told}."
        )
    few = f" (not {made.documents:,}: the texts of too few classes are left)" if len(drawn) < made.documents else ""
    setup.say(f"{counted(len(drawn), 'document')}{few}; of {told}. Kept in {made.path(split)}")
    rows = [document_row(f"document-{i}", parts, made.class_names) for i, parts in enumerate(drawn)]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    provenance["content"] = hashlib.sha256(content.encode()).hexdigest()
    write_whole(made.path(split), content)
    write_whole(made.path(split).with_suffix(".json"), json.dumps(provenance, indent=2) + "\n")  # last: it vouches
    return Documents(made.path(split), len(rows), provenance)


def _check_length(classifier: Classifier, made: SeqPG) -> None:
    tokenizer = tokenizer_of(classifier)
    single, double = (int(tokenizer.num_special_tokens_to_add(pair=pair)) for pair in (False, True))
    seen = made.segment - single
    if seen < 1:
        raise UserError(f"segment={made.segment} is not allowed; {single} of the tokens are special, and none is left.")
    tokens = made.segments * seen + single + (made.segments - 1) * (double - single)
    limit = getattr(classifier, "max_length", tokens)
    if tokens > limit:
        raise UserError(
            f"segment={made.segment} is not allowed; documents of {made.segments} such segments have {tokens} tokens, "
            f"and {made.judge} reads {limit}."
        )
