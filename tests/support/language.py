"""Tiny random causal language models of many types, and next-token questions to ask them."""

import functools
from typing import Any

import numpy as np
import torch
import transformers
from networks import DECODERS, SHAPE, WIDTH, tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.types import Example

GROUPED: dict[str, Any] = {"num_key_value_heads": 2, "eos_token_id": 0, "bos_token_id": 0}
PLAIN = {"bos_token_id": 0, "eos_token_id": 0}
LANGUAGE_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", PLAIN),
    "neo": ("GPTNeo", PLAIN),
    "neox": ("GPTNeoX", {}),
    "gptj": ("GPTJ", PLAIN),
    "llama": ("Llama", {}),
    "llama-tied": ("Llama", {"tie_word_embeddings": True}),
    "mistral": ("Mistral", {"sliding_window": 4}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {}),
    "gemma": ("Gemma", {}),
    "gemma2": ("Gemma2", {"final_logit_softcapping": 5.0}),
    "gemma3": ("Gemma3Text", {}),
    "opt-projected": ("OPT", {"word_embed_proj_dim": WIDTH // 2}),
    "phi": ("Phi", {}),
    "bloom": ("Bloom", {}),
    "falcon": ("Falcon", {}),
    "cohere": ("Cohere", {**GROUPED, "logit_scale": 0.25}),
    "granite": ("Granite", {**GROUPED, "logits_scaling": 8.0}),
}
QUESTION = Example("0", "the soup was", 0, good="warm", bad="late")


def language_network(name: str, extra: int = 0, **options: Any) -> PreTrainedModel:
    """A causal language model of two layers with noise on all weights.

    Args:
        name: key of `LANGUAGE_MODELS`.
        extra: tokens that the model has and the tokenizer has not.
        options: of its configuration.
    """
    kind, own = LANGUAGE_MODELS[name]
    size = len(tokenizer("GPT2")) + extra
    given = {"pad_token_id": 0, **SHAPE, "vocab_size": size, **DECODERS.get(kind, {}), **own, **options}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(getattr(transformers, f"{kind}Config")(**given)).eval().double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def language_model(name: str, contrast: bool = True, dtype: Any = torch.float64, **options: Any) -> Any:
    """The same behind the adapter, with a tokenizer as GPT-2's."""
    return HuggingFaceLanguageModel(
        language_network(name, **options), tokenizer("GPT2"), dtype=dtype, contrast=contrast
    )


@functools.cache
def shared_language_model(name: str, contrast: bool = True) -> Any:
    """The same, made once: for tests that leave it as they found it."""
    return language_model(name, contrast)


def next_logits(model: PreTrainedModel, ids: np.ndarray, **inputs: Any) -> np.ndarray:
    """What the model itself says comes after a row, of its whole vocabulary."""
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(np.asarray(ids))[None], **inputs).logits
    found: np.ndarray = logits[0, -1].double().numpy()
    return found
