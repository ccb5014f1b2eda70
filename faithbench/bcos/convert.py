"""Turns a conventional transformer into a B-cos network (arXiv 2502.12992, section 3; see docs/bcos.md)."""

import copy
import re
from pkgutil import resolve_name

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from faithbench.architectures.finding import GATED, activation_field, activation_of, architecture_of
from faithbench.architectures.forms import exact_form
from faithbench.architectures.heads import straightened
from faithbench.bcos.modules import BcosLinear
from faithbench.bcos.proof import computed_before, prove
from faithbench.errors import UserError

TANH_GELUS = ("gelu_new", "gelu_fast")  # written out by hand; torch's own is the same but for rounding
TANH_GELU = "gelu_pytorch_tanh"


def convert(
    model: PreTrainedModel, b: float = 1.5, qkv: bool = False, biases: bool = False, embedding_bias: bool = False
) -> PreTrainedModel:
    """A B-cos copy of a Hugging Face sequence classifier or masked language model; the model given is left as it was.

    The copy is not near the original function: fine-tune it. That explanations of a classifier will be complete is
    proved on a row of tokens; of what has run before the first layer, where explanations begin, norms lose their bias
    and all else stays as it is.

    Args:
        model: an encoder with layers in a list.
        b: the exponent; 1 is linear alignment, the paper uses 1.5.
        qkv: make query, key and value projections B-cos too (the paper's text does, its numbers come from models
            that do not).
        biases: keep all biases and the activations of the head, an ablation: explanations are not complete then.
        embedding_bias: keep the bias of norms before the first layer (the embeddings' LayerNorm), as conversion did
            before there was this parameter; it is how checkpoints without it in their settings are read.

    Raises:
        UserError: `b` is below 1, the model is B-cos already, or it holds a module that has no B-cos form (named).
    """
    if not b >= 1:
        raise UserError(f"b={b!r} is not allowed; B-cos needs a number of at least 1.")
    if is_bcos(model):
        raise UserError(f"{type(model).__name__} is a B-cos model already.")
    architecture, classifies = architecture_of(model), model.get_output_embeddings() is None
    proved = classifies and not biases
    _check_activation(model, proved)
    before = computed_before(model, architecture)
    _check_weights(model, before)
    training, model = model.training, copy.deepcopy(model)
    _use_tanh_gelu(model)
    if proved:  # the activation in a language model's head is g(x)·x and stays
        if architecture.straighten:
            resolve_name(architecture.straighten)(model)
        else:
            _straighten(model, before, architecture.layers)
    _untie(model)
    plain = "$^" if qkv else architecture.attention_inputs
    keeps = biases or embedding_bias
    for name, module in list(model.named_modules()):
        if name and not _within(name, before):
            _replace(model, name, module, plain, b, biases)
        elif name and not keeps:
            _unbias_norm(module)
    if (decoder := model.get_output_embeddings()) is not None:
        decoder.weight = model.get_input_embeddings().weight
    if proved:
        prove(model, architecture)
    settings = {"b": b, "qkv": qkv} | ({"biases": True} if biases else {})
    model.config.bcos = settings | ({} if keeps else {"embedding_bias": False})
    return model.train(training)


def is_bcos(model: PreTrainedModel) -> bool:
    """Whether a model was made by `convert`."""
    return getattr(model.config, "bcos", None) is not None


def _within(name: str, parts: set[str]) -> bool:
    """Whether a module is one of the parts or inside one of them."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def _straighten(model: PreTrainedModel, before: set[str], layers: str) -> None:
    """Takes tanh out of everything that comes after the layers."""
    for name, module in list(model.named_modules()):
        if name and not _within(name, before | {layers}) and (straight := straightened(module)) is not None:
            model.set_submodule(name, straight)


def _use_tanh_gelu(model: PreTrainedModel) -> None:
    """Puts torch's tanh-GELU, whose gate can be frozen, in the place of those that are written out by hand."""
    if activation_of(model) not in TANH_GELUS:
        return
    by_hand = type(ACT2FN[activation_of(model)])
    setattr(model.config, activation_field(model), TANH_GELU)
    for name, module in list(model.named_modules()):
        if isinstance(module, by_hand):
            model.set_submodule(name, ACT2FN[TANH_GELU])


def _replace(model: nn.Module, name: str, module: nn.Module, plain: str, b: float, biases: bool) -> None:
    """Takes the bias of a norm or plain projection (a regular expression says which), makes other linears B-cos."""
    if (form := exact_form(module)) is not None:
        model.set_submodule(name, form)
        module = form
    if isinstance(module, nn.LayerNorm) or (isinstance(module, nn.Linear) and re.search(plain, name)):
        if not biases:
            module.register_parameter("bias", None)
    elif isinstance(module, nn.Linear):
        model.set_submodule(name, BcosLinear.of(module, b, biases))
    elif not isinstance(module, nn.Embedding) and not biases:
        _silence(module)


def _unbias_norm(module: nn.Module) -> None:
    """Takes the bias of a norm before the first layer; linear layers there, such as a projection, keep theirs."""
    if isinstance(module, nn.LayerNorm):
        module.register_parameter("bias", None)
    elif not isinstance(module, (nn.Linear, nn.Embedding)):
        _silence(module)


def _silence(module: nn.Module) -> None:
    """Takes biases of a module's own, which its code goes on to add: zeros that are neither trained nor saved."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        if name.endswith("bias"):
            zeros = torch.zeros_like(parameter, requires_grad=False)
            delattr(module, name)
            module.register_buffer(name, zeros, persistent=False)


def _check_activation(model: PreTrainedModel, proved: bool) -> None:
    """An activation that the configuration tells must have a gate; of one that it does not tell, the proof tells."""
    activation = activation_of(model)
    if activation not in (*GATED, *TANH_GELUS) and not (proved and activation == "None"):
        raise UserError(f"activation {activation!r} has no B-cos form; known: {', '.join(GATED)}.")


def _check_weights(model: PreTrainedModel, before: set[str]) -> None:
    """Only linear layers and embeddings have weights; other modules may have gains and biases."""
    unknown = [
        (name, module)
        for name, module in model.named_modules()
        if not (isinstance(module, (nn.Linear, nn.Embedding)) or _within(name, before))
        for own, parameter in module.named_parameters(recurse=False)
        if parameter.ndim > 1 and not own.endswith("bias")
    ]
    if unknown:
        name, module = max(unknown, key=lambda pair: pair[0].count("."))
        raise UserError(f"module {name!r} ({type(module).__name__}) has no B-cos form: it has weights of its own.")


def _untie(model: PreTrainedModel) -> None:
    """Takes the output bias of a masked language model's head, which some architectures keep beside the decoder."""
    decoder = model.get_output_embeddings()
    if decoder is not None:
        decoder.register_parameter("bias", None)
        for module in model.modules():
            if any(child is decoder for child in module.children()) and "bias" in module._parameters:
                module.register_parameter("bias", None)
