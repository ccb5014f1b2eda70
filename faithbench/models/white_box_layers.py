"""The layers of causal CRATE (arXiv 2410.16443) and of its baseline, GPT-2 without biases and with ReLU.

A block of CRATE is one head of subspace attention and two steps of ISTA: with x = LN(z), a dictionary D of h codes and
η = λ = 0.1, a₁ = ReLU(η Dᵀx − ηλ), a₂ = ReLU(a₁ − η Dᵀ(D a₁ − x) − ηλ), and z = D a₂, with no residual around. What the
module `mlp.act` gives are the neurons: a₂ here, the hidden units of the MLP there.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from faithbench.models.white_box_configs import DECOUPLED, CrateConfig, GPTReluConfig, WhiteBoxConfig


class Closing(nn.Linear):
    """A linear layer that ends a half of a block; its weights begin the narrower, the more blocks there are."""


class CausalAttention(nn.Module):
    """Attention to what came before; queries, keys and values are one projection in CRATE, three in GPT-2."""

    def __init__(self, config: WhiteBoxConfig, place: int, parts: int, bias: bool) -> None:
        super().__init__()
        width = config.hidden_size
        self.config, self.place, self.heads, self.parts = config, place, config.num_attention_heads, parts
        self.scaling, self.is_causal = (width // self.heads) ** -0.5, True
        self.qkv = nn.Linear(width, parts * width, bias=False)
        self.out = Closing(width, width, bias=bias)

    def forward(
        self,
        states: Float[Tensor, "rows tokens d"],
        mask: Bool[Tensor, "rows 1 tokens keys"] | None = None,
        past: Cache | None = None,
    ) -> tuple[Float[Tensor, "rows tokens d"], Float[Tensor, "rows heads tokens keys"] | None]:
        """What attention adds, and its probabilities where they are computed (`eager`)."""
        rows, tokens, width = states.shape
        parts = self.qkv(states).view(rows, tokens, self.parts, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[-2 if self.parts > 1 else 0], parts[-1]
        if past is not None:
            keys = int(past.get_seq_length(self.place)) + tokens if mask is None else mask.shape[-1]
            key, value = (part[..., :keys, :] for part in past.update(key, value, self.place))  # some caches have room
        chosen = self.config._attn_implementation
        attend = eager_attention_forward if chosen == "eager" else ALL_ATTENTION_FUNCTIONS[chosen]
        mixed, probabilities = attend(self, query, key, value, mask, scaling=self.scaling)
        return self.out(mixed.reshape(rows, tokens, width)), probabilities


def eager_attention_forward(
    module: nn.Module,
    query: Float[Tensor, "rows heads tokens _"],
    key: Float[Tensor, "rows heads keys _"],
    value: Float[Tensor, "rows heads keys _"],
    attention_mask: Bool[Tensor, "rows 1 tokens keys"] | None,
    scaling: float,
    **kwargs: Any,
) -> tuple[Float[Tensor, "rows tokens heads _"], Float[Tensor, "rows heads tokens keys"]]:
    """Attention that says its probabilities."""
    scores = scaling * (query @ key.transpose(-2, -1))
    if attention_mask is None:
        places = torch.arange(scores.shape[-1], device=scores.device)
        attention_mask = places <= places[-scores.shape[-2] :, None]
    probabilities = scores.masked_fill(~attention_mask, -math.inf).softmax(-1)
    return (probabilities @ value).transpose(1, 2), probabilities


class Ista(nn.Module):
    """Two steps of ISTA from 0, and what their codes stand for: ReLU(a − η Dᵀ(D a − x) − ηλ), twice, and D a."""

    def __init__(self, config: CrateConfig) -> None:
        super().__init__()
        self.step_size, self.threshold = config.step_size, config.step_size * config.sparsity
        self.dictionary = nn.Parameter(torch.empty(config.hidden_size, config.intermediate_size))
        decoupled = config.decode == DECOUPLED
        self.decoder = nn.Parameter(torch.empty_like(self.dictionary)) if decoupled else None
        self.act = nn.Identity()  # gives the codes, so that they can be looked at and changed

    @property
    def directions(self) -> Float[Tensor, "d codes"]:
        """What each code adds to the state."""
        return self.dictionary if self.decoder is None else self.decoder

    def code(self, inputs: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows codes"]:
        """The codes of states."""
        found = F.relu(self.step_size * (inputs @ self.dictionary) - self.threshold)
        residual = found @ self.dictionary.T - inputs
        return F.relu(found - self.step_size * (residual @ self.dictionary) - self.threshold)

    def forward(self, inputs: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        """What the codes stand for."""
        return self.act(self.code(inputs)) @ self.directions.T


class ReluMLP(nn.Module):
    """GPT-2's MLP without biases and with ReLU."""

    def __init__(self, config: GPTReluConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.act = nn.ReLU()
        self.contract = Closing(config.intermediate_size, config.hidden_size, bias=False)

    @property
    def directions(self) -> Float[Tensor, "d units"]:
        """What each hidden unit adds to the state."""
        return self.contract.weight

    def forward(self, inputs: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        """What the MLP adds."""
        return self.contract(self.act(self.expand(inputs)))


class CrateLayer(nn.Module):
    """Subspace attention with its residual, then codes without one."""

    def __init__(self, config: CrateConfig, place: int) -> None:
        super().__init__()
        self.residual = config.residual
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = CausalAttention(config, place, parts=1, bias=True)
        self.mlp_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = Ista(config)

    def forward(self, states: Tensor, mask: Tensor | None, past: Cache | None) -> tuple[Tensor, Tensor | None]:
        """The next states, and attention's probabilities where they are computed."""
        mixed, probabilities = self.attention(self.attention_norm(states), mask, past)
        states = states + mixed
        coded = self.mlp(self.mlp_norm(states))
        return states + coded if self.residual else coded, probabilities


class GPTReluLayer(nn.Module):
    """GPT-2's layer without biases."""

    def __init__(self, config: GPTReluConfig, place: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        self.attention = CausalAttention(config, place, parts=3, bias=False)
        self.mlp_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        self.mlp = ReluMLP(config)

    def forward(self, states: Tensor, mask: Tensor | None, past: Cache | None) -> tuple[Tensor, Tensor | None]:
        """The next states, and attention's probabilities where they are computed."""
        mixed, probabilities = self.attention(self.attention_norm(states), mask, past)
        states = states + mixed
        return states + self.mlp(self.mlp_norm(states)), probabilities
