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
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from faithbench.conversations import Asking
from faithbench.questions import Gradient, Point
from faithbench.types import Attribution, Example, Measurement, Text


class Dataset(Protocol):
    """A labelled data set with the splits `train`, `validation` and `test`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each label, in the order of the labels 0, 1, …"""

    def load(self, split: str) -> Sequence[Example]:
        """All rows of a split."""


class Explainer(Protocol):
    """Says of one text how much each token mattered for a class."""

    def __call__(self, text: Text, target: int) -> Asking[Attribution] | Attribution:
        """A generator: yields questions to the model, receives their answers, returns an attribution."""


class Metric(Protocol):
    """Gives one value to one attribution; means and intervals are made elsewhere."""

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement] | Measurement:
        """A generator, likewise; one that has no questions may simply return its measurement."""


class Classifier(Protocol):
    """A model that answers. Rows are token ids without padding; answers come in the order of the rows.

    Those that answer raise `MemoryError` when the batch was too large (the engine then makes it smaller) and
    `faithbench.errors.QuestionError` when the model cannot answer such a question at all.
    """

    classes: int
    batch_tokens: int  # how many tokens, padding included, a batch of `logits` should hold
    gradient_cost: int  # how many rows of `logits` a row of the other questions needs the memory of

    def encode(self, example: Example) -> Text:
        """The text as the model reads it, cut to its limit."""

    def logits(
        self, rows: Sequence[Int[np.ndarray, "_"]], places: Sequence[Float[np.ndarray, "_ d"]] | None = None, /
    ) -> Float[np.ndarray, "rows classes"]:
        """Logits. A token of id `HIDDEN` keeps its place, unseen by all; `places` are read instead of embeddings."""

    def embed(self, rows: Sequence[Int[np.ndarray, "_"]]) -> list[Float[np.ndarray, "_ d"]]:
        """What the embedding module gives."""

    def gradients(self, points: Sequence[Point], under: str) -> list[Gradient]:
        """Gradients of one logit a point at the embeddings, under rules (see `Gradients`)."""

    def attentions(self, rows: Sequence[Int[np.ndarray, "_"]]) -> list[Float[np.ndarray, "layers heads _ _"]]:
        """Attention probabilities."""

    def fingerprint(self) -> str:
        """A hash of everything that its numbers depend on."""


class Model(Protocol):
    """A named model of a plugin: makes a classifier for a data set."""

    def prepare(self, dataset: Dataset, device: str, dtype: str) -> Classifier:
        """The classifier, trained for the data set if need be."""
