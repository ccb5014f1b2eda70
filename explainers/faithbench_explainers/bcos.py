"""The B-cos explanation: input × gradient with frozen dynamic weights (arXiv 2502.12992, section 3)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.conversations import Asking
from faithbench.questions import FROZEN, Gradient, Gradients
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.objective import objective


@dataclass(frozen=True)
class Bcos:
    """Σ_d e_td · [W(x)]_ctd, the share of each token in the target's logit.

    On a B-cos model the scores sum to the logit. On a conventional model this is the paper's "extraction from the
    conventional model": biases and head activations stay, so it is not complete. The note `completeness_gap`, in
    logits, says by how much: logit − Σ scores.

    Args:
        contrastive: explain by how much the logit exceeds that of the runner-up class.
    """

    contrastive: bool = False
    sums_to: ClassVar[str] = "logit"

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        aim = yield from objective(text, target, self.contrastive)
        answer: Gradient = yield Gradients(text, aim, rules=FROZEN)
        products = answer.embeddings.astype(np.float64) * answer.gradient
        scores = products.sum(axis=-1)
        return Attribution(text.id, target, scores, notes={"completeness_gap": answer.logit - float(scores.sum())})
