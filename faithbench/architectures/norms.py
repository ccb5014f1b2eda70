"""Norms that compute as those which transformers writes out by hand, through torch functions that a mode can see."""

from collections.abc import Iterator

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

EPSILONS = ("variance_epsilon", "eps", "epsilon", "norm_eps")


class Norm(nn.Module):
    """x over its root mean square, or its standard deviation, times a gain; in float32 at least, and without bias.

    Args:
        weight: the gain, or what it exceeds `offset` by.
        eps: added to the mean square.
        centred: whether the mean is taken off first, as in LayerNorm.
        offset: 1 where the gain is 1 + weight, as in Gemma.
    """

    def __init__(self, weight: nn.Parameter | None, eps: float, centred: bool = False, offset: float = 0.0) -> None:
        super().__init__()
        self.weight, self.eps, self.centred, self.offset = weight, eps, centred, offset

    def forward(self, hidden_states: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        states = hidden_states if hidden_states.dtype.itemsize >= 4 else hidden_states.float()
        normed = (F.layer_norm if self.centred else F.rms_norm)(states, states.shape[-1:], eps=self.eps)
        if self.weight is None:
            return normed.to(hidden_states.dtype)
        gain = self.weight.to(normed.dtype)
        return (normed * (gain + self.offset if self.offset else gain)).to(hidden_states.dtype)

    def extra_repr(self) -> str:
        shape = None if self.weight is None else tuple(self.weight.shape)
        return f"{shape}, eps={self.eps}, centred={self.centred}, offset={self.offset}"


def norm_forms(module: nn.Module) -> Iterator[nn.Module]:
    """Norms of the module's own parameters that might compute the same; none for torch's own."""
    own = dict(module.named_parameters(recurse=False))
    epsilon = next((getattr(module, name) for name in EPSILONS if hasattr(module, name)), None)
    known = isinstance(module, (nn.LayerNorm, nn.RMSNorm, Norm))
    if known or epsilon is None or "weight" not in own or dict(module.named_children()):
        return
    weight = own["weight"]
    if set(own) == {"weight"}:
        for centred, offset in ((False, 0.0), (False, 1.0), (True, 0.0), (True, 1.0)):
            yield Norm(weight, epsilon, centred, offset)
    elif set(own) == {"weight", "bias"} and weight.ndim == 1:
        norm = nn.LayerNorm(len(weight), epsilon)
        norm.weight, norm.bias = weight, own["bias"]
        yield norm
