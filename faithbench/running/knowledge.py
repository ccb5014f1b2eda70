"""What is to be known of a model on a data set besides its records, and is kept in the manifest."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.plugins.faults import blaming
from faithbench.records.manifest import Mark, Repeated
from faithbench.running.ground_truth import program_agreement, trigger_accuracies
from faithbench.running.performance import logits_of_labelled, performance, performance_by_kind, unknown_tokens
from faithbench.running.scoring import Scoring
from faithbench.statistics.ground_truth import WITHOUT_PART
from faithbench.tables.cautions import cautions, skipped_entry
from faithbench.training.encoding import Encoded, encode_examples, matched, readable, with_classes
from faithbench.types import Example

PROBED = 100  # texts by which it is known how a model reads
MORE = ("performance", "kinds", "predicted", "unknown_tokens", "repeated", "skipped", "said", "read")


@dataclass(frozen=True)
class Knowledge:
    """What is known of a model on a data set.

    Args:
        truncated: texts that were cut to the model's limit.
        checks: whether the model uses what was planted in the data; nothing where nothing was.
        more: what else the manifest says, as far as there is something to say: `performance`, also that on `kinds` of
            next-token questions, how often each class is `predicted`, `unknown_tokens` in percent, how many texts are
            `repeated`, rows `skipped`, what was `said` of labels, and which texts were `read` for it.
        told: logits of texts that were asked for it, by id.
    """

    truncated: int
    checks: Mapping[str, float] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, Float[np.ndarray, "outputs"]] = field(default_factory=dict)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person should be told."""
        return tuple(cautions({**self.more, "checks": self.checks}))


def key_of(scoring: Scoring) -> str:
    """The manifest's name for a model on a data set."""
    return f"{scoring.model.identity} on {scoring.texts.dataset.identity}"


def mark_of(scoring: Scoring) -> Mark:
    """What tells whether the manifest speaks of these texts: which they are, and how the model reads a few of them."""
    texts, digest = scoring.texts, hashlib.sha256()
    bare = (replace(each, label=None, labels=None, value=None) for each in texts.sample[:PROBED])
    for text in readable(scoring.model.classifier, bare)[0]:
        digest.update(f"{text.id!r} {text.truncated} ".encode(errors="replace") + text.ids.astype("<i8").tobytes())
    return {"texts": len(texts.examples), "sampling": texts.sampling, "probe": digest.hexdigest()[:16]}


def known_already(scoring: Scoring, mark: Mark, manifest: Mapping[str, Any]) -> Knowledge | None:
    """What the manifest says of a model on these very texts, each of which can be read; None if it does not."""
    earlier = _earlier(scoring, manifest)
    if earlier.get("read") != mark or "skipped" in earlier:
        return None
    more = {name: earlier[name] for name in MORE if name in earlier}
    return Knowledge(earlier["truncated_texts"], ground_truth_checks(scoring, earlier), more)


def _earlier(scoring: Scoring, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a manifest says of the same weights and data; nothing of others."""
    texts = scoring.texts
    entry: Mapping[str, Any] = manifest.get("models", {}).get(key_of(scoring), {})
    data = manifest.get("datasets", {}).get(texts.dataset.identity, {})
    same = (entry.get("fingerprint"), data.get("fingerprint")) == (scoring.model.fingerprint, texts.fingerprint)
    return entry if same else {}


def repeated(read: Encoded) -> Repeated | None:
    """How many texts are read, and asked about, just as one before them; None where none is."""
    different = {(text.ids.tobytes(), text.candidates, text.segment_classes) for text in read.texts}
    count = len(read.texts) - len(different)
    return {"count": count, "of": len(read.texts)} if count else None


def what_is_known(scoring: Scoring, read: Encoded, manifest: Mapping[str, Any], mark: Mark) -> Knowledge:
    """What is known of a model on a data set; what a manifest says of the same weights and data is taken from there.

    Raises:
        UserError: almost all tokens are unknown to the tokenizer.
    """
    classifier, texts = scoring.model.classifier, scoring.texts
    earlier = _earlier(scoring, manifest)
    unknown = unknown_tokens(classifier, read.texts)
    measured, kinds, told = (
        earlier.get("performance", {}),
        earlier.get("kinds"),
        dict[str, Float[np.ndarray, "outputs"]](),
    )
    if measured.get("texts") != len(read.texts):
        told = logits_of_labelled(classifier, read.texts, read.examples)
        measured = performance(classifier, read.texts, read.examples, told)
        kinds = performance_by_kind(classifier, read.texts, read.examples, told)
        measured = {"texts": len(read.texts), **measured} if measured else {}
    more = {
        "performance": measured,
        "kinds": kinds,
        "predicted": earlier.get("predicted"),
        "unknown_tokens": unknown,
        "repeated": repeated(read),
        "skipped": skipped_entry(read.skipped, len(texts.examples)) if read.skipped else None,
        "said": [f"{read.said}."] if read.said else None,
        "read": mark,
    }
    more = {name: value for name, value in more.items() if value is not None and value != {}}
    return Knowledge(sum(text.truncated for text in read.texts), ground_truth_checks(scoring, earlier), more, told)


def ground_truth_checks(scoring: Scoring, earlier: Mapping[str, Any]) -> Mapping[str, float]:
    """What tells whether the model uses what was planted in the data, or computes the program that made the labels.

    Nothing where nothing was planted and no program is known.
    """
    texts, model = scoring.texts, scoring.model
    if texts.dataset.traits.says:
        return program_checks(scoring, earlier)
    if not texts.dataset.traits.without:
        return {}
    found: Mapping[str, float] = earlier.get("checks", {})
    data, parts = texts.dataset, texts.dataset.traits.planted_parts
    if found and all(WITHOUT_PART.format(part) in found for part in parts):
        return found

    def less(*part: str) -> Sequence[Example]:
        with blaming(f"data set {data.label} cannot be had without what was planted"):
            bare = data.object.without(texts.split, *part)
        return with_classes(model, data, bare)[0]

    planted, _ = with_classes(model, data, texts.sample)
    return trigger_accuracies(model.classifier, planted, less(), {part: less(part) for part in parts})


def program_checks(scoring: Scoring, earlier: Mapping[str, Any]) -> Mapping[str, float]:
    """How often the model says what the program says that made the labels."""
    texts, model = scoring.texts, scoring.model
    if found := earlier.get("checks"):
        return dict(found)
    read = encode_examples(model, texts.dataset, texts.sample)
    classes = matched(model, texts.dataset, texts.sample).classes
    return program_agreement(model.classifier, texts.dataset.object.says, classes, read.texts)
