"""Turns a conventional transformer into a B-cos network (arXiv 2502.12992, section 3; see docs/bcos.md)."""

import copy
import re
from pkgutil import resolve_name

from torch import nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from faithbench.architectures.finding import GATED, activation_of, architecture_of
from faithbench.architectures.heads import SignJoin, SignSplit
from faithbench.bcos.modules import BcosLinear
from faithbench.errors import UserError


def convert(model: PreTrainedModel, b: float = 1.5, qkv: bool = False, biases: bool = False) -> PreTrainedModel:
    """A B-cos copy of a Hugging Face sequence classifier or masked language model; the model given is left as it was.

    The copy is not near the original function: fine-tune it.

    Args:
        model: of BERT, RoBERTa or DistilBERT type.
        b: the exponent; 1 is linear alignment, the paper uses 1.5.
        qkv: make query, key and value projections B-cos too (the paper's text does, its numbers come from models
            that do not).
        biases: keep all biases and the activations of the head, an ablation: explanations are not complete then.

    Raises:
        UserError: `b` is below 1, the model is B-cos already, or it holds a module that has no B-cos form (named).
    """
    if not b >= 1:
        raise UserError(f"b={b!r} is not allowed; B-cos needs a number of at least 1.")
    if is_bcos(model):
        raise UserError(f"{type(model).__name__} is a B-cos model already.")
    architecture = architecture_of(model)
    activation = activation_of(model)
    if activation not in GATED:
        raise UserError(f"activation {activation!r} has no B-cos form; known: {', '.join(GATED)}.")
    training, model = model.training, copy.deepcopy(model)
    if not biases and model.get_output_embeddings() is None and architecture.straighten:
        resolve_name(architecture.straighten)(model)  # the activation in a language model's head is g(x)·x and stays
    _untie(model)
    kept = (nn.Tanh, nn.ReLU) if biases else ()
    harmless = (nn.Dropout, nn.Identity, nn.CrossEntropyLoss, SignSplit, SignJoin, type(ACT2FN[activation]), *kept)
    plain = "$^" if qkv else architecture.attention_inputs
    for name, module in list(model.named_modules()):
        if not name.startswith(architecture.embeddings) and not isinstance(module, harmless):
            _replace(model, name, module, plain, b, biases)
    if (decoder := model.get_output_embeddings()) is not None:
        decoder.weight = model.get_input_embeddings().weight
    model.config.bcos = {"b": b, "qkv": qkv} | ({"biases": True} if biases else {})
    return model.train(training)


def is_bcos(model: PreTrainedModel) -> bool:
    """Whether a model was made by `convert`."""
    return getattr(model.config, "bcos", None) is not None


def _replace(model: nn.Module, name: str, module: nn.Module, plain: str, b: float, biases: bool) -> None:
    """Takes the bias of a norm or plain projection (a regular expression says which), makes other linears B-cos."""
    if isinstance(module, nn.LayerNorm) or (isinstance(module, nn.Linear) and re.search(plain, name)):
        if not biases:
            module.register_parameter("bias", None)
    elif isinstance(module, nn.Linear):
        model.set_submodule(name, BcosLinear.of(module, b, biases))
    elif not any(module.children()) or next(module.parameters(recurse=False), None) is not None:
        raise UserError(f"module {name!r} ({type(module).__name__}) has no B-cos form.")


def _untie(model: PreTrainedModel) -> None:
    """Takes the output bias of a masked language model's head, which some architectures keep beside the decoder."""
    decoder = model.get_output_embeddings()
    if decoder is not None:
        decoder.register_parameter("bias", None)
        for module in model.modules():
            if any(child is decoder for child in module.children()) and "bias" in module._parameters:
                module.register_parameter("bias", None)
