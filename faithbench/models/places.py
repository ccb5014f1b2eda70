"""What the place alone adds to a token's embedding: learned positions, such as GPT-2's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from faithbench.models.probes import COARSE_NOISE, NOISE

if TYPE_CHECKING:
    from faithbench.models.huggingface import HuggingFaceClassifier


def place_part(
    classifier: HuggingFaceClassifier, tokens: int, content: tuple[int, int]
) -> Float[Tensor, "tokens d"] | None:
    """P in e = s·w + p, where w is what the word embeddings give, s a number, and p the same for every token there.

    Of a model whose embeddings are the same at every place it is 0. None where embeddings are no such sum, as behind a
    LayerNorm.

    Args:
        classifier: whose embeddings.
        tokens: how many places.
        content: ids of two tokens, with which it is tried.
    """
    ids = torch.tensor(content, device=classifier.device)[:, None]
    with torch.no_grad():
        states = classifier.embedded(ids.repeat(1, tokens)).double()
        words = classifier.model.get_input_embeddings()(ids)[:, 0].double()
    near = NOISE.get(classifier.dtype, COARSE_NOISE) * float(states.abs().max())
    if float((states - states[:, :1]).abs().max()) <= near:
        return torch.zeros_like(states[0])
    if states.shape[-1] != words.shape[-1]:
        return None
    apart, wanted = words[0] - words[1], states[0] - states[1]
    scale = (wanted[0] @ apart) / (apart @ apart)
    return states[0] - scale * words[0] if float((wanted - scale * apart).abs().max()) <= near else None
