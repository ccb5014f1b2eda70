"""Turns a conventional transformer into a B-cos network (arXiv 2502.12992, section 3; see docs/bcos.md)."""

import copy
import re
from pkgutil import resolve_name

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from faithbench.architectures.activations import at_zero
from faithbench.architectures.finding import activation_field, activation_of, architecture_of
from faithbench.architectures.forms import exact_form, open_activation
from faithbench.architectures.heads import straightened
from faithbench.architectures.norms import Norm, norm_forms
from faithbench.architectures.products import factors
from faithbench.architectures.trying import is_causal
from faithbench.bcos.modules import BcosLinear
from faithbench.bcos.proof import computed_before, prove, set_gates
from faithbench.errors import UserError
from faithbench.interfaces import Architecture

TANH_GELUS = ("gelu_new", "gelu_fast")  # written out by hand; torch's own is the same but for rounding
TANH_GELU = "gelu_pytorch_tanh"
SOFTCAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")  # tanh over the logits
KNOWN = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm, Norm, Conv1D)


def convert(
    model: PreTrainedModel,
    b: float = 1.5,
    qkv: bool = False,
    biases: bool = False,
    embedding_bias: bool = False,
    gates: list[str] | None = None,
) -> PreTrainedModel:
    """A B-cos copy of a Hugging Face sequence classifier or language model; the model given is left as it was.

    The copy is not near the original function: fine-tune it. That explanations of a classifier or a causal language
    model will be complete is proved on a row of tokens; of what has run before the first layer, where explanations
    begin, norms lose their bias and all else stays as it is.

    Args:
        model: an encoder or decoder with layers in a list.
        b: the exponent; 1 is linear alignment, the paper uses 1.5, and 1.1 for decoders.
        qkv: make query, key and value projections B-cos too (the paper's text does, its numbers come from models
            that do not).
        biases: keep all biases and the activations of the head, an ablation: explanations are not complete then.
        embedding_bias: keep the bias of norms before the first layer (the embeddings' LayerNorm), as conversion did
            before there was this parameter; it is how checkpoints without it in their settings are read.
        gates: names of the activations that are factors of products, as the settings of a converted language model
            tell them: nothing is proved again. None to find them.

    Raises:
        UserError: `b` is below 1, the model is B-cos already, or it holds a module that has no B-cos form (named).
    """
    if not b >= 1:
        raise UserError(f"b={b!r} is not allowed; B-cos needs a number of at least 1.")
    if is_bcos(model):
        raise UserError(f"{type(model).__name__} is a B-cos model already.")
    architecture, classifies = architecture_of(model), model.get_output_embeddings() is None
    before, towers = computed_before(model, architecture)
    causal = not classifies and is_causal(model)
    proved = (classifies or causal) and not biases
    _check_activation(model, proved)
    _check_weights(model, before | towers, causal)
    training, model = model.training, copy.deepcopy(model)
    _use_tanh_gelu(model)
    if classifies and proved:  # the activation in a masked language model's head is g(x)·x and stays
        _straighten(model, before | towers, architecture)
    _open(model, before | towers if proved else None, architecture.layers)
    plain = "$^" if qkv else architecture.attention_inputs
    if causal:
        plain = f"{plain}|{_free_logits(model)}"
    if not (causal and biases):
        _untie(model)
    keeps = biases or embedding_bias
    for name, module in list(model.named_modules()):
        if not name or _within(name, towers):
            continue
        if not _within(name, before):
            _replace(model, name, module, plain, b, biases)
        elif not keeps:
            _unbias_norm(module)
    if not causal and (decoder := model.get_output_embeddings()) is not None:
        decoder.weight = model.get_input_embeddings().weight
    gates = _gate(model, architecture, causal, proved, gates)
    settings = {"b": b, "qkv": qkv} | ({"biases": True} if biases else {})
    model.config.bcos = settings | ({} if keeps else {"embedding_bias": False}) | ({"gates": gates} if causal else {})
    return model.train(training)


def _gate(
    model: PreTrainedModel, architecture: Architecture, causal: bool, proved: bool, known: list[str] | None
) -> list[str] | None:
    """Sets gates and gives their names: the known ones, else those by which a proof holds, else what is multiplied."""
    if known is None and proved:
        return prove(model, architecture, causal)
    if known is None and causal:
        known = sorted(factors(model))
    set_gates(model, known or [])
    return known


def is_bcos(model: PreTrainedModel) -> bool:
    """Whether a model was made by `convert`."""
    return getattr(model.config, "bcos", None) is not None


def _within(name: str, parts: set[str]) -> bool:
    """Whether a module is one of the parts or inside one of them."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def _straighten(model: PreTrainedModel, before: set[str], architecture: Architecture) -> None:
    """Takes the activation out of a classifier's head: tanh, in everything that comes after the layers."""
    if architecture.straighten:
        resolve_name(architecture.straighten)(model)
        return
    for name, module in list(model.named_modules()):
        if (
            name
            and not _within(name, before | {architecture.layers})
            and (straight := straightened(module)) is not None
        ):
            model.set_submodule(name, straight)


def _open(model: PreTrainedModel, before: set[str] | None, layers: str) -> None:
    """Puts the open form in the place of activations that cannot be held constant.

    That is done in all that follows the embeddings, or only in the layers where nothing will be proved (`before` is
    None): then heads keep their activation.

    Raises:
        UserError: an activation is not 0 at 0, and no proof will tell whether that matters.
    """
    for name, module in list(model.named_modules(remove_duplicate=False)):
        within = _within(name, {layers}) if before is None else not _within(name, before)
        if not (name and within and (form := open_activation(module)) is not None):
            continue
        if at_zero(module) == 0:
            model.set_submodule(name, form)
        elif before is None:
            raise UserError(f"module {name!r} ({type(module).__name__}) has no B-cos form: at 0 it is not 0.")


def _free_logits(model: PreTrainedModel) -> str:
    """Takes away bounds of a language model's logits; a regular expression for its head, which stays plain."""
    for config in (model.config, model.config.get_text_config()):
        for field in SOFTCAPS:
            if getattr(config, field, None) is not None:
                setattr(config, field, None)
    head = model.get_output_embeddings()
    return "|".join(f"^{re.escape(name)}$" for name, module in model.named_modules() if module is head)


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
    form = _linear(module) if isinstance(module, Conv1D) else exact_form(module)
    if form is not None:
        model.set_submodule(name, form)
        module = form
    if isinstance(module, nn.LayerNorm) or (isinstance(module, nn.Linear) and re.search(plain, name)):
        if not biases:
            module.register_parameter("bias", None)
    elif isinstance(module, nn.Linear):
        model.set_submodule(name, BcosLinear.of(module, b, biases))
    elif not isinstance(module, nn.Embedding) and not biases:
        _silence(module)


def _linear(layer: Conv1D) -> nn.Linear:
    """The linear layer that a Conv1D is, with a weight of (inputs, outputs) and a bias that it always adds."""
    linear = nn.Linear(*layer.weight.shape).to(layer.weight)
    linear.weight.data.copy_(layer.weight.data.T)
    linear.bias.data.copy_(layer.bias.data)
    return linear.train(layer.training)


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
    """Of an activation that the configuration does not tell, the proof tells; without a proof it must."""
    if activation_of(model) == "None" and not proved:
        raise UserError("activation 'None' has no B-cos form: the configuration must tell it where nothing is proved.")


def _check_weights(model: PreTrainedModel, before: set[str], causal: bool) -> None:
    """Only linear layers, embeddings and norms have weights; other modules may have biases, and gains in an encoder."""
    unknown = [
        (name, own, module)
        for name, module in model.named_modules()
        if not (isinstance(module, KNOWN) or _within(name, before))
        for own, parameter in module.named_parameters(recurse=False)
        if not own.endswith("bias") and (causal or parameter.ndim > 1) and not any(norm_forms(module))
    ]
    if unknown:
        name, own, module = max(unknown, key=lambda found: found[0].count("."))
        raise UserError(
            f"module {name!r} ({type(module).__name__}) has no B-cos form: it has weights of its own ({own!r})."
        )


def _untie(model: PreTrainedModel) -> None:
    """Takes the output bias of a masked language model's head, which some architectures keep beside the decoder."""
    decoder = model.get_output_embeddings()
    if decoder is not None:
        decoder.register_parameter("bias", None)
        for module in model.modules():
            if any(child is decoder for child in module.children()) and "bias" in module._parameters:
                module.register_parameter("bias", None)
