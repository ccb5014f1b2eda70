"""The B-cos linear layer (Böhle et al. 2022, arXiv 2205.10268; for language models arXiv 2502.12992)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from faithbench.architectures.factors import dynamic_scale


class BcosLinear(nn.Linear):
    """A linear layer with unit weight rows, no bias, and outputs scaled by alignment: y = |cos|^(B-1) ŵ·x.

    A weight row of zeros gives zeros. With `bias` (an ablation) it is added behind the scale.
    """

    def __init__(self, in_features: int, out_features: int, b: float = 1.5, bias: bool = False) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self.b = b
        self._unit: tuple[tuple[int, int], Tensor] | None = None

    @classmethod
    def of(cls, linear: nn.Linear, b: float, bias: bool = False) -> "BcosLinear":
        """The B-cos layer with the weights of a plain one, and with its bias if that is to be kept."""
        layer = cls(linear.in_features, linear.out_features, b, bias and linear.bias is not None).to(linear.weight)
        layer.weight.data.copy_(linear.weight.data)
        if layer.bias is not None:
            layer.bias.data.copy_(linear.bias.data)
        return layer.train(linear.training)

    def forward(self, inputs: Float[Tensor, "... in"]) -> Float[Tensor, "... out"]:
        projection = F.linear(inputs, self.unit_weight())
        out = projection if self.b == 1 else dynamic_scale(projection, inputs, self.b) * projection
        return out if self.bias is None else out + self.bias

    def unit_weight(self) -> Float[Tensor, "out in"]:
        """The weight with rows of length 1; remembered only for a weight that takes no gradient.

        A weight that can be trained may change unseen: torch counts neither the steps of fused optimizers nor changes
        through `weight.data`.
        """
        if self.weight.requires_grad or self.weight.is_inference():
            return _unit(self.weight)
        version = (self.weight.data_ptr(), self.weight._version)
        if self._unit is None or self._unit[0] != version:
            with torch.inference_mode(False), torch.no_grad():
                self._unit = version, _unit(self.weight)
        return self._unit[1]

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, b={self.b}"


def _unit(weight: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
    """Rows of length 1, zero rows zero; at least in float32, whose range the guard against zero needs."""
    if weight.dtype.itemsize >= 4:
        return F.normalize(weight, dim=1)
    return F.normalize(weight.float(), dim=1).to(weight)
