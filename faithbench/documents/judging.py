"""Texts that a judge is sure of, cut to the length of a segment (arXiv 2502.12992)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from faithbench.answering.engine import Engine
from faithbench.conversations import Asking, attempt
from faithbench.documents.cutting import cut_texts
from faithbench.errors import UserError
from faithbench.interfaces import Classifier
from faithbench.probability import probabilities
from faithbench.tasks import logits_of
from faithbench.training.encoding import readable
from faithbench.types import Example, Text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class JudgedText:
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


def judge_texts(
    classifier: Classifier,
    examples: Sequence[Example],
    segment: int,
    confidence: float,
    classes: Mapping[int, int] | None = None,
) -> tuple[list[JudgedText], Losses]:
    """The texts that a judge is sure of, cut to `segment` tokens, surest first; and how many were lost where.

    Args:
        classifier: the judge.
        examples: the texts; one whose class is not known counts as judged wrongly.
        segment: tokens, special ones included.
        confidence: that the judge must exceed.
        classes: the judge's class for each label; None where labels are its classes.

    Raises:
        UserError: the examples are pairs, or have no labels.
    """
    tokenizer = tokenizer_of(classifier)
    if any(example.pair is not None for example in examples):
        raise UserError("documents are put together from single texts, and these are pairs; give data without pairs.")
    if all(example.label is None for example in examples):
        raise UserError("documents are put together from texts of known classes, and these have no labels.")
    full, cut = cut_texts(tokenizer, [example.text for example in examples], segment)
    same = [Example(examples[i].id, text, examples[i].label) for i, text in cut.items()]
    asked = (attempt(text.id, _judge(text)) for text in readable(classifier, same)[0])
    found = {name: told.value for name, told in Engine(classifier).run(asked) if told.value is not None}
    labels = {example.id: _class_of(example, classes) for example in same}
    right = [e for e in same if e.id in found and int(found[e.id].argmax()) == labels[e.id]]
    judged = [JudgedText(e.id, e.text, e.label, float(found[e.id].max())) for e in right if e.label is not None]
    sure = [text for text in judged if found[text.id].max() > confidence]
    losses = Losses(
        texts=len(examples),
        short=len(examples) - full,
        changed=full - len(same),
        wrong=len(same) - len(right),
        unsure=len(right) - len(sure),
    )
    return sorted(sure, key=lambda text: -text.confidence), losses


def tokenizer_of(classifier: Classifier) -> "PreTrainedTokenizerBase":
    """The tokenizer that texts can be cut with.

    Raises:
        UserError: the classifier has none.
    """
    tokenizer: PreTrainedTokenizerBase | None = getattr(classifier, "tokenizer", None)
    if tokenizer is None:
        raise UserError("a judge needs a Hugging Face tokenizer that texts can be cut with; this model has none.")
    return tokenizer


def _class_of(example: Example, classes: Mapping[int, int] | None) -> int | None:
    """The judge's class for an example's label; None if it has none."""
    return example.label if classes is None or example.label is None else classes[example.label]


def _judge(text: Text) -> Asking[Float[np.ndarray, "classes"]]:
    """The probability of each class."""
    return probabilities((yield from logits_of(text)), text.link)
