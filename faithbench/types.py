"""The data that flows through faithbench, frozen, in the order in which it comes to be."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

Kind = TypeVar("Kind")
SPLITS = ("train", "validation", "test")  # of every data set
Link = Literal["softmax", "sigmoid", "identity"]  # from logits to what a model says: one class, labels, a value
LINKS: tuple[Link, ...] = ("softmax", "sigmoid", "identity")
Span = tuple[int, int]  # characters [start, end)
Weighed = tuple[tuple[int, int, float], ...]  # characters [start, end), and a number for each
Segment = tuple[int, int, int]  # characters [start, end), and the class that they were taken from


def read_only(array: np.ndarray) -> np.ndarray:
    """The same numbers in an array that nobody can write into, nor make so that one can."""
    if isinstance(array.base, bytes) or array.dtype.hasobject:
        return array
    return np.ndarray(array.shape, array.dtype, array.tobytes())


def rows_of(array: np.ndarray, begin: int = 0, end: int | None = None) -> np.ndarray:
    """Rows of an array that `read_only` gave, from one to before another, as an array of its own in the same memory."""
    rows, held = array[begin:end], array.base
    if not rows.size or not isinstance(held, bytes):
        return read_only(rows)
    offset = rows.ctypes.data - np.frombuffer(held, np.uint8).ctypes.data
    return np.ndarray(rows.shape, rows.dtype, held, offset, rows.strides)


def _lock(value: Any) -> None:
    """Makes a value's arrays read-only."""
    for name, array in _arrays(value):
        object.__setattr__(value, name, read_only(array))


def _arrays(value: Any) -> list[tuple[str, np.ndarray]]:
    contents = ((name, getattr(value, name)) for name in _names(type(value)))  # type: ignore[arg-type]  # a class can be hashed
    return [(name, content) for name, content in contents if isinstance(content, np.ndarray)]


@cache
def _names(kind: type) -> tuple[str, ...]:
    """Of a type's fields."""
    return tuple(one.name for one in fields(kind))


def _copied(value: Kind, shared: str = "", **changed: object) -> Kind:
    """The same value with arrays of its own, which nobody can write into either.

    Args:
        value: a dataclass, checked when it was made.
        shared: name of an array that is not copied.
        changed: fields of another content.
    """
    own = object.__new__(type(value))
    vars(own).update(vars(value))
    for name, array in _arrays(value):
        if name != shared and not array.dtype.hasobject:
            object.__setattr__(own, name, np.ndarray(array.shape, array.dtype, array.tobytes()))
    for name, content in changed.items():
        object.__setattr__(own, name, content)
    return own


@dataclass(frozen=True, eq=False)
class Target:
    """What is explained: an output of the model, or by how much it exceeds another.

    It stands for the output's number wherever an index is wanted, as in `logits[:, target]`, and one that is against
    nothing equals its number.

    Args:
        output: number of a class, a label, a value or a candidate.
        against: the output that is subtracted; None for none.
    """

    output: int
    against: int | None = None

    @classmethod
    def of(cls, target: "Target | int") -> "Target":
        """A target; of a number, that output alone."""
        return target if isinstance(target, Target) else cls(int(target))

    def __index__(self) -> int:
        return self.output

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Target):
            return (self.output, self.against) == (other.output, other.against)
        return self.against is None and isinstance(other, (int, np.integer)) and self.output == int(other)

    def __hash__(self) -> int:
        return hash(self.output if self.against is None else (self.output, self.against))

    def __str__(self) -> str:
        return str(self.output) if self.against is None else f"{self.output}, not {self.against}"

    def value(self, logits: Float[np.ndarray, "*rows outputs"]) -> Float[np.ndarray, "*rows"]:
        """The output's logit, less that of the output against; in double precision."""
        own: Float[np.ndarray, "*rows"] = logits[..., self.output].astype(np.float64)
        return own if self.against is None else own - logits[..., self.against]


@dataclass(frozen=True)
class Example:
    """One row of a data set, before any tokenizer has seen it.

    `label` is the number of a class, in the order of the data set's class names; None where the row says none.
    `labels` are those of a row that has several, or none of them; `value` is a label that is a number rather than a
    class. `pair` is the second text of models that read two, such as a hypothesis; spans count its characters from
    `len(text) + 1` on, as if a line break stood between.

    Of a next-token question `text` is the prefix, `good` and `bad` are the continuations that a language model chooses
    between, and `label` is 0, that of the good one.

    `evidence` marks the characters that are *known* to decide the label (planted data); `rationale` those that any, and
    `rationale_majority` those that most of the annotators marked as their reason. They are different things: an
    explanation can be faithful and disagree with people. `responsibility` and `shapley` say what characters do for the
    label by the program that computes it, which is nothing for all others. `segments` are the parts of a document that
    was put together from texts of known classes; a model reads them with its separator between.
    """

    id: str
    text: str
    label: int | None
    evidence: tuple[Span, ...] | None = None
    rationale: tuple[Span, ...] | None = None
    rationale_majority: tuple[Span, ...] | None = None
    segments: tuple[Segment, ...] | None = None
    pair: str | None = None
    labels: tuple[int, ...] | None = None
    value: float | None = None
    responsibility: Weighed | None = None
    shapley: Weighed | None = None
    good: str | None = None
    bad: str | None = None

    def true_outputs(self, link: Link) -> tuple[int, ...] | None:
        """Which outputs of a classifier are true of it; None if it is not known, as of segments of several classes."""
        if len({label for _, _, label in self.segments or ()}) > 1:
            return None
        if link == "sigmoid" and self.labels is not None:
            return self.labels
        return None if self.label is None else (self.label,)


@dataclass(frozen=True)
class Skipped:
    """A row of a data set that cannot be used, and why.

    Args:
        id: of the row.
        reason: a sentence's end, such as "its text is empty".
    """

    id: str
    reason: str


@dataclass(frozen=True)
class Text:
    """One text as a model reads it. Every array has one entry per token, special tokens included, no padding.

    Many components share it, so its arrays are read-only copies of what it is made of.

    `types` are the token types of models that tell the parts of a pair apart by them. The head reads the position
    `read`, and `link` leads from its logits to what the model says. Where the model has more outputs than are of
    interest, `outputs` are those that it is asked for, and they are counted from 0 in their order. Of a next-token
    question, `candidates` are the ids of the tokens that a language model chooses between, the good one first.
    """

    id: str
    ids: Int[np.ndarray, "tokens"]
    special: Bool[np.ndarray, "tokens"]
    words: Int[np.ndarray, "tokens"]  # index of the word that the token is a piece of; -1 for special tokens
    tokens: tuple[str, ...]
    mask_id: int
    label: int | None = None
    evidence: Bool[np.ndarray, "tokens"] | None = None
    rationale: Bool[np.ndarray, "tokens"] | None = None
    rationale_majority: Bool[np.ndarray, "tokens"] | None = None
    segments: Int[np.ndarray, "tokens"] | None = None  # index of the segment; -1 for special tokens
    segment_classes: tuple[int, ...] = ()
    truncated: bool = False
    source: str = ""  # the text as people write it, uncut
    pad_id: int = 0
    vocabulary: Int[np.ndarray, "_"] | None = None  # content tokens of the data, as often as they occur, to draw from
    types: Int[np.ndarray, "tokens"] | None = None
    read: int = 0
    link: Link = "softmax"
    outputs: tuple[int, ...] | None = None
    responsibility: Float[np.ndarray, "tokens"] | None = None
    shapley: Float[np.ndarray, "tokens"] | None = None
    offsets: Int[np.ndarray, "tokens 2"] | None = None  # characters of `source` [start, end); of special tokens nothing
    candidates: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _lock(self)

    def own(self) -> "Text":
        """A copy for one component, which cannot spoil the text for others, not even through torch."""
        return _copied(self, shared="vocabulary")

    @property
    def content(self) -> Int[np.ndarray, "content"]:
        """Positions of the tokens that are not special."""
        return np.flatnonzero(~self.special)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Attribution:
    """What an explainer says of one text: a signed score for each token, special tokens included.

    `standard_errors` say how far sampling may have moved each score. `notes` are numbers that the explainer wants to
    report about itself, such as a completeness gap. Many metrics share it, so its arrays are read-only copies.

    What `faithbench.attribute` gives says more: `source`, the text as it was given, and `per_dimension`, where it was
    asked for, the scores of each dimension of the tokens' embeddings.
    """

    text_id: str
    target: Target
    scores: Float[np.ndarray, "tokens"]
    notes: Mapping[str, float] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()
    standard_errors: Float[np.ndarray, "tokens"] | None = None
    per_dimension: Float[np.ndarray, "tokens d"] | None = None
    source: Example | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", Target.of(self.target))
        _lock(self)

    def own(self) -> "Attribution":
        """A copy for one component, which cannot spoil the attribution for others, not even through torch."""
        return _copied(self, notes=dict(self.notes))


@dataclass(frozen=True)
class Measurement:
    """What a metric says of one attribution. A value of NaN means: not defined for this text.

    Means over texts are weighted by `weight`: where a value is a ratio, its denominator, so that the mean is a ratio of
    means; where it is itself a mean of several terms, their number.
    """

    value: float
    parts: tuple[float, ...] = ()
    weight: float = 1.0

    @classmethod
    def mean_of(cls, terms: Sequence[float]) -> "Measurement":
        """The mean, in percent, of the terms that are numbers; weighted by how many those are."""
        defined = [term for term in terms if not math.isnan(term)]
        value = 100 * math.fsum(defined) / len(defined) if defined else math.nan
        return cls(value, tuple(terms), float(len(defined)))

    @classmethod
    def pooled(cls, repeats: Sequence["Measurement"]) -> "Measurement":
        """What was measured several times of one text, as one: means, weighted as means over texts are.

        Measurements that are not defined have no weight. Parts are means of those that are numbers, if all repeats have
        as many.
        """
        if len(repeats) == 1:
            return repeats[0]
        weights = [0.0 if math.isnan(one.value) else one.weight for one in repeats]
        whole = math.fsum(weights)
        terms = [weight * one.value for weight, one in zip(weights, repeats, strict=True) if weight > 0]
        alike = len({len(one.parts) for one in repeats}) == 1
        parts = tuple(map(_mean_number, zip(*(one.parts for one in repeats), strict=True))) if alike else ()
        return cls(math.fsum(terms) / whole if whole > 0 else math.nan, parts, whole / len(repeats))


def _mean_number(values: Sequence[float]) -> float:
    """The mean of those that are numbers; NaN if none is."""
    numbers = [value for value in values if not math.isnan(value)]
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


@dataclass(frozen=True)
class Record:
    """One measured value with everything that made it. All fields before `value` together are its identity.

    It belongs to a `unit`: the id of a text, or of whatever else has been measured.
    """

    dataset: str
    dataset_fingerprint: str
    model: str
    model_fingerprint: str
    explainer: str
    metric: str
    version: str
    unit: str
    target: Target
    value: float
    parts: tuple[float, ...]
    weight: float
    seconds: float
    rows: int
    error: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", Target.of(self.target))
