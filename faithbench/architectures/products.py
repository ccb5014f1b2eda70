"""Which activations are one factor of a product of two signals, as in SwiGLU and GeGLU: seen when the model runs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from faithbench.architectures.activations import REFUSALS, is_activation
from faithbench.architectures.trying import constant, copy_with, probe_row, run

PRODUCTS = frozenset(
    (torch.mul, torch.multiply, Tensor.mul, Tensor.mul_, Tensor.multiply, Tensor.__mul__, Tensor.__rmul__)
)


class _Products(TorchFunctionMode):
    """Collects the names of what is multiplied with another tensor that depends on the input."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[int, tuple[str, Tensor]] = {}  # by identity, which they keep as long as they are here
        self.names: set[str] = set()

    def gave(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        """A hook for a module of that name."""

        def hook(module: nn.Module, args: object, output: Tensor) -> None:
            self.outputs[id(output)] = name, output

        return hook

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        if func in PRODUCTS and all(isinstance(one, Tensor) and one.requires_grad for one in args[:2]):
            self.names |= {self.outputs[id(one)][0] for one in args[:2] if id(one) in self.outputs}
        return func(*args, **(kwargs or {}))


def factors(model: PreTrainedModel) -> set[str]:
    """The names of activations that are one of two factors which both depend on the input; none if it does not run."""
    twin = copy_with(model, constant).eval()
    products = _Products()
    for name, module in twin.named_modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            hooks.clear()
        if name and is_activation(module):
            module.register_forward_hook(products.gave(name))
    twin.get_input_embeddings().register_forward_hook(lambda module, args, output: output.detach().requires_grad_())
    try:
        with torch.inference_mode(False), torch.enable_grad(), products:
            run(twin, probe_row(model))
    except REFUSALS:
        return set()
    return products.names
