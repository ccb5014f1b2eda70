"""What a model's site may be made to pass on: its largest activations, or a sparse autoencoder's reconstruction.

The sparse autoencoder is that of Bricken et al. 2023 (Towards Monosemanticity) and Cunningham et al. 2023 (arXiv
2309.08600): of activations x whose root mean square norm is 1, f = ReLU(E (x − b) + c) and x̂ = D f + b. Encoder and
decoder are two matrices, and each latent's direction, a column of D, has length 1.
"""

import copy
import re
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from faithbench.errors import UserError
from faithbench.neurons.sites import SAID, Site

LARGEST, SAE, LATENTS = "largest", "sae", "act"  # names of modules: what is put into a site, and what gives latents


class TopK(nn.Module):
    """Only the k largest activations of each token; the others are 0.

    Args:
        k: at most as many as there are.
    """

    k: Tensor

    def __init__(self, k: int) -> None:
        super().__init__()
        self.register_buffer("k", torch.tensor(k))  # among the weights, so that it is part of what these are hashed to

    def forward(self, activations: Float[Tensor, "*rows units"]) -> Float[Tensor, "*rows units"]:
        """What is left of activations."""
        largest = activations.topk(int(self.k), dim=-1)
        return torch.zeros_like(activations).scatter(-1, largest.indices, largest.values)


class SparseAutoencoder(nn.Module):
    """Activations as sums of few of many directions.

    Args:
        inputs: activations of a site.
        latents: directions.
    """

    scale: Tensor

    def __init__(self, inputs: int, latents: int) -> None:
        super().__init__()
        self.encoder = nn.Parameter(torch.zeros(latents, inputs))
        self.bias = nn.Parameter(torch.zeros(latents))
        self.decoder = nn.Parameter(torch.zeros(latents, inputs))  # a row for each latent
        self.center = nn.Parameter(torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(()))  # root mean square norm of the activations it was trained on
        self.act = nn.ReLU()  # gives the latents, so that they can be looked at and changed

    def code(self, scaled: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows latents"]:
        """The latents of activations whose root mean square norm is 1."""
        found: Tensor = self.act(F.linear(scaled - self.center, self.encoder, self.bias))
        return found

    def decode(self, latents: Float[Tensor, "*rows latents"]) -> Float[Tensor, "*rows inputs"]:
        """What latents stand for, on the same scale."""
        return latents @ self.decoder + self.center

    def forward(self, activations: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows inputs"]:
        """The reconstruction of a site's activations."""
        return self.scale * self.decode(self.code(activations / self.scale))


class Through(nn.Module):
    """A module whose outputs, or the first of whose inputs, go through another.

    Args:
        of: the module.
        name: of the other as a part of this one.
        change: the other.
        reads: whether inputs go through it.
    """

    def __init__(self, of: nn.Module, name: str, change: nn.Module, reads: bool) -> None:
        super().__init__()
        self.of, self.name, self.reads = of, name, reads
        self.add_module(name, change)

    def forward(self, first: Any, *others: Any, **named: Any) -> Any:
        """What the module gives, changed, or what it gives of what is changed."""
        change = self._modules[self.name]
        assert change is not None
        if self.reads:
            return self.of(change(first), *others, **named)
        given = self.of(first, *others, **named)
        if isinstance(given, Tensor):
            return change(given)
        return type(given)([change(given[0]), *given[1:]])

    def __getattr__(self, name: str) -> Any:
        """What it does not have itself is the module's, such as its weight."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("of"), name)


def with_change(model: PreTrainedModel, sites: Sequence[Site], name: str, change: nn.Module) -> PreTrainedModel:
    """A copy of a model in which the activations of sites go through a module each, a copy of `change`.

    Raises:
        UserError: one goes through such a module already.
    """
    changed = copy.deepcopy(model)
    for place in dict.fromkeys((site.module, site.reads) for site in sites):
        module, own = changed.get_submodule(place[0]), copy.deepcopy(change).to(device=model.device, dtype=model.dtype)
        if hasattr(module, name):
            raise UserError(f"{place[0]} has {name!r} in it already; a model is changed by a control of a kind once.")
        changed.set_submodule(place[0], Through(module, name, own, place[1]))
    return changed


def with_largest(model: PreTrainedModel, sites: Sequence[Site], k: int) -> PreTrainedModel:
    """A copy of a model in which the k largest activations of each site survive at each token; they are its neurons."""
    changed = with_change(model, sites, LARGEST, TopK(k))
    names = (re.escape(f"{site.module}.{LARGEST}" if site.reads else site.module) for site in sites)
    vars(changed)[SAID] = f"^({'|'.join(dict.fromkeys(names))})$"
    return changed


def with_reconstruction(model: PreTrainedModel, site: Site, sae: SparseAutoencoder) -> PreTrainedModel:
    """A copy of a model in which a site gives its reconstruction; the latents are its neurons."""
    changed = with_change(model, [site], SAE, sae)
    vars(changed)[SAID] = f"^{re.escape(f'{site.module}.{SAE}.{LATENTS}')}$"
    return changed


def has_reconstruction(model: nn.Module) -> bool:
    """Whether a sparse autoencoder is in a model already."""
    return any(isinstance(module, SparseAutoencoder) for module in model.modules())
