"""DecompX: hidden states as sums of vectors, one for each input token (Modarressi et al. 2023, arXiv 2306.02873)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.parameters import check_choice
from faithbench.questions import Inside, Logits
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.objective import objective

TABLE = "faithbench_explainers.decomposition.propagation:table"
BIAS_SPLITS = ("dot", "dimension")
VALUE_BIASES = ("attended_first", "attended", "shared")


@dataclass(frozen=True)
class DecompX:
    """The share of each token in the target's logit, carried from the embeddings through every layer and the head.

    Attention probabilities and 1/std of the norms are constants, activations lines through the origin, f(x)/x, and
    biases are handed out to the tokens, so that the scores sum to the logit. The note `completeness_gap`, in logits, is
    what rounding leaves: logit − Σ scores. On a B-cos model, which has no biases, the scores are those of `bcos`. The
    cost of a text is about as many forward passes as it has tokens.

    The paper is about encoders. Of decoders with the layers of GPT-2 or Llama, whose norms stand before attention and
    feed-forward network, it is the same algebra: what is normed is a copy of the parts, and of a gated network the gate
    is a constant. Others are refused.

    Args:
        bias_split: by what a bias b is handed out at a position where token k has the part x_k: `dot`, by |b·x_k|, as
            the paper and its code do; `dimension`, by |x_kd| in each dimension d for itself. Equal shares where all
            are 0.
        value_bias: what becomes of the bias of the value projections: `shared`, it is handed out like (and together
            with) that of attention's output layer; `attended`, it stays with the token at the position attended to;
            `attended_first`, so in the first layer and shared in all others, as the authors' code does.
        contrastive: explain by how much the logit exceeds that of the runner-up class.
    """

    bias_split: str = "dot"
    value_bias: str = "attended_first"
    contrastive: bool = False
    sums_to: ClassVar[str] = "logit"

    def __post_init__(self) -> None:
        check_choice("bias_split", self.bias_split, BIAS_SPLITS)
        check_choice("value_bias", self.value_bias, VALUE_BIASES)

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        aim = yield from objective(text, target, self.contrastive)
        table: Float[np.ndarray, "tokens classes"]
        logits: Float[np.ndarray, "1 classes"]
        table, logits = yield (
            Inside(text, TABLE, {"bias_split": self.bias_split, "value_bias": self.value_bias}),
            Logits(text, np.ones((1, len(text)), dtype=bool)),
        )
        scores = aim.value(table)
        gap = float(aim.value(logits)[0] - scores.sum())
        return Attribution(text.id, target, scores, notes={"completeness_gap": gap})
