"""Texts as language models are trained on them: token ids in one row, BOS before each text, cut into blocks."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins.spec import Component
from faithbench.training.trainer import IGNORED
from faithbench.types import Example

AT_A_TIME = 1000  # texts that are tokenised together
LONGEST = 256  # tokens of a block that a finished model reads, at most


@dataclass(frozen=True)
class Blocks(Dataset[dict[str, Tensor]]):
    """Blocks of a row of tokens; every token but the first is predicted once, from those before it in its block.

    The last block is filled up with a token that is not predicted.

    Args:
        ids: of the row.
        length: tokens of a block.
    """

    ids: Int[np.ndarray, "tokens"]
    length: int

    def __len__(self) -> int:
        return math.ceil((len(self.ids) - 1) / self.length)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """The ids of a block, and for each the one that follows."""
        start = number * self.length
        window = self.ids[start : start + self.length + 1]
        inputs, labels = np.full(self.length, self.ids[0], np.int64), np.full(self.length, IGNORED, np.int64)
        inputs[: len(window) - 1], labels[: len(window) - 1] = window[:-1], window[1:]
        return {"input_ids": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}


def separator(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token before each text and behind the last: BOS, or EOS of tokenizers that have no BOS.

    Raises:
        UserError: it has neither.
    """
    found = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    number = next((each for each in found if each is not None), None)
    if number is None:
        raise UserError("the tokenizer has no BOS and no EOS to put between texts; a language model needs one.")
    return int(number)


def written(example: Example) -> str:
    """The text of a row; of a pair both, with a line break between."""
    return example.text if example.pair is None else f"{example.text}\n{example.pair}"


def in_random_order(examples: Sequence[Example], seed: int) -> Iterable[str]:
    """The texts, so that the first of them are a sample of all."""
    return (written(examples[i]) for i in np.random.default_rng(seed).permutation(len(examples)))


def row_of(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, tokens: int = 0) -> Int[np.ndarray, "tokens"]:
    """The ids of texts one after another, each behind a separator, and a last separator.

    Args:
        texts: which; read as far as they are needed.
        tokenizer: the model's.
        tokens: at most so many of them are kept; 0: all.
    """
    between, parts, count = separator(tokenizer), list[Int[np.ndarray, "_"]](), 0
    rest = iter(texts)
    while some := list(islice(rest, AT_A_TIME)):
        encoded = tokenizer(some, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        parts.append(np.fromiter(chain.from_iterable([between, *ids] for ids in encoded), np.int32))
        count += len(parts[-1])
        if tokens and count >= tokens:
            break
    row: Int[np.ndarray, "tokens"] = np.concatenate([*parts, np.array([between], np.int32)])
    return row[: tokens or None]


def whole_blocks(
    dataset: Component, split: str, classifier: HuggingFaceClassifier, tokens: int, seed: int = 0
) -> Blocks:
    """Texts in random order as a finished model reads them, in blocks of its context that are all full.

    Args:
        dataset: whose.
        split: of it.
        classifier: the model.
        tokens: at most.
        seed: of the order.

    Raises:
        UserError: there are too few texts for one block.
    """
    rows = [row for row in dataset.object.load(split) if row.text.strip()]
    length = min(classifier.max_length, LONGEST)
    row = row_of(in_random_order(rows, seed), classifier.tokenizer, tokens + 1)
    if len(row) <= length:
        raise UserError(
            f"the {split} split of {dataset.identity} is too short: it has {len(row):,} tokens, and a block of the "
            f"model has {length}."
        )
    return Blocks(row[: (len(row) - 1) // length * length + 1], length)
