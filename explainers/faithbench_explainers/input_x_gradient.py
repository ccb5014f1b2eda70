"""Input × gradient (Shrikumar et al. 2016, arXiv 1605.01713)."""

from dataclasses import dataclass

from faithbench.conversations import Asking
from faithbench.questions import Gradient, Gradients
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.objective import objective


@dataclass(frozen=True)
class InputXGradient:
    """Σ_d e_td · ∂z_c/∂e_td at the output of the embedding module, nothing frozen.

    Args:
        contrastive: explain by how much the logit exceeds that of the runner-up class.
    """

    contrastive: bool = False

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        aim = yield from objective(text, target, self.contrastive)
        answer: Gradient = yield Gradients(text, aim)
        return Attribution(text.id, target, (answer.embeddings * answer.gradient).sum(axis=-1))
