"""Tiny random causal language models of many types: two layers, with noise on all weights."""

from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel

WIDTH, WORDS, LIMIT = 32, 50, 32
IDS = torch.tensor([[5, 9, 31, 7, 44, 12]])
ENDS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2}
GPT: dict[str, Any] = {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "n_positions": LIMIT}
SHAPE: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": LIMIT,
    "pad_token_id": 0,
}
GROUPED: dict[str, Any] = {**SHAPE, "num_key_value_heads": 2}
GEMMA: dict[str, Any] = {**GROUPED, "head_dim": 8}
LOCAL: dict[str, Any] = {**GEMMA, "sliding_window": 4, "query_pre_attn_scalar": 8}
KINDS: dict[str, dict[str, Any]] = {
    "GPT2": GPT,
    "GPTNeo": {
        "hidden_size": WIDTH,
        "num_layers": 2,
        "num_heads": 4,
        "intermediate_size": 48,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 4,
        "max_position_embeddings": LIMIT,
    },
    "GPTNeoX": SHAPE,
    "GPTJ": {**GPT, "rotary_dim": 4},
    "OpenAIGPT": GPT,
    "Llama": GROUPED,
    "Mistral": {**GROUPED, "sliding_window": 4},
    "Qwen2": GROUPED,
    "Qwen3": GEMMA,
    "Gemma": GEMMA,
    "Gemma2": LOCAL,
    "Gemma3Text": LOCAL,
    "OPT": {**SHAPE, "ffn_dim": 48, "word_embed_proj_dim": 16},
    "Phi": SHAPE,
    "Phi3": GROUPED,
    "Bloom": {"hidden_size": WIDTH, "n_layer": 2, "n_head": 4},
    "Falcon": {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4},
    "SmolLM3": GROUPED,
    "Olmo": GROUPED,
    "Olmo2": GROUPED,
    "StableLm": GROUPED,
    "Starcoder2": GROUPED,
    "Glm": GEMMA,
    "Granite": GROUPED,
    "BioGpt": SHAPE,
    "Cohere": {**GROUPED, "use_qk_norm": True},
}


def language_network(kind: str, attention: str | None = None, **options: Any) -> PreTrainedModel:
    """A causal language model in float64 and eval mode, with no weight, gain or bias left at 0 or 1."""
    return _noisy(AutoModelForCausalLM, kind, attention, options)


def decoder_classifier(kind: str, **options: Any) -> PreTrainedModel:
    """A sequence classifier of three classes of the same type."""
    return _noisy(AutoModelForSequenceClassification, kind, None, {"num_labels": 3, **options})


def _noisy(auto: Any, kind: str, attention: str | None, options: dict[str, Any]) -> PreTrainedModel:
    config = getattr(transformers, f"{kind}Config")(**{"vocab_size": WORDS, **ENDS, **KINDS[kind], **options})
    torch.manual_seed(0)
    model: PreTrainedModel = auto.from_config(
        config, **({} if attention is None else {"attn_implementation": attention})
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * (0.3 if parameter.ndim == 1 else 0.1))
    return model.double().eval()


def first_layer(model: PreTrainedModel) -> nn.Module:
    """The first of the layers, by where each type keeps them."""
    body = model.base_model
    body = getattr(body, "language_model", getattr(body, "decoder", body))
    return getattr(body, "layers" if hasattr(body, "layers") else "h")[0]


def logits_and_embeddings(model: PreTrainedModel, ids: Tensor = IDS) -> tuple[Tensor, Tensor]:
    """Logits of the last position or of the classes, and the input of the first layer, which they can be derived by."""
    leaves: list[Tensor] = []

    def cut(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        states = (args[0] if args else kwargs["hidden_states"]).detach().requires_grad_()
        leaves.append(states)
        return ((states, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": states})

    with first_layer(model).register_forward_pre_hook(cut, with_kwargs=True):
        logits = model(input_ids=ids, use_cache=False).logits[0]
    return logits[-1] if logits.ndim == 2 else logits, leaves[0]
