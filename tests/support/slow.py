"""Slow versions of taking tokens away: one row at a time, by the torch model itself, in double precision."""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from faithbench_metrics.perturbation.operators import replacements

from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.types import Attribution, Text


def slow_logits(classifier: HuggingFaceClassifier, text: Text, gone: Sequence[int], operator: str) -> np.ndarray:
    """Logits of the text without the tokens at these positions, a row for each draw."""
    if operator == "sample":
        return np.concatenate([replaced(classifier, text, gone, list(row)) for row in replacements(text)])
    if operator in ("mask", "pad"):
        return replaced(classifier, text, gone, [text.mask_id if operator == "mask" else text.pad_id] * len(text))
    if operator == "attention":
        return run(classifier, text.ids.tolist(), [int(t not in gone) for t in range(len(text))])
    left = [int(text.ids[t]) for t in range(len(text)) if t not in gone]
    return run(classifier, left, [1] * len(left))


def replaced(classifier, text: Text, gone: Sequence[int], fill: Sequence[int]) -> np.ndarray:
    ids = [int(fill[t]) if t in gone else int(text.ids[t]) for t in range(len(text))]
    return run(classifier, ids, [1] * len(ids))


def run(classifier: HuggingFaceClassifier, ids: Sequence[int], attention: Sequence[int]) -> np.ndarray:
    """One row, with an explicit attention mask and explicit positions."""
    config = classifier.model.config
    first = config.pad_token_id + 1 if config.model_type == "roberta" else 0
    positions = (
        {} if config.model_type == "distilbert" else {"position_ids": torch.arange(first, first + len(ids))[None]}
    )
    with torch.no_grad():
        found = classifier.model(
            input_ids=torch.tensor([list(ids)]), attention_mask=torch.tensor([list(attention)]), **positions
        )
    return found.logits.double().numpy()


def slow_chances(classifier: HuggingFaceClassifier, text: Text, gone: Sequence[int], operator: str) -> np.ndarray:
    """Softmax probabilities of all classes, the mean over draws."""
    powers = np.exp(slow_logits(classifier, text, gone, operator))
    return (powers / powers.sum(axis=1, keepdims=True)).mean(axis=0)


def slow_ranking(text: Text, scores: Sequence[float]) -> list[int]:
    """Content positions, highest score first, ties by position."""
    return sorted((t for t in range(len(text)) if not text.special[t]), key=lambda t: (-scores[t], t))


def all_orders(text: Text, target: int) -> list[Attribution]:
    """The scores 1 … n of the content tokens in each order; special tokens have more than all."""
    found = []
    for order in itertools.permutations(range(1, len(text.content) + 1)):
        scores = np.full(len(text), 99.0)
        scores[text.content] = order
        found.append(Attribution(text.id, target, scores))
    return found
