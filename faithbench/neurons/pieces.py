"""Tokens of a vocabulary as people write them, each made when it is looked at."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import overload

from transformers import PreTrainedTokenizerBase

BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # of vocabularies of SentencePiece
SPACE, SPACE_OF_BYTES = "▁", "Ġ"
PRINTED = (*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1))


def _byte_of_letter() -> dict[str, int]:
    """Which byte each letter of a byte-level vocabulary stands for (GPT-2): itself, or in order from Ā on."""
    others = [byte for byte in range(256) if byte not in PRINTED]
    return {chr(byte): byte for byte in PRINTED} | {chr(256 + place): byte for place, byte in enumerate(others)}


BYTES = _byte_of_letter()


class Pieces(Sequence[str]):
    r"""The tokens of a vocabulary by id, with the spaces in them; bytes that are no whole character as `\xe2`.

    Args:
        tokenizer: whose.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer, self._size = tokenizer, len(tokenizer)
        self._known: dict[int, str] = {}

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...

    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(self[each] for each in range(*place.indices(len(self))))
        number = int(place)
        if not -len(self) <= number < len(self):
            raise IndexError(place)
        if (known := self._known.get(number % len(self))) is None:
            known = self._known[number % len(self)] = self._written(number % len(self))
        return known

    @cached_property
    def _of_bytes(self) -> bool:
        return self._tokenizer.convert_tokens_to_string([SPACE_OF_BYTES]) == " "

    def _written(self, number: int) -> str:
        name = self._tokenizer.convert_ids_to_tokens(number)
        if name is None:
            return ""
        if self._of_bytes and all(letter in BYTES for letter in name):
            return bytes(BYTES[letter] for letter in name).decode(errors="backslashreplace")
        if byte := BYTE.fullmatch(name):
            return bytes([int(byte[1], 16)]).decode(errors="backslashreplace")
        return str(name).replace(SPACE, " ")
