"""The parts of decoders whose layers norm what they read, as those of GPT-2 and Llama, as DecompX goes through them."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithbench.errors import QuestionError
from faithbench.interfaces import WhiteBox
from faithbench.types import Text
from faithbench_explainers.decomposition.anatomy import ACTIVATIONS, Function, activation_named

GPT2 = {"ln_1", "attn", "ln_2", "mlp"}
LLAMA = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}


@dataclass(frozen=True)
class DecoderLayer:
    """Attention's norm, value and output layer, and the feed-forward network's norm and layers.

    `groups` are the heads of values, each shared by several queries; the `gate` of a gated network is a constant.
    """

    heads: int
    groups: int
    norm: nn.Module
    value: nn.Linear
    mix: nn.Linear
    mlp_norm: nn.Module
    gate: nn.Linear | None
    expand: nn.Linear
    activation: Function
    contract: nn.Linear


@dataclass(frozen=True)
class DecoderAnatomy:
    """The layers, the norm behind them, and the head: a linear layer, an activation through the origin, another."""

    layers: tuple[DecoderLayer, ...]
    norm: nn.Module
    out: nn.Linear
    cap: Function
    contrast: nn.Linear | None


def decoder_anatomy_of(classifier: WhiteBox, text: Text) -> DecoderAnatomy | None:
    """The parts of a decoder as it is asked of a text; None for what is none of these.

    Raises:
        QuestionError: its activation is not known.
    """
    model, name = classifier.model, classifier.architecture.layers
    layers = list(model.get_submodule(name)) if name else []
    head, config = getattr(classifier, "head", None), model.config.get_text_config()
    kinds = {frozenset(dict(layer.named_children())) for layer in layers}
    norm = _norm_behind(model, name)
    if kinds not in ({frozenset(GPT2)}, {frozenset(LLAMA)}) or head is None or norm is None:
        return None
    made = [_as_gpt2(layer, config) if kinds == {frozenset(GPT2)} else _as_llama(layer, config) for layer in layers]
    found = tuple(layer for layer in made if layer is not None)
    norms = [norm, *(each for layer in found for each in (layer.norm, layer.mlp_norm))]
    if len(found) < len(layers) or not all(map(_is_known, norms)):
        return None
    if (activation := activation_named(config)) not in ACTIVATIONS:
        raise QuestionError(f"DecompX knows the activations {', '.join(ACTIVATIONS)}, not {activation!r}")
    if text.candidates is None:
        return DecoderAnatomy(found, norm, head, nn.Identity(), None)
    return DecoderAnatomy(found, norm, *_choice(classifier, head, list(text.candidates)))


def _choice(classifier: Any, head: Any, candidates: list[int]) -> tuple[nn.Linear, Function, nn.Linear | None]:
    """The output layer at the candidates, what the model makes of a logit, and half of the difference, both ways."""
    linear = head.linear
    bias = None if linear.bias is None else head.scale * linear.bias[candidates]
    out = plain(head.scale * linear.weight[candidates], bias)
    cap: Function = nn.Identity() if not head.softcap else lambda z: head.softcap * torch.tanh(z / head.softcap)
    halves = torch.tensor([[0.5, -0.5], [-0.5, 0.5]]).to(linear.weight)
    return out, cap, plain(halves, None) if classifier.contrast else None


def _norm_behind(model: nn.Module, layers: str) -> nn.Module | None:
    """The only norm beside the list of layers."""
    parent = model.get_submodule(layers.rpartition(".")[0]) if layers else model
    names = ("ln_f", "norm")
    found = [child for name, child in parent.named_children() if name in names]
    return found[0] if len(found) == 1 else None


def _is_known(norm: nn.Module) -> bool:
    """Whether it is torch's LayerNorm, or does not take off a mean."""
    if isinstance(norm, nn.LayerNorm):
        return True
    weight: Tensor = norm.weight  # type: ignore[assignment]
    states = torch.linspace(-1, 1, weight.shape[-1]).to(weight)
    with torch.no_grad():
        return not torch.allclose(norm(states[None] + 1), norm(states[None]), rtol=1e-2)


def _as_gpt2(layer: Any, config: Any) -> DecoderLayer | None:
    inside, children = dict(layer.attn.named_children()), set(dict(layer.mlp.named_children()))
    if not {"c_attn", "c_proj"} <= set(inside) or children - {"dropout"} != {"c_fc", "c_proj", "act"}:
        return None
    joint, heads = linear_of(layer.attn.c_attn), config.num_attention_heads
    width = layer.attn.c_proj.weight.shape[0]
    if joint.weight.shape[0] != 3 * width:
        return None
    return DecoderLayer(
        heads=heads,
        groups=heads,
        norm=layer.ln_1,
        value=plain(joint.weight[-width:], None if joint.bias is None else joint.bias[-width:]),
        mix=linear_of(layer.attn.c_proj),
        mlp_norm=layer.ln_2,
        gate=None,
        expand=linear_of(layer.mlp.c_fc),
        activation=layer.mlp.act,
        contract=linear_of(layer.mlp.c_proj),
    )


def _as_llama(layer: Any, config: Any) -> DecoderLayer | None:
    children = dict(layer.mlp.named_children())
    if not {"gate_proj", "up_proj", "down_proj", "act_fn"} <= set(children) or not hasattr(layer.self_attn, "v_proj"):
        return None
    return DecoderLayer(
        heads=config.num_attention_heads,
        groups=config.num_key_value_heads,
        norm=layer.input_layernorm,
        value=layer.self_attn.v_proj,
        mix=layer.self_attn.o_proj,
        mlp_norm=layer.post_attention_layernorm,
        gate=layer.mlp.gate_proj,
        expand=layer.mlp.up_proj,
        activation=layer.mlp.act_fn,
        contract=layer.mlp.down_proj,
    )


def linear_of(module: Any) -> nn.Linear:
    """A linear layer; of one that holds its weight the other way round, as GPT-2's, a plain one."""
    if isinstance(module, nn.Linear):
        return module
    return plain(module.weight.T, module.bias)


def plain(weight: Float[Tensor, "out in"], bias: Float[Tensor, "out"] | None) -> nn.Linear:
    """A linear layer with this weight, which is not copied."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    made.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias, requires_grad=False)
    return made
