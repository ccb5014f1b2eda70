"""What is to be known of a model on a data set besides its records, and is kept in the manifest."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.records.manifest import Mark
from faithbench.running.ground_truth import (
    ACCEPTED,
    AGREES,
    AGREES_CHANGED,
    WITH,
    WITHOUT_PART,
    ground_truth_holds,
    program_agreement,
    program_holds,
    trigger_accuracies,
    without,
)
from faithbench.running.performance import logits_of_labelled, performance, performance_by_kind, unknown_tokens
from faithbench.running.scoring import Scoring
from faithbench.tables.cautions import cautions, skipped_entry
from faithbench.training.encoding import Encoded, encode_examples, matched, readable, with_classes
from faithbench.types import Example

PROBED = 100  # texts by which it is known how a model reads
MORE = ("performance", "kinds", "predicted", "unknown_tokens", "skipped", "said", "read")


@dataclass(frozen=True)
class Knowledge:
    """What is known of a model on a data set.

    Args:
        truncated: texts that were cut to the model's limit.
        checks: whether the model uses what was planted in the data; nothing where nothing was.
        more: what else the manifest says, as far as there is something to say: `performance`, also that on `kinds` of
            next-token questions, how often each class is `predicted`, `unknown_tokens` in percent, rows `skipped`, what
            was `said` of labels, and which texts were `read` for it.
        told: logits of texts that were asked for it, by id.
    """

    truncated: int
    checks: Mapping[str, float] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, Float[np.ndarray, "outputs"]] = field(default_factory=dict)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person should be told."""
        return tuple(cautions(self.more))


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
    parts = texts.dataset.traits.planted
    if not found or any(WITHOUT_PART.format(part) not in found for part in parts):
        planted, _ = with_classes(model, texts.dataset, texts.sample)

        def less(*part: str) -> Sequence[Example]:
            return with_classes(model, texts.dataset, texts.dataset.object.without(texts.split, *part))[0]

        found = trigger_accuracies(model.classifier, planted, less(), {part: less(part) for part in parts})
    if found and not ground_truth_holds(found):
        what = "all that" if parts else "what"
        fallen = ", ".join(f"{accuracy:.1f} % without {gone}" for gone, accuracy in without(found))
        scoring.setup.say(
            f"{model.label} does not rely on {what} was planted in {texts.dataset.label}, so the ground truth does not "
            f"hold: accuracy {found[WITH]:.1f} % with it, {fallen}."
        )
    return found


def program_checks(scoring: Scoring, earlier: Mapping[str, Any]) -> Mapping[str, float]:
    """How often the model says what the program says that made the labels."""
    texts, model = scoring.texts, scoring.model
    found: Mapping[str, float] = earlier.get("checks", {})
    if not found:
        read = encode_examples(model, texts.dataset, texts.sample)
        classes = matched(model, texts.dataset, texts.sample).classes
        found = program_agreement(model.classifier, texts.dataset.object.says, classes, read.texts)
    if found and not program_holds(found):
        scoring.setup.say(
            f"{model.label} is not accepted as {texts.dataset.label}, so the ground truth is not the model's: it "
            f"agrees with the program on {_down(found[AGREES])} % of the texts and {_down(found[AGREES_CHANGED])} % of "
            f"their changes, and {ACCEPTED} % are needed of both; train it with masking=none and another learning rate."
        )
    return found


def _down(percent: float) -> str:
    """A share that is not rounded up to what is asked of it."""
    return f"{math.floor(100 * percent) / 100:.2f}"
