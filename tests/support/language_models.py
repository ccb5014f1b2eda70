"""Tiny random causal language models of many types, conventional and B-cos, and next-token questions to ask them."""

import functools
from typing import Any

import torch
import transformers
from continuing_tokenizers import byte_level, metaspace
from networks import DECODERS, GROUPED, OWN_SHAPES, SENTENCES, SHAPE
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from faithbench.bcos import convert
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.types import Example, Text

CAPS = {"attn_logit_softcapping": 0.1, "final_logit_softcapping": 2.0}  # so low that they matter
KINDS = {**DECODERS, "Olmo2": GROUPED, "Granite": GROUPED, "Gemma2": {**DECODERS["Gemma2"], **CAPS}}
EXAMPLES = (
    Example("soup", "the soup was warm and the bread was", 0, evidence=((9, 12),), good="fresh", bad="late"),
    Example("train", "our train came late and nobody", 0, evidence=((4, 9),), good="said", bad="was"),
    Example("garden", "a quiet garden with old trees and", 0, evidence=((2, 7),), good="a", bad="the"),
)


@functools.cache
def tokenizer(kind: str) -> PreTrainedTokenizerBase:
    """Of GPT-2's kind, which puts nothing before a text; or of Llama's, which puts <s> there."""
    return byte_level(SENTENCES, 300) if kind in ("GPT2", "GPTNeoX", "Bloom", "Falcon") else metaspace(SENTENCES)


def network(kind: str, attention: str | None = None, **options: Any) -> PreTrainedModel:
    """A causal language model of two layers in float64, with noise on all weights."""
    own = {} if kind in OWN_SHAPES else SHAPE
    size = {"vocab_size": len(tokenizer(kind)), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = getattr(transformers, f"{kind}Config")(**{**own, **size, **KINDS[kind], **options})
    torch.manual_seed(0)
    way = {} if attention is None else {"attn_implementation": attention}
    model = AutoModelForCausalLM.from_config(config, **way).eval().double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def language_model(
    kind: str, b: float | None = None, contrast: bool = True, attention: str | None = None, **options: Any
) -> HuggingFaceLanguageModel:
    """A network behind the adapter, converted to B-cos first unless `b` is None."""
    model = network(kind, attention, **options)
    model = model if b is None else convert(model, b)
    return HuggingFaceLanguageModel(model, tokenizer(kind), dtype=torch.float64, contrast=contrast)


@functools.cache
def shared_language_model(kind: str, b: float | None = None, contrast: bool = True) -> HuggingFaceLanguageModel:
    """The same, made once: for tests that leave it as they found it."""
    return language_model(kind, b, contrast)


def questions(model: HuggingFaceLanguageModel) -> list[Text]:
    """The examples as a model reads them."""
    return [model.encode(example) for example in EXAMPLES]
