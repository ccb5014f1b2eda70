"""A tiny transformer with random weights, and texts with all that a metric can need, for `check` to try things on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.training.backbones import word_tokenizer
from faithbench.types import Example, Span, Text

SENTENCES = ("a fine film and a good cast", "dull", "not good at all")  # of different lengths, one of a single word
CLASSES = 3
LONGEST = 24  # tokens


def tiny_model() -> HuggingFaceClassifier:
    """Two layers, 16 wide, three classes, in float64; the same whenever it is made."""
    tokenizer = word_tokenizer(SENTENCES, limit=LONGEST)
    config = BertConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        num_labels=CLASSES,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=LONGEST,
    )
    with torch.random.fork_rng(devices=()):
        network = BertForSequenceClassification(config)
    _draw(network)
    return HuggingFaceClassifier(network.eval(), tokenizer, dtype=torch.float64)


def tiny_texts(model: HuggingFaceClassifier) -> list[Text]:
    """The sentences as the model reads them: every other word is evidence and marked by people, halves are segments."""
    return [_marked(model.encode(_example(number, sentence))) for number, sentence in enumerate(SENTENCES)]


def _draw(network: torch.nn.Module, deviation: float = 0.3) -> None:
    """Every parameter at random, gains of norms around 1."""
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            centre = 1.0 if "norm.weight" in name.lower() else 0.0
            parameter.copy_(centre + deviation * torch.randn(parameter.shape, generator=draws))


def _example(number: int, sentence: str) -> Example:
    marked = tuple(_places(sentence.split())[::2])
    return Example(f"text {number + 1}", sentence, number % 2, marked, marked, marked)


def _places(words: Sequence[str]) -> list[Span]:
    """First character and the one behind the last, of words with a space between."""
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    return [(int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True)]


def _marked(text: Text) -> Text:
    """With two segments, of the classes 0 and 1, and what a program could say of the tokens."""
    content = text.content
    degrees = np.where(text.special, 0.0, np.arange(len(text)) % 3 / 2)
    segments = np.full(len(text), -1)
    segments[content] = np.arange(len(content)) * 2 // max(2, len(content))
    return replace(
        text,
        segments=segments,
        segment_classes=(0, 1),
        vocabulary=text.ids[content],
        responsibility=degrees,
        shapley=degrees - 0.25 * ~text.special,
    )
