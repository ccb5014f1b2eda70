"""Rows of a batch as tensors of one length: what transformers' collator makes of them, in a tenth of its time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from faithbench.training.tokenising import IDS, SPECIAL, TYPES, Tokenised


@dataclass(frozen=True)
class Padding:
    """Makes a batch of rows, as `DataCollatorWithPadding` does.

    Args:
        fills: what stands behind a row's end, for each column that may be there.
        left: whether it stands before its beginning.
    """

    fills: Mapping[str, int]
    left: bool = False

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Self:
        """As the tokenizer pads."""
        fills = {IDS: tokenizer.pad_token_id, TYPES: tokenizer.pad_token_type_id, SPECIAL: 1}
        return cls(fills, tokenizer.padding_side == "left")

    def __call__(self, rows: Sequence[Tokenised]) -> dict[str, Tensor]:
        """`attention_mask`, the columns of the rows, and `labels` if they have a `label`."""
        lengths = np.array([len(row[IDS]) for row in rows])
        places = np.arange(lengths.max())
        ends = lengths[:, None]
        visible = places >= lengths.max() - ends if self.left else places < ends
        batch = {"attention_mask": torch.from_numpy(visible.astype(np.int64))}
        for name in (name for name in self.fills if name in rows[0]):
            column: Int[np.ndarray, "rows tokens"] = np.full(visible.shape, self.fills[name], dtype=np.int64)
            column[visible] = np.concatenate([row[name] for row in rows])
            batch[name] = torch.from_numpy(column)
        if "label" in rows[0]:
            batch["labels"] = torch.tensor([row["label"] for row in rows])
        return batch
