"""Documents of random words, and models with random weights that read them."""

import functools

import numpy as np
import torch
from continuing_tokenizers import byte_level
from networks import SENTENCES

from faithbench.models.crate import CrateForCausalLM, GPTReluForCausalLM
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.models.white_box_configs import CrateConfig, GPTReluConfig
from faithbench.types import Example

WORDS = " ".join(SENTENCES).split()
MADE = {"crate": (CrateForCausalLM, CrateConfig), "gpt-relu": (GPTReluForCausalLM, GPTReluConfig)}


def documents(count, least=8, most=20, seed=0):
    """Documents of so many words at least and at most."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(least, most + 1, count)
    texts = [" ".join(generator.choice(WORDS, size)) for size in sizes]
    return [Example(f"d{number}", text, None) for number, text in enumerate(texts)]


@functools.cache
def white_box(kind, context=64):
    """A CRATE or its baseline behind the adapter, in float64."""
    tokenizer, (model, config) = byte_level(SENTENCES, 300), MADE[kind]
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 48, "num_attention_heads": 2, "max_position_embeddings": context}
    made = model(config(vocab_size=len(tokenizer), eos_token_id=0, **sizes)).double()
    return HuggingFaceLanguageModel(made, tokenizer, dtype=torch.float64)
