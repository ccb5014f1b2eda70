"""Tiny random language models with a few next-token questions, and what they say of tokens, one row at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from builders import randomise
from continuing_tokenizers import byte_level, metaspace
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.types import Example, Text

WORDS = "the a dog dogs barks bark himself herself them themselves sees Mary John walk walks walked these these".split()
QUESTIONS = (
    Example("agreement", "the dog sees these", 0, evidence=((11, 18),), good="dogs", bad="dog"),
    Example("anaphor", "Mary sees", 0, evidence=((0, 4),), good="herself", bad="himself"),
    Example("long", "the dogs these dog sees walked a dog Mary sees the", 0, ((4, 8),), good="walk", bad="walks"),
    Example("short", "the", 0, evidence=((0, 3),), good="dog", bad="walked"),
)
SMALL = {"hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


@cache
def language_model(kind: str, contrast: bool = True) -> HuggingFaceLanguageModel:
    """A `gpt2`, which puts nothing before a text, or a `llama`, which puts <s>, in double precision."""
    texts = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))]
    tokenizer = byte_level(texts, 310) if kind == "gpt2" else metaspace(texts, 90)
    size = len(tokenizer)
    if kind == "gpt2":
        network = GPT2LMHeadModel(GPT2Config(vocab_size=size, n_positions=48, n_embd=12, n_layer=2, n_head=2))
    else:
        network = LlamaForCausalLM(LlamaConfig(vocab_size=size, max_position_embeddings=48, **SMALL))
    return HuggingFaceLanguageModel(randomise(network.double(), 3, 0.4), tokenizer, "cpu", contrast=contrast)


def questions(model: HuggingFaceLanguageModel) -> list[Text]:
    """The questions as the model reads them, with tokens to draw from."""
    texts = [model.encode(example) for example in QUESTIONS]
    vocabulary = np.concatenate([text.ids[text.content] for text in texts])
    return [replace(text, vocabulary=vocabulary) for text in texts]


def next_logits(model: HuggingFaceLanguageModel, ids: Sequence[int], seen: Sequence[bool] | None = None) -> np.ndarray:
    """Logits of the whole vocabulary behind these tokens; those that are not seen keep their place."""
    mask = torch.ones(1, len(ids)) if seen is None else torch.tensor([list(map(float, seen))])
    with torch.no_grad():
        found = model.model(
            input_ids=torch.tensor([list(map(int, ids))]),
            attention_mask=mask,
            position_ids=torch.arange(len(ids))[None],
        )
    return found.logits[0, -1].numpy()


def slow_d(model: HuggingFaceLanguageModel, text: Text, gone: Sequence[int], operator: str, draws: np.ndarray) -> list:
    """z_good − z_bad without the tokens at these places, once for each draw of `sample`."""
    ids, gone = list(text.ids), set(gone)
    last = len(ids) - 1
    if operator == "delete":
        left = [token for place, token in enumerate(ids) if place not in gone] or [text.mask_id]
        rows = [next_logits(model, left)]
    elif operator == "attention":  # the last token reads, so it is filled
        if last in gone:
            ids[last] = text.mask_id
        rows = [next_logits(model, ids, [place == last or place not in gone for place in range(len(ids))])]
    else:
        fills = draws if operator == "sample" else [[text.mask_id if operator == "mask" else text.pad_id] * len(ids)]
        rows = [next_logits(model, [f if i in gone else t for i, (t, f) in pairs(ids, fill)]) for fill in fills]
    good, bad = text.candidates
    return [row[good] - row[bad] for row in rows]


def pairs(ids: Sequence[int], fill: Sequence[int]) -> Iterable[tuple[int, tuple[int, int]]]:
    return enumerate(zip(ids, fill, strict=True))
