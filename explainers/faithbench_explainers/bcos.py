"""The B-cos explanation: input × gradient with frozen dynamic weights (arXiv 2502.12992, section 3)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.questions import FROZEN, Gradient, Gradients
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.dimensions import aggregated, check_aggregation
from faithbench_explainers.objective import objective


@dataclass(frozen=True)
class Bcos:
    """Σ_d e_td · [W(x)]_ctd, the share of each token in the target's logit.

    On a B-cos model the scores, sums over dimensions, sum to the logit. On a conventional model this is the paper's
    "extraction from the conventional model": biases and head activations stay, so it is not complete. The note
    `completeness_gap`, in logits, says by how much: logit − Σ_td e_td · [W(x)]_ctd.

    Of a language model, embeddings are those of tokens and of places added up, and the notes `token` and `position` say
    what each of the two brings to the sum of the scores; there is no place in them where positions are rotations.

    Args:
        contrastive: explain by how much the logit exceeds that of the runner-up class.
        aggregation: over dimensions, `sum` or `l2`, the norm, never negative, which sums to nothing in particular.
    """

    contrastive: bool = False
    aggregation: str = "sum"
    added: ClassVar[tuple[str, ...]] = ("aggregation",)

    def __post_init__(self) -> None:
        check_aggregation(self.aggregation)

    @property
    def sums_to(self) -> str:
        """Norms sum to nothing in particular."""
        return "logit" if self.aggregation == "sum" else ""

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        answer = yield from self._answer(text, target)
        products = _products(answer)
        notes = {"completeness_gap": answer.logit - float(products.sum(axis=-1).sum())} | _parts(answer)
        return Attribution(text.id, target, aggregated(products, self.aggregation), notes)

    def per_dimension(self, text: Text, target: Target) -> Asking[Float[np.ndarray, "tokens d"]]:
        """What is aggregated: e_td · [W(x)]_ctd."""
        return _products((yield from self._answer(text, target)))

    def _answer(self, text: Text, target: Target) -> Asking[Gradient]:
        aim = yield from objective(text, target, self.contrastive)
        answer: Gradient = yield Gradients(text, aim, rules=FROZEN)
        return answer


def _products(answer: Gradient) -> Float[np.ndarray, "tokens d"]:
    """Of embeddings and frozen gradient."""
    products: Float[np.ndarray, "tokens d"] = answer.embeddings.astype(np.float64) * answer.gradient
    return products


def _parts(answer: Gradient) -> dict[str, float]:
    """What tokens bring, and what their places bring, where that is known."""
    if answer.places is None:
        return {}
    places = answer.places.astype(np.float64)
    return {
        "token": float(((answer.embeddings - places) * answer.gradient).sum()),
        "position": float((places * answer.gradient).sum()),
    }
