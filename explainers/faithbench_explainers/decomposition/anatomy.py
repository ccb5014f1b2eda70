"""Where the parts of a Hugging Face sequence classifier are: BERT, RoBERTa and DistilBERT, conventional or B-cos."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from faithbench.errors import QuestionError
from faithbench.interfaces import WhiteBox

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish")  # f(0) = 0, and f(x)/x is bounded
Function = Callable[[Tensor], Tensor]
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Names:
    """Module names: of the layers and the head in a model, of the others in a layer."""

    layers: str
    query: str
    key: str
    value: str
    mix: str
    mix_norm: str
    expand: str
    activation: str
    contract: str
    norm: str
    dense: str
    head_activation: Function
    out: str


def _bert(layers: str, dense: str, out: str) -> Names:
    return Names(
        layers=layers,
        query="attention.self.query",
        key="attention.self.key",
        value="attention.self.value",
        mix="attention.output.dense",
        mix_norm="attention.output.LayerNorm",
        expand="intermediate.dense",
        activation="intermediate.intermediate_act_fn",
        contract="output.dense",
        norm="output.LayerNorm",
        dense=dense,
        head_activation=torch.tanh,
        out=out,
    )


NAMES = {
    "bert": _bert("bert.encoder.layer", "bert.pooler.dense", "classifier"),
    "roberta": _bert("roberta.encoder.layer", "classifier.dense", "classifier.out_proj"),
    "distilbert": Names(
        layers="distilbert.transformer.layer",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        mix="attention.out_lin",
        mix_norm="sa_layer_norm",
        expand="ffn.lin1",
        activation="ffn.activation",
        contract="ffn.lin2",
        norm="output_layer_norm",
        dense="pre_classifier",
        head_activation=torch.relu,
        out="classifier",
    ),
}


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
    if config.model_type not in NAMES:
        raise QuestionError(f"DecompX knows the architectures {', '.join(NAMES)}, not {config.model_type!r}")
    activation = getattr(config, "hidden_act", None) or getattr(config, "activation", None)
    if activation not in ACTIVATIONS:
        raise QuestionError(f"DecompX knows the activations {', '.join(ACTIVATIONS)}, not {activation!r}")
    names = NAMES[config.model_type]
    bcos = getattr(config, "bcos", None)
    straight = bcos is not None and not bcos.get("biases")  # a B-cos head without activation
    return Anatomy(
        layers=tuple(_layer(layer, names, config.num_attention_heads) for layer in model.get_submodule(names.layers)),
        dense=_linear(model, names.dense),
        activation=nn.Identity() if straight else names.head_activation,
        out=_linear(model, names.out),
    )


def _layer(layer: nn.Module, names: Names, heads: int) -> Layer:
    return Layer(
        heads=heads,
        query=_linear(layer, names.query),
        key=_linear(layer, names.key),
        value=_linear(layer, names.value),
        mix=_linear(layer, names.mix),
        mix_norm=_only(nn.LayerNorm, layer, names.mix_norm),
        expand=_linear(layer, names.expand),
        activation=layer.get_submodule(names.activation),
        contract=_linear(layer, names.contract),
        norm=_only(nn.LayerNorm, layer, names.norm),
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
