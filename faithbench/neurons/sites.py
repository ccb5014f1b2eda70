"""Where a model's neurons are: modules whose outputs they are, found by name; recorded and overwritten by hooks."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from faithbench.errors import UserError

USUAL = r"(^|\.)(mlp\.act|mlp\.act_fn|intermediate\.intermediate_act_fn|ffn\.activation|activation_fn)$"


@dataclass(frozen=True)
class Site:
    """A module whose outputs [rows, tokens, units] are neurons.

    Args:
        name: in the model.
        layer: of the model, from 0, in the order of the sites.
    """

    name: str
    layer: int


def find_sites(model: nn.Module, pattern: str = "") -> tuple[Site, ...]:
    """The sites of a model, in the order of its modules.

    Args:
        model: any.
        pattern: regular expression for their names; empty for the hidden units of MLPs.

    Raises:
        UserError: there is none.
    """
    wanted = re.compile(pattern or USUAL)
    names = [name for name, _ in model.named_modules() if name and wanted.search(name)]
    if not names:
        raise UserError(f"no module of the model has a name like {pattern or USUAL!r}; name one with site=….")
    return tuple(Site(name, layer) for layer, name in enumerate(names))


@contextmanager
def recorded(model: nn.Module, sites: Sequence[Site]) -> Iterator[dict[str, Float[Tensor, "rows tokens units"]]]:
    """Within it, every forward pass puts what the sites give into the dictionary, by their names."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            found[name] = output.detach()

        return hook

    with ExitStack() as stack:
        for site in sites:
            stack.callback(model.get_submodule(site.name).register_forward_hook(keep(site.name)).remove)
        yield found


@contextmanager
def overwritten(model: nn.Module, site: Site, unit: int, values: Float[Tensor, "rows tokens"]) -> Iterator[None]:
    """Within it, a neuron's activations are others, whatever the model computes."""

    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        changed = output.clone()
        changed[..., unit] = values.to(output.dtype)
        return changed

    handle = model.get_submodule(site.name).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
