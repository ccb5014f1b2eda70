"""AttnLRP: layer-wise relevance propagation through attention (Achtibat et al. 2024, arXiv 2402.05602)."""

from dataclasses import dataclass

from faithbench.conversations import Asking
from faithbench.questions import ATTN_LRP, Gradient, Gradients
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.objective import objective


@dataclass(frozen=True)
class AttnLRP:
    """Relevance of each token's embedding, Σ_d; the paper's rules, with the stabilising epsilon 0.

    What biases and the halving of products take is not handed out again: the scores do not sum to the logit.

    Args:
        contrastive: explain by how much the logit exceeds that of the runner-up class.
    """

    contrastive: bool = False

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        aim = yield from objective(text, target, self.contrastive)
        answer: Gradient = yield Gradients(text, aim, rules=ATTN_LRP)
        return Attribution(text.id, target, (answer.embeddings * answer.gradient).sum(axis=-1))
