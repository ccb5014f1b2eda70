"""What a component must offer. Protocols: there is nothing to inherit.

Optional attributes that the core reads if they are there.

On all: `version: int` (raised when numbers change), `added: tuple[str, ...]` (parameters that came later: left out of
the identity while they have their default, so that older results keep theirs), `on_request: bool` (True: only run
where it is named). On metrics: `needs: tuple[str, ...]` (fields of `Text` that must be present, e.g. "evidence";
"vocabulary" is there for every text then), `higher_is_better: bool`, `kind` ("faithfulness" if missing, "ground
truth", "plausibility", "simplicity"), `by_order: bool` (the value depends on the order of scores alone, so
`normalised(…)` can search for the best), `keep_parts: bool` (a published board keeps its `parts` too). On explainers:
`class_sensitive: bool` (False where scores do not depend on the target class). On data sets: `lr: float` (fine-tuning
rate), `content: str` (hash of what the spec does not pin), `base: str` (the data set that models are trained on, if
another), `only_for: str` (only metrics that need this field are run), `for_model(model) -> Dataset` (as it is built
for a model), `without(split)` (its texts without what was planted, to check that a model uses it).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.questions import Gradient, Point, Row
from faithbench.tasks import Task
from faithbench.types import Attribution, Example, Measurement, Target, Text

if TYPE_CHECKING:  # torch takes a second to load, and these are descriptions
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from faithbench.architectures import Architecture


class Dataset(Protocol):
    """A labelled data set with the splits `train`, `validation` and `test`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each label, in the order of the labels 0, 1, …"""

    def load(self, split: str) -> Sequence[Example]:
        """All rows of a split."""


class Explainer(Protocol):
    """Says of one text how much each token mattered for a target."""

    def __call__(self, text: Text, target: Target) -> Asking[Attribution] | Attribution:
        """A generator: yields questions to the model, receives their answers, returns an attribution."""


class Metric(Protocol):
    """Gives one value to one attribution; means and intervals are made elsewhere."""

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement] | Measurement:
        """A generator, likewise; one that has no questions may simply return its measurement."""


class Classifier(Protocol):
    """A model that answers. Rows are without padding; answers come in the order of the rows.

    Those that answer raise `MemoryError` when the batch was too large (the engine then makes it smaller) and
    `faithbench.errors.QuestionError` when the model cannot answer such a question at all.
    """

    classes: int  # outputs, whatever they mean
    batch_tokens: int  # how many tokens, padding included, a batch of `logits` should hold
    gradient_cost: int  # how many rows of `logits` a row of the other questions needs the memory of
    reads_embeddings: bool  # whether `logits` reads the embeddings of rows that have some

    @property
    def task(self) -> Task:
        """What the model says of a text."""

    def encode(self, example: Example) -> Text:
        """The text as the model reads it, cut to its limit."""

    def logits(self, rows: Sequence[Row]) -> Float[np.ndarray, "rows outputs"]:
        """Logits, of the outputs that the rows name; either all rows name as many, or none does."""

    def embed(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "_ d"]]:
        """What the embedding module gives."""

    def gradients(self, points: Sequence[Point], under: str) -> list[Gradient]:
        """Gradients of one target a point at the embeddings, under rules (see `Gradients`)."""

    def attentions(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "layers heads _ _"]]:
        """Attention probabilities."""

    def fingerprint(self) -> str:
        """A hash of everything that its numbers depend on."""


class WhiteBox(Classifier, Protocol):
    """A classifier that lets components look inside: what variants, `Inside` and their like may rely on."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    device: "torch.device"
    max_length: int  # tokens of the longest text
    architecture: "Architecture"
    embeddings: "nn.Module"  # what it gives, after its LayerNorm, is what explanations speak of

    def embedded(self, ids: "Tensor") -> "Tensor":
        """What the embedding module gives for token ids [rows, tokens]: [rows, tokens, d]."""

    def reading(self, embeddings: "Tensor") -> AbstractContextManager[None]:
        """Within it, the model reads these embeddings [rows, tokens, d], whatever ids it is given."""


class Model(Protocol):
    """A named model of a plugin: makes a classifier for a data set."""

    def prepare(self, dataset: Dataset, device: str, dtype: str) -> Classifier:
        """The classifier, trained for the data set if need be."""
