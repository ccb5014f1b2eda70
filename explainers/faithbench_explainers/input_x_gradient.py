"""Input × gradient (Shrikumar et al. 2016, arXiv 1605.01713)."""

from dataclasses import dataclass

from faithbench.questions import Asking, Gradient, Gradients
from faithbench.types import Attribution, Text


@dataclass(frozen=True)
class InputXGradient:
    """Σ_d e_td · ∂z_c/∂e_td at the output of the embedding module, nothing frozen."""

    def __call__(self, text: Text, target: int) -> Asking[Attribution]:
        answer: Gradient = yield Gradients(text, target)
        return Attribution(text.id, target, (answer.embeddings * answer.gradient).sum(axis=-1))
