"""Small CRATE models and baselines with noise on all weights, and what they compute, written a second time, slowly."""

from typing import Any

import torch
from builders import randomise
from torch import Tensor, nn

from faithbench.models.crate import CrateConfig, CrateForCausalLM, GPTReluConfig, GPTReluForCausalLM

SMALL: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
}
IDS = torch.tensor([[5, 9, 31, 7, 4, 12], [1, 39, 5, 5, 17, 2]])


def crate(attention: str = "sdpa", seed: int = 3, **options: Any) -> CrateForCausalLM:
    """A CRATE in float64 and eval mode."""
    config = CrateConfig(**{**SMALL, **options}, attn_implementation=attention)
    network: CrateForCausalLM = randomise(CrateForCausalLM(config).double(), seed)
    return network


def gpt_relu(attention: str = "sdpa", seed: int = 3, **options: Any) -> GPTReluForCausalLM:
    """Its baseline."""
    config = GPTReluConfig(**{**SMALL, **options}, attn_implementation=attention)
    network: GPTReluForCausalLM = randomise(GPTReluForCausalLM(config).double(), seed)
    return network


def slow_logits(network: Any, ids: list[int]) -> Tensor:
    """Logits [tokens vocabulary] of one text, token by token and head by head, from weights by name."""
    weights, config = dict(network.named_parameters()), network.config
    is_crate, d, heads = config.model_type == "crate", config.hidden_size, config.num_attention_heads
    p = d // heads
    table = weights["model.embed_tokens.weight"]
    z = torch.stack([table[one] + weights["model.embed_positions.weight"][t] for t, one in enumerate(ids)])
    for number in range(config.num_hidden_layers):
        own = {name.split(f"layers.{number}.")[1]: w for name, w in weights.items() if f"layers.{number}." in name}
        z = z + _slow_attention(_slow_norm(z, own, "attention_norm"), own, heads, p, is_crate)
        x = _slow_norm(z, own, "mlp_norm")
        if is_crate:
            told = torch.stack([_slow_code(row, own, config) for row in x])
            z = told + (z if config.residual else 0)
        else:
            z = z + torch.stack(
                [own["mlp.contract.weight"] @ (own["mlp.expand.weight"] @ row).clamp(min=0) for row in x]
            )
    return _slow_norm(z, weights, "model.norm") @ table.T


def _slow_norm(rows: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    centred = rows - rows.mean(-1, keepdim=True)
    out = weights[f"{name}.weight"] * centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    return out + weights.get(f"{name}.bias", 0)


def _slow_attention(u: Tensor, own: dict[str, Tensor], heads: int, p: int, is_crate: bool) -> Tensor:
    projected = u @ own["attention.qkv.weight"].T
    queries, keys, values = (projected,) * 3 if is_crate else projected.chunk(3, dim=-1)
    rows = []
    for i in range(len(u)):
        parts = []
        for head in range(heads):
            mine = slice(head * p, (head + 1) * p)
            scores = torch.stack([queries[i, mine] @ keys[j, mine] / p**0.5 for j in range(i + 1)])
            share = scores.exp() / scores.exp().sum()
            parts.append(sum(share[j] * values[j, mine] for j in range(i + 1)))
        rows.append(own["attention.out.weight"] @ torch.cat(parts) + own.get("attention.out.bias", 0))
    return torch.stack(rows)


def _slow_code(x: Tensor, own: dict[str, Tensor], config: CrateConfig) -> Tensor:
    dictionary, eta, lam = own["mlp.dictionary"], config.step_size, config.sparsity
    a = x.new_zeros(dictionary.shape[1])
    for _ in range(2):
        a = descended(dictionary, x, a, eta, lam)
    return own.get("mlp.decoder", dictionary) @ a


def descended(dictionary: Tensor, x: Tensor, a: Tensor, eta: float, lam: float) -> Tensor:
    """A step of projected gradient descent on ½|x − D a|² + λ Σ a over a ≥ 0, by autograd."""
    with torch.enable_grad():
        leaf = a.detach().clone().requires_grad_()
        objective = (x.detach() - dictionary.detach() @ leaf).square().sum() / 2 + lam * leaf.sum()
        (gradient,) = torch.autograd.grad(objective, leaf)
    return (a - eta * gradient).clamp(min=0).detach()


def modules_of(network: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    """Those of a kind."""
    return [module for module in network.modules() if isinstance(module, kind)]
