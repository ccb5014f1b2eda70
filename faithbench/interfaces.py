"""What a component must offer, as protocols (nothing to inherit), and what it may say of itself: its traits."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.questions import Gradient, Point, Row
from faithbench.tasks import Task
from faithbench.types import LINKS, Attribution, Example, Link, Measurement, Target, Text

if TYPE_CHECKING:  # torch takes a second to load, and these are descriptions
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Dataset(Protocol):
    """A labelled data set with the splits `train`, `validation` and `test`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each label, in the order of the labels 0, 1, …"""

    def load(self, split: str) -> Sequence[Example]:
        """All rows of a split."""


class Explainer(Protocol):
    """Says of one text how much each token mattered for a target.

    One that runs what its parameters name, such as a function of the user's, imports it in a method `resolve()`, called
    before anything is explained; to make, list or check a component imports nothing.

    One whose scores are sums, or L2 norms, of numbers for each dimension of the embeddings may have a method
    `per_dimension(text, target)` that gives those, asking likewise: `Float[ndarray, "tokens d"]`.
    """

    def __call__(self, text: Text, target: Target) -> Asking[Attribution] | Attribution:
        """A generator: yields questions to the model, receives their answers, returns an attribution."""


class Metric(Protocol):
    """Gives one value to one attribution; means and intervals are made elsewhere."""

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement] | Measurement:
        """A generator, likewise; one that has no questions may simply return its measurement."""


class Classifier(Protocol):
    """A model that answers. Rows are without padding; answers come in the order of the rows.

    The rows of `logits` and `embed` may be `faithbench.blocks.Rows`, a sequence that makes each `Row` when it is looked
    at: a model that puts rows below each other anyway can take `rows.rectangle()`, `rows.types()` and `rows.outputs()`.

    One with an attribute `tokens`, how many token ids it knows, is never given others. One with `in_flight` above 1, as
    on a GPU, is given so many batches of logits at a time: `submit(rows)` returns a function that waits for them.

    Those that answer raise `MemoryError` when the batch was too large (the engine then makes it smaller) and
    `faithbench.errors.QuestionError` when the model cannot answer such a question at all.
    """

    classes: int  # outputs, whatever they mean
    class_names: tuple[str, ...]  # of the outputs, as the model's author gave them; empty where it has none
    batch_tokens: int  # how many tokens, padding included, a batch of `logits` should hold
    gradient_cost: int  # how many rows of `logits` a row of the other questions needs the memory of

    @property
    def reads_embeddings(self) -> bool:
        """Whether `logits` reads the embeddings of rows that have some."""

    @property
    def task(self) -> Task:
        """What the model says of a text."""

    def encode(self, example: Example) -> Text:
        """The text as the model reads it, cut to its limit."""

    def logits(self, rows: Sequence[Row]) -> Float[np.ndarray, "rows outputs"]:
        """Logits, of the outputs that the rows name; either all rows name as many, or none does."""

    def embed(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "_ d"]]:
        """What the embedding module gives."""

    def gradients(self, points: Sequence[Point], rules: str) -> list[Gradient]:
        """Gradients of one target a point at the embeddings, under rules (see `Gradients`)."""

    def attentions(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "layers heads _ _"]]:
        """Attention probabilities."""

    def fingerprint(self) -> str:
        """A hash of everything that its numbers depend on."""


@dataclass(frozen=True)
class LayerParts:
    """Where the parts of an encoder's layer are, and the linear layers of its head: what DecompX goes through.

    Module names: of `dense` and `out` in the model, of the others in a layer. `head_activation` is what stands between
    them, `tanh` or `relu`.
    """

    query: str
    key: str
    value: str
    mix: str
    mix_norm: str
    expand: str
    activation: str
    contract: str
    norm: str
    dense: str
    head_activation: str
    out: str


@dataclass(frozen=True)
class Architecture:
    """What faithbench must know of a type of transformers' models that transformers does not say.

    Most of it can be read off a model (`faithbench.architectures.inspection`), and all of it is tried on the model when
    it is loaded; a file of an architecture's own is for exceptions and for what cannot be seen.

    Args:
        embeddings: name of the module that makes embeddings of ids, whose parameters are those of the embeddings.
        attention_inputs: regular expression for the names of the query, key and value projections.
        layers: name of the list of layers, the first of whose input explanations speak of; "" for none.
        mixed: inside a layer, the first module that is called after the tokens have been mixed: from there on each
            position is computed on its own. Of several names, the first that proves true.
        positions_skip_padding: whether positions are counted from the ids, over those that are not padding; None to
            try it.
        tokens_first: whether the states that layers read are [tokens, rows, d].
        reads_last: whether the head of a model that is no decoder reads the last position.
        straighten: `"module:function"` that takes the activation out of a classifier's head, in place: set where it is
            a module, replaced or undone where it is hard-coded. "" where there is none.
        parts: of a layer and the head; None where DecompX cannot go.
    """

    embeddings: str
    attention_inputs: str
    layers: str
    mixed: str | tuple[str, ...] = ()
    positions_skip_padding: bool | None = None
    tokens_first: bool = False
    reads_last: bool = False
    straighten: str = ""
    parts: LayerParts | None = None


class WhiteBox(Classifier, Protocol):
    """A classifier that lets components look inside: what variants, `Inside` and their like may rely on."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    device: "torch.device"
    max_length: int  # tokens of the longest text
    architecture: Architecture

    def remade(self, model: "PreTrainedModel") -> "WhiteBox":
        """The classifier of another model, with the same tokenizer and in the same precision, read in the same way."""

    def inputs_of(self, text: Text) -> "tuple[Tensor, Tensor | None]":
        """Token ids and, where there are some, token types of a text, each [1, tokens]."""

    def candidates_of(self, text: Text, rows: int = 1) -> "Tensor | None":
        """The candidates of a text [rows, candidates], for each of so many rows; None where it has none."""

    def forward(
        self,
        ids: "Tensor",
        types: "Tensor | None" = None,
        visible: "Tensor | None" = None,
        whole: bool = False,
        candidates: "Tensor | None" = None,
    ) -> "Tensor":
        """Logits [rows, outputs] of token ids [rows, tokens], their token types, and which of them are visible.

        `whole` says that the last layer is to be computed at all positions; `candidates` [rows, candidates] are
        those of the next token, of texts that have some.
        """

    def embedded(self, ids: "Tensor", types: "Tensor | None" = None) -> "Tensor":
        """The input of the first layer for token ids [rows, tokens]: [rows, tokens, d]."""

    def reading(self, embeddings: "Tensor") -> AbstractContextManager[None]:
        """Within it, the first layer reads these embeddings [rows, tokens, d], whatever ids the model is given."""

    def changing(self, change: "Callable[[Tensor], Tensor]") -> AbstractContextManager[None]:
        """Within it, the first layer reads what the function makes of the embeddings."""


class Model(Protocol):
    """A named model of a plugin: makes a classifier for a data set."""

    def prepare(self, dataset: Dataset, device: str, dtype: str) -> Classifier:
        """The classifier, trained for the data set if need be."""


class ChangedModel(Protocol):
    """A named model that is another model changed: a control, such as the same with random weights.

    What it is made of is found, trained if need be and loaded as if it had been named itself. One that has to learn
    something, or has something to report, has a method `learn(named, classifier, data, setup)` besides: what has
    `change` then, and what is known of it, which the run's manifest keeps. Where that takes long there is a method
    `learnt(named, data, setup) -> bool`, too, whether it has been done. They are given the model as it is named
    (`faithbench.plugins.naming.ModelRef`), the other model, the data set that this is trained on (None where nobody
    says) and a `faithbench.training.setup.Setup`.
    """

    model: str  # spec of the other, a folder or a hub id

    def change(self, classifier: "WhiteBox") -> Classifier:
        """The other model changed; what is given stays as it is. Called again in each worker, with the same result."""


@dataclass(frozen=True)
class Traits:
    """What a component may say of itself in class attributes or properties of these names; all have defaults.

    They are read and checked once, when a component is built (`faithbench.plugins.traits`). `faithbench.conformance`
    proves those of explainers and metrics that say something about their values.

    Attributes:
        version: raised when numbers change, so that older results are not taken for new ones.
        added: parameters that came later: left out of the identity while they have their default, so that older results
            keep theirs. Of the class itself, since it is asked before anything is built.
        formerly: parameters that came later with a default that gives other numbers, each with the value that older
            results had, such as (("embedding_bias", True),): left out of the identity while they have that value, so
            that older results keep theirs, and stated where they have their default. Of the class itself, likewise.
        on_request: only run where it is named. Of the class itself, likewise.
        kind: metrics: what they are about: "faithfulness", "ground truth", "plausibility", "simplicity" or a word of
            one's own. Tables have a part for each.
        higher_is_better: metrics: None where no direction is better.
        range: metrics: the least and the largest value that there can be, `math.inf` where there is no limit; None
            where there is none at all.
        needs: metrics: fields of `Text` that must be present, such as "evidence". They are not run on data without;
            "vocabulary" alone is there for every text then.
        by_order: metrics: the value depends on the order of the scores alone, so that `normalised(…)` can search for
            the best.
        keep_parts: metrics: a published board keeps the `parts` of their measurements even where all would be too many.
        parts_at: metrics: the share of a text's content tokens, 0 to 1, that each of the `parts` of a measurement is
            of, rising: then the parts are a curve, and figures show its mean. Empty where they are none.
        links: metrics: the kinds of models that they can measure, by the link from logits to what those say: "softmax",
            "sigmoid" (labels), "identity" (a value). They are not run on others.
        unproven: metrics of faithfulness or ground truth: why it cannot be shown on a linear model that a perfect
            explanation measures at least as well as a random one. Where it is empty, the contract shows it.
        class_sensitive: explainers: False where scores do not depend on the class that is explained.
        sums_to: explainers: what the scores and, if there is one, the note `completeness_gap` add up to: "logit", that
            of the class; "content" or "tokens", how far it is above that of the text whose content tokens, or all of
            whose tokens, are replaced by the `baseline` (a parameter; else the mask token). Less, in all three cases,
            that of the runner-up where a parameter `contrastive` is set. Empty: nothing in particular.
        repeats: explainers: whether they have the method `repeats() -> Sequence[Explainer]`, others that differ from it
            by chance alone, such as noise drawn anew: what is measured is the mean over it and them.
        dear: explainers: whether it asks the model hundreds of rows a text or more where its parameters have their
            defaults: a command that names no explainer does not run it on models that are not tiny.
        degrades: explainers: the identity of the explainer that it is a spoilt copy of, and the share that is spoilt,
            0 to 1; it stands in no ranking, and metrics are judged by it. None for no copy.
        lr: data sets: the peak learning rate of fine-tuning.
        base: data sets: the spec of the data set that models are trained on, if another.
        only_for: data sets: only metrics that need this field are run on them.
        unit: data sets: what a record of them is of: a "text", or a "neuron", which describers describe and scores
            score in the place of explainers and metrics.
        for_model: data sets: whether they have the method `for_model(model) -> Dataset`, the data set as it is built
            for a model.
        without: data sets: whether they have the method `without(split)`, their texts without what was planted in
            them, to check that a model uses it.
        planted_parts: data sets: names of planted things that tell the label only together, to check that a model
            uses every one: `without(split, name)` are the texts without that one.
        says: data sets: whether they have the method `says(words) -> int`, the class that a program says of a text's
            words, to check that a model computes the same.
        skipped: data sets: whether they have the method `skipped(split) -> Sequence[Skipped]`, the rows of a split that
            `load` leaves out because they cannot be used.
        notes: data sets: whether they have the method `notes(split) -> Sequence[str]`, what had to be assumed to read a
            split, each a line for the user.
        unfit: data sets: whether they have the method `unfit(example, text) -> str`, why an example as a model reads it
            cannot be used; "" where it can.
        change: models: whether they have the method `change(classifier) -> Classifier`, what the model that their
            parameter `model` names becomes (`ChangedModel`).

    One more of data sets, `content: str`, is a hash of what the spec does not pin. It may have to read files, and so is
    read only when it is asked for (`Component.content`).
    """

    version: int = 1
    added: tuple[str, ...] = ()
    formerly: tuple[tuple[str, object], ...] = ()
    on_request: bool = False
    kind: str = "faithfulness"
    higher_is_better: bool | None = None
    range: tuple[float, float] | None = None
    needs: tuple[str, ...] = ()
    by_order: bool = False
    keep_parts: bool = False
    parts_at: tuple[float, ...] = ()
    links: tuple[Link, ...] = LINKS
    unproven: str = ""
    class_sensitive: bool = True
    sums_to: str = ""
    repeats: bool = False
    dear: bool = False
    degrades: tuple[str, float] | None = None
    lr: float | None = None
    base: str | None = None
    only_for: str | None = None
    unit: str = "text"
    for_model: bool = False
    planted_parts: tuple[str, ...] = ()
    without: bool = False
    says: bool = False
    skipped: bool = False
    notes: bool = False
    unfit: bool = False
    change: bool = False

    @property
    def direction(self) -> int:
        """+1 where higher is better, −1 where lower is, 0 where neither is."""
        return 0 if self.higher_is_better is None else 1 if self.higher_is_better else -1
