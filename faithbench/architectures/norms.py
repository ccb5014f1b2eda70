"""Norms that compute as those which transformers writes out by hand, through torch functions that a mode can see."""

from collections.abc import Iterator

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

EPSILONS = ("variance_epsilon", "eps", "epsilon", "norm_eps")
USUAL = (1e-5, 1e-6)  # of norms that do not tell
WIDTH = 8  # of states for norms that read any


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


def norm_forms(module: nn.Module) -> Iterator[tuple[nn.Module, tuple[int, ...]]]:
    """Norms of the module's own parameters that might compute the same, and the last dimensions of what they read.

    None for torch's own.
    """
    own, told = dict(module.named_parameters(recurse=False)), _epsilon(module)
    known = isinstance(module, (nn.LayerNorm, nn.RMSNorm, Norm))
    if known or any(True for _ in (*module.children(), *module.buffers())):
        return
    if not own:
        shape = tuple(getattr(module, "normalized_shape", (WIDTH,)))
        for epsilon in USUAL if told is None else (told,):
            yield from ((Norm(None, epsilon, centred), shape) for centred in (False, True))
    elif "weight" in own and told is not None:
        yield from ((norm, tuple(own["weight"].shape)) for norm in _gained(own, told))


def _gained(own: dict[str, nn.Parameter], epsilon: float) -> Iterator[nn.Module]:
    weight = own["weight"]
    if set(own) == {"weight"}:
        for centred, offset in ((False, 0.0), (False, 1.0), (True, 0.0), (True, 1.0)):
            yield Norm(weight, epsilon, centred, offset)
    elif set(own) == {"weight", "bias"} and weight.ndim == 1:
        norm = nn.LayerNorm(len(weight), epsilon)
        norm.weight, norm.bias = weight, own["bias"]
        yield norm


def _epsilon(module: nn.Module) -> float | None:
    return next((getattr(module, name) for name in EPSILONS if isinstance(getattr(module, name, None), float)), None)
