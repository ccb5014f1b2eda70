"""A classifier that answers every question in company, so that whatever depends on a batch comes to light."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from faithbench.interfaces import Classifier
from faithbench.questions import Gradient, Point
from faithbench.types import Example, Text

PLENTY = 1 << 20  # tokens: all rows fit into one batch


class Crowded:
    """A classifier that answers no row alone: some texts are in every batch, so that all others are padded."""

    def __init__(self, classifier: Classifier, company: Sequence[Text]) -> None:
        self.inner, self.company = classifier, [text.ids for text in company]
        self.classes, self.batch_tokens, self.gradient_cost = classifier.classes, PLENTY, 1
        self.company_points = [Point(ids, 0) for ids in self.company]

    def __getattr__(self, name: str) -> Any:
        """What only some classifiers have, for looks inside."""
        return getattr(self.inner, name)

    def encode(self, example: Example) -> Text:
        """As the classifier does."""
        return self.inner.encode(example)

    def logits(
        self, rows: Sequence[Int[np.ndarray, "_"]], places: Sequence[Float[np.ndarray, "_ d"]] | None = None, /
    ) -> Float[np.ndarray, "rows classes"]:
        """Logits, computed in company."""
        both = [*self.company, *rows]
        given = () if places is None else ([*self.inner.embed(self.company), *places],)
        return self.inner.logits(both, *given)[len(self.company) :]

    def embed(self, rows: Sequence[Int[np.ndarray, "_"]]) -> list[Float[np.ndarray, "_ d"]]:
        """Embeddings, computed in company."""
        return self.inner.embed([*self.company, *rows])[len(self.company) :]

    def gradients(self, points: Sequence[Point], under: str) -> list[Gradient]:
        """Gradients, computed in company."""
        return self.inner.gradients([*self.company_points, *points], under)[len(self.company) :]

    def attentions(self, rows: Sequence[Int[np.ndarray, "_"]]) -> list[Float[np.ndarray, "layers heads _ _"]]:
        """Attention probabilities, computed in company."""
        return self.inner.attentions([*self.company, *rows])[len(self.company) :]

    def fingerprint(self) -> str:
        """The classifier's."""
        return self.inner.fingerprint()
