"""A probe for batch effects: a classifier that answers every question in company, so that they come to light."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from faithbench.interfaces import Classifier
from faithbench.questions import Gradient, Point, Row
from faithbench.types import Example, Target, Text

PLENTY = 1 << 20  # tokens: all rows fit into one batch


class Crowded:
    """A classifier that answers no row alone: some texts are in every batch, so that all others are padded."""

    def __init__(self, classifier: Classifier, company: Sequence[Text]) -> None:
        self.inner, self.company = (
            classifier,
            [Row(text.ids, text.types, candidates=text.candidates) for text in company],
        )
        self.classes, self.batch_tokens, self.gradient_cost = classifier.classes, PLENTY, 1
        self.task, self.reads_embeddings = classifier.task, classifier.reads_embeddings
        self.in_flight = 1  # `submit` would be the classifier's own

    def __getattr__(self, name: str) -> Any:
        """What only some classifiers have, for looks inside."""
        return getattr(self.inner, name)

    def encode(self, example: Example) -> Text:
        """As the classifier does."""
        return self.inner.encode(example)

    def logits(self, rows: Sequence[Row]) -> Float[np.ndarray, "rows outputs"]:
        """Logits, computed in company."""
        company = [row._replace(outputs=rows[0].outputs) for row in self.company]
        if rows[0].embeddings is not None:
            places = zip(company, self.inner.embed(company), strict=True)
            company = [row._replace(embeddings=place) for row, place in places]
        return self.inner.logits([*company, *rows])[len(company) :]

    def embed(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "_ d"]]:
        """Embeddings, computed in company."""
        return self.inner.embed([*self.company, *rows])[len(self.company) :]

    def gradients(self, points: Sequence[Point], rules: str) -> list[Gradient]:
        """Gradients, computed in company."""
        outputs = points[0].row.outputs
        company = [Point(row._replace(outputs=outputs), Target(0)) for row in self.company]
        return self.inner.gradients([*company, *points], rules)[len(company) :]

    def attentions(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "layers heads _ _"]]:
        """Attention probabilities, computed in company."""
        return self.inner.attentions([*self.company, *rows])[len(self.company) :]

    def fingerprint(self) -> str:
        """The classifier's."""
        return self.inner.fingerprint()
