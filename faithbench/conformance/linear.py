"""A model whose perfect explanation is known: a bag of words, whose tokens each add their weight to the logit.

Logits are −z and z with z = Σ weight of the tokens. So a token's share in a class is its weight, with the sign of the
class; masking, hiding and deleting it take just that away, and logits and probabilities order all tokens alike.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from faithbench.questions import HIDDEN, Gradient, Point, Row
from faithbench.tasks import CLASSIFICATION, Task
from faithbench.types import Attribution, Example, Target, Text

MASK, SPECIAL = 0, 1  # token ids that add nothing
STRONG = np.linspace(0.3, 0.8, 6)
WEAK = np.linspace(-0.1, 0.1, 6)
WEIGHTS = np.concatenate([[0.0, 0.0], STRONG, -STRONG, WEAK])
SIGNS = np.array([-1.0, 1.0])  # of z in the logits of the two classes


class LinearModel:
    """The classifier; its embeddings have one dimension, the weight."""

    classes: int = 2
    class_names: tuple[str, ...] = ()
    batch_tokens: int = 4096
    gradient_cost: int = 1
    reads_embeddings: bool = True
    task: Task = CLASSIFICATION

    def encode(self, example: Example) -> Text:
        """Words are numbers of tokens."""
        return document(example.id, [int(word) for word in example.text.split()])

    def logits(self, rows: Sequence[Row]) -> Float[np.ndarray, "rows outputs"]:
        """−z and z."""
        return np.stack([_logits(row) for row in rows])

    def embed(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "_ d"]]:
        """The weights."""
        return [WEIGHTS[row.ids][:, None] for row in rows]

    def gradients(self, points: Sequence[Point], rules: str) -> list[Gradient]:
        """The same everywhere, under any rules."""
        return [_gradient(point) for point in points]

    def attentions(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "layers heads _ _"]]:
        """Uniform."""
        return [np.full((1, 1, len(row.ids), len(row.ids)), 1 / len(row.ids)) for row in rows]

    def fingerprint(self) -> str:
        """There is only one."""
        return "linear"


def perfect(text: Text, target: Target) -> Attribution:
    """The share of each token in the logit of a class."""
    return Attribution(text.id, target, SIGNS[target] * WEIGHTS[text.ids], tokens=text.tokens)


def predicted(text: Text) -> Target:
    """The class that the model predicts."""
    return Target(int(WEIGHTS[text.ids].sum() > 0))


def documents(count: int = 8, length: int = 4) -> list[Text]:
    """Texts with all that a metric can need: half of each speaks for one class, and then half of it for the other."""
    draws = np.random.default_rng(0)
    pools = np.flatnonzero(STRONG[0] / 2 >= WEIGHTS), np.flatnonzero(-STRONG[0] / 2 <= WEIGHTS)
    made = []
    for number in range(count):
        order = (number % 2, 1 - number % 2)
        ids = np.concatenate([draws.choice(pools[each][pools[each] > SPECIAL], length) for each in order])
        made.append(document(f"linear {number}", ids.tolist(), order))
    return made


def document(name: str, tokens: Sequence[int], classes: tuple[int, int] = (0, 1)) -> Text:
    """A text of two halves; what is strong in the predicted class is evidence, and people marked it too.

    Its Shapley values are the weights, for the class, and what speaks for the class is responsible, in proportion.
    """
    ids = np.array([SPECIAL, *tokens, SPECIAL], dtype=np.int64)
    special = ids == SPECIAL
    label = int(WEIGHTS[ids].sum() > 0)  # as the model says
    places = np.where(special, -1, np.arange(len(ids)) - 1)
    evidence = SIGNS[label] * WEIGHTS[ids] >= STRONG[0]
    return Text(
        id=name,
        ids=ids,
        special=special,
        words=places,
        tokens=tuple(map(str, ids)),
        mask_id=MASK,
        pad_id=MASK,
        label=label,
        evidence=evidence,
        rationale=evidence,
        rationale_majority=evidence,
        segments=np.where(special, -1, places * 2 // max(2, len(tokens))),
        segment_classes=classes,
        source=" ".join(map(str, tokens)),
        vocabulary=ids[~special],
        responsibility=np.where(special, 0.0, np.maximum(SIGNS[label] * WEIGHTS[ids], 0) / np.abs(WEIGHTS).max()),
        shapley=np.where(special, 0.0, SIGNS[label] * WEIGHTS[ids]),
    )


def _logits(row: Row) -> Float[np.ndarray, "outputs"]:
    embeddings = WEIGHTS[row.ids[row.ids != HIDDEN]] if row.embeddings is None else row.embeddings
    logits: Float[np.ndarray, "outputs"] = SIGNS * embeddings.sum()
    return logits if row.outputs is None else logits[list(row.outputs)]


def _gradient(point: Point) -> Gradient:
    own, base = WEIGHTS[point.row.ids], WEIGHTS[point.fill]
    embeddings = own if point.interpolation is None else base + point.interpolation * (own - base)
    signs = SIGNS if point.row.outputs is None else SIGNS[list(point.row.outputs)]
    slope = float(point.target.value(signs))
    return Gradient(embeddings[:, None], np.full((len(embeddings), 1), slope), float(slope * embeddings.sum()))
