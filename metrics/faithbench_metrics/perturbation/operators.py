"""Perturbation operators: what it means to take a token away. A parameter of all metrics that do so.

What a model says of a text with holes depends on how the holes are made (Hase et al. 2021, arXiv 2106.00786), so a
ranking of explainers should be seen to survive the operator.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.conversations import Asking
from faithbench.draws import generator
from faithbench.parameters import check_choice
from faithbench.probability import log_odds, log_probabilities, probabilities
from faithbench.questions import GONE, HIDDEN, Logits
from faithbench.types import Text

OPERATORS = ("mask", "pad", "attention", "delete", "sample")
ALSO = {"resampled": "sample"}  # other names
VALUES = ("probability", "logit")
DRAWS = 4  # of replacements, for `sample`


@dataclass(frozen=True)
class Operator:
    """How tokens are taken away; special tokens stay unless a caller takes them too.

    - `mask`: the mask token stands in their place; of models that have none, such as language models, their blank one.
    - `pad`: the padding token stands in their place, and is attended to like any other.
    - `attention`: they stay where they are, but nothing may attend to them.
    - `delete`: they are deleted, and what follows moves up. Where nothing at all is left, as of a text without special
      tokens, the mask token (or blank one) is read alone.
    - `sample`, also called `resampled`: content tokens of the data, drawn as often as they occur, stand in their place.
      Of `DRAWS` draws, which belong to the text, each has one replacement for a place whatever else is taken away;
      probabilities are means over the draws.

    `value` is what `chances` gives of what is left: the `probability`, or its `logit`, log p/(1 − p), which of a
    next-token question is d, the logit of the good continuation less that of the bad one. Over draws the mean of
    either.
    """

    name: str
    value: str = "probability"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", ALSO.get(self.name, self.name))
        check_choice("operator", self.name, OPERATORS)
        check_choice("value", self.value, VALUES)

    @property
    def needs(self) -> tuple[str, ...]:
        """What a text must have for it."""
        return ("vocabulary",) if self.name == "sample" else ()

    def logits(
        self, text: Text, keep: Bool[np.ndarray, "variants tokens"]
    ) -> Asking[Float[np.ndarray, "variants draws classes"]]:
        """Logits of what is kept; one draw but for `sample`.

        Raises:
            ValueError: `sample` has no vocabulary to draw from.
        """
        fill: int | Int[np.ndarray, "rows tokens"] | None = None
        rows = keep
        if self.name == "sample":
            rows, fill = np.repeat(keep, DRAWS, axis=0), np.tile(replacements(text), (len(keep), 1))
        elif self.name != "mask":
            fill = {"pad": text.pad_id, "attention": HIDDEN, "delete": GONE}[self.name]
        logits: Float[np.ndarray, "rows classes"]
        if self.name == "delete" and not keep.any(axis=1).all():
            logits = yield from _with_nothing_left(text, keep)
        else:
            logits = yield Logits(text, rows, fill)
        return logits.reshape(len(keep), -1, logits.shape[-1])

    def chances(
        self, text: Text, keep: Bool[np.ndarray, "variants tokens"]
    ) -> Asking[Float[np.ndarray, "variants classes"]]:
        """Probabilities of all classes given what is kept, or their logits, as `value` says."""
        mean: Float[np.ndarray, "variants classes"] = (yield from self.draws_of_chances(text, keep)).mean(axis=1)
        return mean

    def draws_of_chances(
        self, text: Text, keep: Bool[np.ndarray, "variants tokens"]
    ) -> Asking[Float[np.ndarray, "variants draws classes"]]:
        """The same, draw by draw."""
        logits = yield from self.logits(text, keep)
        told = log_odds if self.value == "logit" else probabilities
        every: Float[np.ndarray, "variants draws classes"] = told(logits, text.link)
        return every

    def log_chances(
        self, text: Text, keep: Bool[np.ndarray, "variants tokens"]
    ) -> Asking[Float[np.ndarray, "variants classes"]]:
        """Their natural logarithms, finite however small the probabilities; NaN where a model's logits are."""
        logs = log_probabilities((yield from self.logits(text, keep)), text.link)
        with np.errstate(invalid="ignore"):
            mean: Float[np.ndarray, "variants classes"] = np.logaddexp.reduce(logs, axis=1) - math.log(logs.shape[1])
        return mean

    def unit(self, text: Text) -> float:
        """By what a difference of values is multiplied: logits stay what they are."""
        return 1.0 if self.value == "logit" else unit(text)


def _with_nothing_left(
    text: Text, keep: Bool[np.ndarray, "variants tokens"]
) -> Asking[Float[np.ndarray, "variants classes"]]:
    """Logits of what is not deleted; of nothing, those of one blank token, which stands where the last one stood."""
    some, last = keep.any(axis=1), np.arange(len(text)) == len(text) - 1
    blank = replace(text, ids=np.where(last, text.mask_id, text.ids))
    questions = [Logits(blank, last[None], GONE)]
    if some.any():
        questions.append(Logits(text, keep[some], GONE))
    nothing, *rest = yield tuple(questions)
    logits: Float[np.ndarray, "variants classes"] = np.repeat(nothing, len(keep), axis=0)
    if rest:
        logits[some] = rest[0]
    return logits


def unit(text: Text) -> float:
    """By what a difference of what the model says is multiplied: 100 for probabilities, which are told in percent.

    A value (the link `identity`) has a unit of its own, in which its differences stay.
    """
    return 1.0 if text.link == "identity" else 100.0


def settle(metric: Any) -> None:
    """Checks the parameters `operator` and, if it has one, `value` of a metric, and gives the operator its one name."""
    operator = Operator(metric.operator, getattr(metric, "value", "probability"))
    object.__setattr__(metric, "operator", operator.name)


def operator_of(metric: Any) -> Operator:
    """How a metric takes tokens away, and what it measures of the rest."""
    return Operator(getattr(metric, "operator", "mask"), getattr(metric, "value", "probability"))


def range_of_value(metric: Any, low: float, high: float) -> tuple[float, float]:
    """The range of a metric's values in percent of a probability; a logit has no limits."""
    return (-math.inf, math.inf) if metric.value == "logit" else (low, high)


def _needs_of_operator(metric: Any) -> tuple[str, ...]:
    """What the operator of a metric needs."""
    return Operator(metric.operator).needs


needs_of_operator = property(_needs_of_operator)  # the trait `needs` of every metric with a parameter `operator`


def replacements(text: Text) -> Int[np.ndarray, "draws tokens"]:
    """The tokens that `sample` puts in the place of each."""
    if text.vocabulary is None or not len(text.vocabulary):
        raise ValueError(f"text {text.id!r} has no vocabulary, which operator=sample draws from.")
    drawn: Int[np.ndarray, "draws tokens"] = generator(text, "replacements").choice(
        text.vocabulary, size=(DRAWS, len(text))
    )
    return drawn
