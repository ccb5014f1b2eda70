"""Builds the documents of the Sequence Pointing Game (arXiv 2502.12992): judges texts, draws documents, keeps them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from faithbench.answering.engine import Engine
from faithbench.datasets.build import build_dataset
from faithbench.datasets.seqpg import SeqPG
from faithbench.errors import UserError
from faithbench.files import write_whole
from faithbench.interfaces import Classifier
from faithbench.plugins import spec
from faithbench.plugins.spec import Component
from faithbench.probability import probabilities
from faithbench.questions import Conversation, Logits
from faithbench.running.grid import fingerprint
from faithbench.training.prepare import Prepared, Setup, best_device, check_model, prepare
from faithbench.types import Example, Text

PACKAGES = ("faithbench", "torch", "transformers", "numpy")
FILTERS = {
    "texts": "texts",
    "short": "do not fill the segment",
    "changed": "do not encode to the same number of tokens again",
    "wrong": "are given another class by the judge",
    "unsure": "are given theirs without enough confidence",
}


@dataclass(frozen=True)
class Sure:
    """A text, cut to a segment's length, that the judge is sure of."""

    id: str
    text: str
    label: int
    confidence: float


@dataclass(frozen=True)
class Losses:
    """How many texts there were, and how many were lost at each filter, in this order."""

    texts: int
    short: int  # do not fill the segment
    changed: int  # have another number of tokens when what was cut off is gone and the rest is encoded again
    wrong: int  # are given another class by the judge
    unsure: int  # are given theirs, but not with enough confidence

    @property
    def usable(self) -> int:
        """What is left."""
        return self.texts - self.short - self.changed - self.wrong - self.unsure


@dataclass(frozen=True)
class Built:
    """The documents' file, how many there are, and how they were built."""

    path: Path
    documents: int
    about: Mapping[str, Any]

    @property
    def counts(self) -> tuple[str, ...]:
        """How many texts there were, were lost at each filter, and are usable of each class, in words."""
        lost = [f"{count:,} {FILTERS[name]}" for name, count in self.about["lost"].items()]
        return (*lost, *(f"{count:,} of class {name} are usable" for name, count in self.about["usable"].items()))


def resolve(dataset: Component, model: str) -> Component:
    """A data set as it is for a model: one that depends on the model says by whom its texts are judged."""
    if not hasattr(dataset.object, "for_model"):
        return dataset
    made = dataset.object.for_model(model)
    written = {field.name: getattr(made, field.name) for field in fields(made)}
    return Component(spec.write(spec.parse(dataset.full)[0], written), dataset.short, made)


def check_judge(dataset: Component, setup: Setup) -> None:
    """What can be said of a resolved data set before anything is built.

    Raises:
        UserError: the judge would have to be trained although that is switched off, or there are too few classes.
    """
    made: SeqPG = dataset.object
    check_model(made.judge, made.source, setup)
    if made.segments > len(made.class_names):
        raise UserError(
            f"segments={made.segments} is not allowed for {made.dataset}, which has {len(made.class_names)} classes; "
            "each segment of a document is of another class."
        )


def ensure(dataset: Component, split: str, setup: Setup) -> Built:
    """The documents of a resolved data set: those in the cache if they are still true, else built now.

    Raises:
        UserError: there is no such judge, it cannot read so long a document, or too few texts are usable.
    """
    made: SeqPG = dataset.object
    every = list(made.source.object.load(split))
    judge = prepare(made.judge, made.source, replace(setup, dtype="float32"))
    origin = {
        "judge": {"model": judge.full, "fingerprint": judge.classifier.fingerprint()},
        "data": {"dataset": made.dataset, "split": split, "fingerprint": fingerprint(every)},
    }
    about = made.built(split)
    if about is not None:
        if all(about.get(key) == value for key, value in origin.items()):
            return Built(made.path(split), about["documents"], about)
        cause = "judge has" if about.get("judge") != origin["judge"] else "data have"
        setup.say(f"The {cause} changed since the documents of {dataset.short} were built; they are built anew.")
    return _build(dataset, split, origin, every, judge, setup)


def build_documents(
    dataset: str,
    model: str,
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
) -> Built:
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
    given = {"dataset": dataset, "segment": segment, "segments": segments, "documents": documents}
    given |= {"confidence": confidence, "seed": seed}
    setup = Setup(best_device(device), train=train, console=console)
    component = resolve(build_dataset(spec.write("seqpg", given)), model)
    check_judge(component, setup)
    built = ensure(component, split, setup)
    if out is None:
        return built
    write_whole(Path(out), built.path.read_text(encoding="utf-8"))
    return replace(built, path=Path(out))


def judge_texts(
    classifier: Classifier, examples: Sequence[Example], segment: int, confidence: float
) -> tuple[list[Sure], Losses]:
    """The texts that a judge is sure of, cut to `segment` tokens, surest first; and how many were lost where."""
    tokenizer = _tokenizer(classifier)
    options = {"truncation": True, "max_length": segment, "return_special_tokens_mask": True}
    encoded = tokenizer([example.text for example in examples], **options)
    full = [i for i, ids in enumerate(encoded["input_ids"]) if len(ids) == segment]
    content = [
        [token for token, special in zip(encoded["input_ids"][i], encoded["special_tokens_mask"][i], strict=True)
         if not special]
        for i in full
    ]  # fmt: skip
    cut = tokenizer.batch_decode(content, skip_special_tokens=True) if content else []
    again = tokenizer(cut)["input_ids"] if cut else []
    same = [
        Example(examples[i].id, text, examples[i].label)
        for i, text, ids in zip(full, cut, again, strict=True)
        if len(ids) == segment
    ]
    found = dict(Engine(classifier).run(_judge(classifier.encode(example)) for example in same))
    right = [example for example in same if int(found[example.id].argmax()) == example.label]
    sure = [Sure(e.id, e.text, e.label, float(found[e.id].max())) for e in right if found[e.id].max() > confidence]
    losses = Losses(
        texts=len(examples),
        short=len(examples) - len(full),
        changed=len(full) - len(same),
        wrong=len(same) - len(right),
        unsure=len(right) - len(sure),
    )
    return sorted(sure, key=lambda text: -text.confidence), losses


def draw(texts: Sequence[Sure], documents: int, segments: int, seed: int) -> list[tuple[Sure, ...]]:
    """Documents of different classes, drawn at random among those with unused texts; each gives its next text.

    Args:
        texts: the surest first.
        documents: how many at most; fewer if fewer than `segments` classes have texts left.
        segments: of a document.
        seed: draws the classes.
    """
    generator = np.random.default_rng(seed)
    left = {label: [text for text in texts if text.label == label] for label in sorted({text.label for text in texts})}
    drawn: list[tuple[Sure, ...]] = []
    while len(drawn) < documents and len(left) >= segments:
        labels = [int(label) for label in generator.choice(list(left), segments, replace=False)]
        drawn.append(tuple(left[label].pop(0) for label in labels))
        left = {label: rest for label, rest in left.items() if rest}
    return drawn


def document_row(name: str, parts: Sequence[Sure], class_names: Sequence[str]) -> dict[str, Any]:
    """A document as a line of the file: `label` is the class of the first segment."""
    ends = np.cumsum([len(part.text) + 1 for part in parts]).tolist()  # a line break stands between
    return {
        "id": name,
        "text": "\n".join(part.text for part in parts),
        "label": parts[0].label,
        "segments": [
            [end - 1 - len(part.text), end - 1, part.label] for part, end in zip(parts, ends, strict=True)
        ],
        "classes": [class_names[part.label] for part in parts],
        "sources": [part.id for part in parts],
        "confidence": [round(part.confidence, 6) for part in parts],
    }  # fmt: skip


def _build(
    dataset: Component,
    split: str,
    origin: Mapping[str, Any],
    every: Sequence[Example],
    judge: Prepared,
    setup: Setup,
) -> Built:
    made: SeqPG = dataset.object
    setup.say(f"Building documents of {made.segments} texts: {len(every):,} are judged by {judge.short}.")
    _check_length(judge.classifier, made)
    texts, losses = judge_texts(judge.classifier, every, made.segment, made.confidence)
    drawn = draw(texts, made.documents, made.segments, made.seed)
    usable = {name: sum(text.label == i for text in texts) for i, name in enumerate(made.class_names)}
    about = {
        "dataset": dataset.full,
        "label": "class of the first segment",
        "documents": len(drawn),
        "lost": asdict(losses),
        "usable": usable,
        **origin,
        "versions": {name: version(name) for name in PACKAGES},
    }
    told = ", ".join(Built(made.path(split), len(drawn), about).counts)
    if len(drawn) < 2:
        raise UserError(
            f"{dataset.short} makes only {len(drawn)} documents of segments of {made.segment} tokens; of {told}."
        )
    few = f" (not {made.documents:,}: the texts of too few classes are left)" if len(drawn) < made.documents else ""
    setup.say(f"{len(drawn):,} documents{few}; of {told}. Kept in {made.path(split)}")
    rows = [document_row(f"document-{i}", parts, made.class_names) for i, parts in enumerate(drawn)]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    about["content"] = hashlib.sha256(content.encode()).hexdigest()
    write_whole(made.path(split), content)
    write_whole(made.path(split).with_suffix(".json"), json.dumps(about, indent=2) + "\n")  # last: it vouches
    return Built(made.path(split), len(rows), about)


def _check_length(classifier: Classifier, made: SeqPG) -> None:
    tokenizer = _tokenizer(classifier)
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


def _tokenizer(classifier: Classifier) -> Any:
    tokenizer = getattr(classifier, "tokenizer", None)
    if tokenizer is None:
        raise UserError("a judge needs a Hugging Face tokenizer that texts can be cut with; this model has none.")
    return tokenizer


def _judge(text: Text) -> Conversation[tuple[str, np.ndarray]]:
    """The text's id, and the probability of each class."""
    answers = yield (Logits(text, np.ones((1, len(text)), dtype=bool)),)
    return text.id, probabilities(answers[0].value)[0]
