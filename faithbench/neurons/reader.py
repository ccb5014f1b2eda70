"""A model as neurons are looked at in it: token ids in, states and next-token logits out, in batches that fit."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from faithbench.errors import UserError, describe
from faithbench.models.batches import memory_errors, onto_device

T = TypeVar("T")
NEEDED = ("model", "tokenizer", "device", "max_length", "forward", "batch_tokens")
WHOLE = 2**23  # logits of whole vocabularies that are held at a time


class Reader:
    """Lets a model read rows of token ids, all as long, without padding.

    Args:
        classifier: a classifier or language model that lets look inside.

    Raises:
        UserError: it does not.
    """

    def __init__(self, classifier: Any) -> None:
        lacking = [name for name in NEEDED if not hasattr(classifier, name)]
        if lacking:
            raise UserError(
                f"{type(classifier).__name__} has no attribute {lacking[0]!r} and lets nobody see its neurons; studies "
                "of neurons need a model of transformers."
            )
        self.classifier = classifier
        self.network: nn.Module = classifier.model
        self.device: torch.device = classifier.device
        self.says_next = bool(getattr(classifier, "next_token", False))
        self._head: Callable[[Tensor], Tensor] | None = classifier.head if self.says_next else None
        self._tokens: int = classifier.batch_tokens
        if self.says_next and self._head is None:  # logits of all tokens are there at once
            self._tokens = min(self._tokens, max(1, WHOLE // self.vocabulary))

    @property
    def vocabulary(self) -> int:
        """Logits of a token."""
        return int(self.network.get_output_embeddings().weight.shape[0])  # type: ignore[operator]

    def ids(self, rows: Int[np.ndarray, "rows tokens"]) -> Int[Tensor, "rows tokens"]:
        """Rows on the device."""
        return onto_device(rows.astype(np.int64), self.device)

    def read(self, ids: Int[Tensor, "rows tokens"]) -> Float[Tensor, "rows tokens _"] | None:
        """The model reads rows; states that `logits` makes logits of, where it is a language model."""
        if self._head is not None:
            states: Tensor = self.classifier.states(ids)
            return states
        if self.says_next:
            logits: Tensor = self.network(input_ids=ids).logits
            return logits
        self.classifier.forward(ids, None, None, True)
        return None

    def logits(self, states: Float[Tensor, "some _"]) -> Float[Tensor, "some vocabulary"]:
        """Next-token logits of states."""
        return states if self._head is None else self._head(states)

    def chunks(self, count: int, most: int = WHOLE) -> Iterator[slice]:
        """So many states in parts, whose logits are no more than that."""
        size = max(1, most // self.vocabulary)
        return (slice(start, start + size) for start in range(0, count, size))

    def batches(self, lengths: Int[np.ndarray, "rows"], answer: Callable[[slice], T]) -> Iterator[T]:
        """Answers of rows in their order, neighbours of one length together; half of them where memory is full.

        Raises:
            UserError: it is full with one row.
        """
        start, ends = 0, np.append(np.flatnonzero(np.diff(lengths)) + 1, len(lengths))
        while start < len(lengths):
            length, end = int(lengths[start]), int(ends[np.searchsorted(ends, start, side="right")])
            stop = min(end, start + max(1, self._tokens // length))
            try:
                with torch.inference_mode(), memory_errors():
                    told = answer(slice(start, stop))
            except MemoryError as error:
                if stop == start + 1:
                    raise UserError(
                        f"memory is full with one row of {length:,} tokens: {describe(error)}; use a smaller model, or "
                        "a machine with more memory."
                    ) from error
                self._tokens = (stop - start) // 2 * length
                continue
            yield told
            start = stop
