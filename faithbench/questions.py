"""What a component may ask a model. A component yields a question (or a tuple of them) and receives the answer(s)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.types import Target, Text

HIDDEN = -1  # for `Logits.fill`: the token stays where it is, but nothing may attend to it
GONE = -2  # for `Logits.fill`: the token is deleted, and what follows moves up


@dataclass(frozen=True, eq=False)
class Logits:
    """Logits of a text under token masks: where `keep` is False the token is replaced by `fill`.

    Answer: Float[ndarray, "variants classes"].

    Args:
        text: which.
        keep: a row for each variant.
        fill: id of the token that replaces, or one for each place of each variant; None for the mask token; `HIDDEN` or
            `GONE` for tokens that are not replaced but taken away.
        outputs: numbers of the outputs wanted, in the order wanted; None for all that the text is about.
    """

    text: Text
    keep: Bool[np.ndarray, "variants tokens"]
    fill: int | Int[np.ndarray, "variants tokens"] | None = None
    outputs: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _check_rows("keep", self.keep, self.text)
        if self.outputs is not None:
            object.__setattr__(self, "outputs", tuple(map(int, self.outputs)))
            count = math.inf if self.text.outputs is None else len(self.text.outputs)
            if not self.outputs or not all(0 <= output < count for output in self.outputs):
                raise ValueError(
                    f"outputs={self.outputs!r} is not allowed; they are numbered from 0 to {count} less 1."
                )
        if isinstance(self.fill, np.ndarray):
            if self.fill.shape != self.keep.shape or (self.fill == GONE).any():
                raise ValueError("fill needs an id, or HIDDEN, for each place of each variant.")
        elif self.fill == GONE and not self.keep.any(axis=1).all():
            raise ValueError("a variant whose tokens are all GONE leaves nothing to read.")


@dataclass(frozen=True, eq=False)
class LogitsAt:
    """Logits of a text whose tokens have these embeddings in place of their own (after the embedding LayerNorm).

    Answer: Float[ndarray, "variants classes"].
    """

    text: Text
    embeddings: Float[np.ndarray, "variants tokens d"]

    def __post_init__(self) -> None:
        _check_rows("embeddings", self.embeddings, self.text, dimensions=3)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What the embedding module gives, after its LayerNorm; variants as in `Logits`.

    Answer: Float[ndarray, "variants tokens d"].
    """

    text: Text
    keep: Bool[np.ndarray, "variants tokens"]
    fill: int | None = None

    def __post_init__(self) -> None:
        _check_rows("keep", self.keep, self.text)


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradient of the target's value with respect to the embeddings of the text, after the embedding LayerNorm.

    Answer: `Gradient`; with `interpolation` a list of them, one for each point.

    Args:
        text: which.
        target: whose value is meant: a logit, or by how much one exceeds another.
        rules: of the backward pass: `"module:Class"` of a context manager such as `FROZEN`; "" for none.
        interpolation: points to take it at, token by token: fill's embedding + t · (text's embedding − fill's); each
            t in [0, 1]. None for the text itself.
        fill: id of the token that paths begin at; None for the mask token.
    """

    text: Text
    target: Target
    rules: str = ""
    interpolation: Float[np.ndarray, "points tokens"] | None = None
    fill: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", Target.of(self.target))
        if self.interpolation is not None:
            _check_rows("interpolation", self.interpolation, self.text)


FROZEN = "faithbench.models.frozen:FrozenWeights"  # the model's dynamic weights are constants (arXiv 2502.12992)
ATTN_LRP = "faithbench.models.lrp:AttnLRP"  # relevance propagation through attention (arXiv 2402.05602)


@dataclass(frozen=True, eq=False)
class Attentions:
    """Post-softmax attention. Answer: Float[ndarray, "layers heads queries keys"]."""

    text: Text


@dataclass(frozen=True, eq=False)
class Inside:
    """White-box escape, for what no other question can ask: a function looks into the model, one text at a time.

    Answer: whatever the function gives. What it raises is raised in the component that asked.

    Args:
        text: which.
        function: `"module:function"`, called with the classifier, the text and the arguments.
        arguments: plain values, by name.
    """

    text: Text
    function: str
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """The model changed in some way for the time of a question.

    Args:
        change: `"module:Class"` of a context manager, built with the classifier and the arguments: such as `NOISE` or
            `RANDOMISED`. The model is what it was when the context ends.
        arguments: by name, plain values.
    """

    change: str
    arguments: tuple[tuple[str, object], ...] = ()


NOISE = "faithbench.models.variants:Noise"  # noise is added to what the embedding module gives
RANDOMISED = "faithbench.models.variants:Randomised"  # some of the model's parts have random weights


@dataclass(frozen=True, eq=False)
class OnVariant:
    """Another question, asked of a variant of the model."""

    variant: Variant
    question: "Logits | LogitsAt | Embeddings | Gradients | Attentions | Inside"

    def __post_init__(self) -> None:
        if isinstance(self.question, OnVariant) or not isinstance(self.question, Question):
            raise TypeError(f"{type(self.question).__name__} cannot be asked of a variant of the model.")

    @property
    def text(self) -> Text:
        """The question's."""
        return self.question.text


@dataclass(frozen=True, eq=False)
class Explain:
    """What the explainer in question says of another class, or would say of a variant of the model. For metrics only.

    Answer: `Attribution`. Should the explainer fail, that is raised in the metric, as a QuestionError.
    """

    text: Text
    target: Target
    variant: Variant | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", Target.of(self.target))


class Row(NamedTuple):
    """One row that goes to a model, as a classifier is given it; no padding.

    Attributes:
        ids: of the tokens; `HIDDEN` for one that keeps its place, unseen by all.
        types: token types; None where the model is left its default.
        embeddings: what the embedding module is to have given, in place of what it gives for the ids.
        outputs: numbers of the outputs that are wanted; None for all.
        candidates: ids of the next tokens that a language model chooses between; None for other models.
    """

    ids: Int[np.ndarray, "tokens"]
    types: Int[np.ndarray, "tokens"] | None = None
    embeddings: Float[np.ndarray, "tokens d"] | None = None
    outputs: tuple[int, ...] | None = None
    candidates: tuple[int, ...] | None = None


class Point(NamedTuple):
    """A row of `Gradients`, as a classifier is given it.

    Attributes:
        row: the text.
        target: whose value is meant.
        interpolation: where between the fill's embedding and its own each token is; None for the text itself.
        fill: id of the token that paths begin at.
    """

    row: Row
    target: Target
    interpolation: Float[np.ndarray, "tokens"] | None = None
    fill: int = 0


@dataclass(frozen=True)
class Gradient:
    """The answer to `Gradients`: where it was taken, what it is, and the target's value there.

    Of a language model under frozen weights, `places` is the part of the embeddings that a token's place alone adds;
    None where it cannot be told apart.
    """

    embeddings: Float[np.ndarray, "tokens d"]
    gradient: Float[np.ndarray, "tokens d"]
    logit: float
    places: Float[np.ndarray, "tokens d"] | None = None


Question = Logits | LogitsAt | Embeddings | Gradients | Attentions | Inside | OnVariant


def _check_rows(name: str, rows: np.ndarray, text: Text, dimensions: int = 2) -> None:
    if rows.ndim != dimensions or not len(rows) or rows.shape[1] != len(text):
        raise ValueError(f"{name} has shape {rows.shape}; it needs one row or more of {len(text)} tokens each.")
