"""A causal language model on this machine that goes on with prompts and says digits."""

import inspect
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from transformers import GenerationConfig

from faithbench.errors import UserError

LOADER = "faithbench.training.writers:load_writer"  # of a room that describers do not import
DIGITS = "0123456789"
WRITTEN = 40  # tokens that a completion has at most


class LocalModel:
    """A language model and its tokenizer.

    Args:
        network: a causal language model of transformers, in evaluation mode.
        tokenizer: its own.
        limit: tokens that it reads.
        name: as people call it.
    """

    def __init__(self, network: Any, tokenizer: Any, limit: int, name: str) -> None:
        self.network, self.tokenizer, self.limit, self.name = network, tokenizer, limit, name

    def complete(self, prompt: str) -> str:
        """What the model goes on with, the likeliest token each time.

        Raises:
            ValueError: the prompt is too long.
        """
        ids = self._opening(prompt)
        self._check_length(len(ids), WRITTEN)
        rows = torch.tensor([ids], device=self.network.device)
        ends = self.tokenizer.eos_token_id
        settings = GenerationConfig(do_sample=False, num_beams=1, max_new_tokens=WRITTEN, pad_token_id=ends or 0)
        with torch.inference_mode():
            written = self.network.generate(rows, attention_mask=torch.ones_like(rows), generation_config=settings)
        said: str = self.tokenizer.decode(written[0, len(ids) :], skip_special_tokens=True)
        return said

    def expected_digits(self, parts: Sequence[str]) -> Float[np.ndarray, "parts"]:
        """The expectation of the digit that would follow each part of a text, among the ten digits, 0 to 9.

        Args:
            parts: of one text, in order; each is made tokens of by itself, so that it is known where it ends.

        Raises:
            ValueError: digits are no single tokens, or the text is too long.
        """
        digits = self.digits
        pieces = [self._opening(parts[0]), *map(self._tokens, parts[1:])]
        ends = np.cumsum([len(piece) for piece in pieces]) - 1
        ids = [token for piece in pieces for token in piece]
        self._check_length(len(ids))
        chances = torch.softmax(self._logits(ids, ends)[:, digits].double(), dim=-1).cpu().numpy()
        return chances @ np.arange(len(DIGITS), dtype=np.float64)

    @cached_property
    def digits(self) -> list[int]:
        """The tokens of the digits, behind a tab.

        Raises:
            ValueError: they are no single tokens.
        """
        tab = self._tokens("\t")
        behind = [self._tokens(f"\t{digit}") for digit in DIGITS]
        last = [ids[-1] for ids in behind if ids and ids[:-1] == tab]
        if len(set(last)) < len(DIGITS) or self.tokenizer.unk_token_id in last:
            raise ValueError(f"the tokenizer of {self.name} has no single token for each digit; take another model")
        return last

    def _opening(self, text: str) -> list[int]:
        """The tokens of a text with what stands before a text, and not what ends one."""
        read = self.tokenizer(text, return_special_tokens_mask=True)
        ids, special = read["input_ids"], read["special_tokens_mask"]
        while special and special[-1]:
            ids, special = ids[:-1], special[:-1]
        return list(ids)

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _check_length(self, count: int, more: int = 0) -> None:
        if count + more > self.limit:
            room = f" less {more} for its answer" if more else ""
            raise ValueError(
                f"the prompt has {count:,} tokens and {self.name} reads {self.limit:,}{room}; take a model with a "
                "longer context, fewer windows in llm(windows=…), or a shorter window of the data set"
            )

    def _logits(self, ids: Sequence[int], places: np.ndarray) -> torch.Tensor:
        """What the model says behind some places."""
        rows, kept = torch.tensor([ids], device=self.network.device), torch.from_numpy(places)
        chosen = "logits_to_keep" in inspect.signature(self.network.forward).parameters
        options = {"logits_to_keep": kept.to(self.network.device)} if chosen else {}
        with torch.inference_mode():
            logits: torch.Tensor = self.network(input_ids=rows, use_cache=False, **options).logits[0]
        return logits if chosen else logits[kept.to(logits.device)]


@lru_cache(maxsize=1)
def local_model(name: str, dtype: str) -> LocalModel:
    """The model of a name, loaded once a process.

    Args:
        name: folder, hub id or spec.
        dtype: in which it computes.

    Raises:
        UserError: there is none, or it cannot be used.
    """
    network, tokenizer, limit = resolve_name(LOADER)(name, dtype)
    model = LocalModel(network, tokenizer, limit, name)
    try:
        _ = model.digits
    except ValueError as error:
        raise UserError(f"model={name!r} is not allowed; {error}.") from error
    return model
