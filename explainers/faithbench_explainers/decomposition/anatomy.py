"""The parts of a Hugging Face sequence classifier, conventional or B-cos, as DecompX goes through them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from faithbench.errors import QuestionError
from faithbench.interfaces import Architecture, LayerParts, WhiteBox

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish")  # f(0) = 0, and f(x)/x is bounded
Function = Callable[[Tensor], Tensor]
M = TypeVar("M", bound=nn.Module)


HEAD_ACTIVATIONS: dict[str, Function] = {"tanh": torch.tanh, "relu": torch.relu}


@dataclass(frozen=True)
class Layer:
    """Attention of so many heads, its output layer and norm; the feed-forward network and its norm."""

    heads: int
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    mix: nn.Linear
    mix_norm: nn.LayerNorm
    expand: nn.Linear
    activation: Function
    contract: nn.Linear
    norm: nn.LayerNorm


@dataclass(frozen=True)
class Anatomy:
    """The layers, and the head, which reads the first position."""

    layers: tuple[Layer, ...]
    dense: nn.Linear
    activation: Function
    out: nn.Linear


def anatomy_of(classifier: WhiteBox) -> Anatomy:
    """The parts of a classifier.

    Raises:
        QuestionError: it is not a Hugging Face classifier, or its architecture, its activation or one of its modules
            is not known.
    """
    model = getattr(classifier, "model", None)
    config = getattr(model, "config", None)
    if model is None or config is None:
        raise QuestionError(f"DecompX reads Hugging Face classifiers, and {type(classifier).__name__} is none")
    architecture: Architecture | None = getattr(classifier, "architecture", None)
    if architecture is None or architecture.parts is None:
        raise QuestionError(
            f"DecompX does not know the parts of the architecture {config.model_type!r}: it goes through BERT, "
            "RoBERTa, DistilBERT, and decoders with the layers of GPT-2 or of Llama"
        )
    activation = activation_named(config)
    if activation not in ACTIVATIONS:
        raise QuestionError(f"DecompX knows the activations {', '.join(ACTIVATIONS)}, not {activation!r}")
    parts = architecture.parts
    bcos = getattr(config, "bcos", None)
    straight = bcos is not None and not bcos.get("biases")  # a B-cos head without activation
    return Anatomy(
        layers=tuple(
            _layer(layer, parts, config.num_attention_heads) for layer in model.get_submodule(architecture.layers)
        ),
        dense=_linear(model, parts.dense),
        activation=nn.Identity() if straight else HEAD_ACTIVATIONS[parts.head_activation],
        out=_linear(model, parts.out),
    )


def activation_named(config: Any) -> object:
    """The feed-forward activation that a configuration tells."""
    names = ("hidden_act", "hidden_activation", "activation", "activation_function")
    return next(filter(None, (getattr(config, name, None) for name in names)), None)


def _layer(layer: nn.Module, parts: LayerParts, heads: int) -> Layer:
    return Layer(
        heads=heads,
        query=_linear(layer, parts.query),
        key=_linear(layer, parts.key),
        value=_linear(layer, parts.value),
        mix=_linear(layer, parts.mix),
        mix_norm=_only(nn.LayerNorm, layer, parts.mix_norm),
        expand=_linear(layer, parts.expand),
        activation=layer.get_submodule(parts.activation),
        contract=_linear(layer, parts.contract),
        norm=_only(nn.LayerNorm, layer, parts.norm),
    )


def _linear(parent: nn.Module, name: str) -> nn.Linear:
    return _only(nn.Linear, parent, name)


def _only(kind: type[M], parent: nn.Module, name: str) -> M:
    """The module of a kind, which may be wrapped in others as long as it is the only one with weights."""
    module = parent.get_submodule(name)
    weighty = [one for one in module.modules() if next(one.parameters(recurse=False), None) is not None]
    if len(weighty) != 1 or not isinstance(weighty[0], kind):
        raise QuestionError(f"module {name!r} ({type(module).__name__}) is no {kind.__name__} that DecompX knows")
    return weighty[0]
