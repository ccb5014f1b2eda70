"""How a language model goes on with a text: greedily, token by token, each with the runner-up.

Every step is a next-token question of its own: the text so far, and two candidates, the likeliest token and the next.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from faithbench.errors import UserError
from faithbench.models.batches import memory_errors, to_numpy
from faithbench.models.candidates import tokens_said
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.types import Example, Text

INCOMPLETE = "\ufffd"  # what stands for bytes that are no character yet


@dataclass(frozen=True, eq=False)
class Step:
    """A token that a model puts behind a text.

    Args:
        text: all before the token, with the token and the runner-up for candidates.
        names: of the two, for people.
        chances: the probabilities of the two among all tokens.
        ends: whether the token ends the text.
    """

    text: Text
    names: tuple[str, str]
    chances: tuple[float, float]
    ends: bool = False


def next_step(model: HuggingFaceLanguageModel, example: Example) -> Step:
    """The model's own next token behind a text, and the runner-up.

    Raises:
        UserError: the text is empty or too long.
    """
    return _step(model, model.begin(example))


def steps(model: HuggingFaceLanguageModel, example: Example, count: int) -> Iterator[Step]:
    """So many tokens with which the model goes on with a text, the likeliest each time; fewer where it ends the text.

    Raises:
        UserError: the text is empty, or it and what is to follow are too long.
    """
    text = model.begin(example)
    if len(text) + count - 1 > model.max_length:
        room = model.max_length + 1 - len(text)
        raise UserError(
            f"text {example.id!r} has {tokens_said(len(text), int(text.special.sum()))}, and the model reads "
            f"{model.max_length:,}: there is no room for {count:,} more; generate {room:,} or fewer."
        )
    for number in range(count):
        step = _step(model, replace(text, id=f"{example.id} +{number}"))
        yield step
        if step.ends:
            return
        text = behind(model.tokenizer, text, _first(step.text))


def behind(tokenizer: PreTrainedTokenizerBase, text: Text, token: int) -> Text:
    """A text with a token behind it: its characters are what decoding adds."""
    ids = np.append(text.ids, token)
    piece = _added(tokenizer, text.ids.tolist(), token)
    start, source = len(text.source), text.source + piece
    is_new = not piece or piece[0].isspace() or not text.source or not _one_word(text.source[-1], piece[0])
    word = int(text.words.max(initial=-1)) + (1 if is_new else 0)
    offsets = None if text.offsets is None else np.append(text.offsets, [[start, len(source)]], axis=0)
    return replace(
        text,
        ids=ids,
        special=np.append(text.special, False),
        words=np.append(text.words, word),
        tokens=(*text.tokens, str(tokenizer.convert_ids_to_tokens(token))),
        source=source,
        offsets=offsets,
        types=None if text.types is None else np.append(text.types, text.types[-1]),
        evidence=None,
        rationale=None,
        rationale_majority=None,
        responsibility=None,
        shapley=None,
        read=len(ids) - 1,
        candidates=None,
    )


def continuation_of(tokenizer: PreTrainedTokenizerBase, run: Sequence[Step]) -> str:
    """What a model has said, as text, without the token that ends a text."""
    last, start = run[-1], len(run[0].text.source)
    text = last.text if last.ends else behind(tokenizer, last.text, _first(last.text))
    return text.source[start:]


def named_candidates(tokenizer: PreTrainedTokenizerBase, text: Text) -> tuple[str, str]:
    """How people are told of a text's two candidates: `sleep`, or `“.”` where that is no word."""
    first, second = text.candidates or (0, 0)
    pieces = [_spelled(tokenizer, token) for token in (first, second)]
    names = [_name(piece) for piece in pieces]
    if names[0] == names[1]:
        names = [f"“{piece}”" for piece in pieces]
    if names[0] == names[1]:
        names = [f"{name} (token {token})" for name, token in zip(names, (first, second), strict=True)]
    return names[0], names[1]


def whole_words(tokenizer: PreTrainedTokenizerBase, text: Text, words: Sequence[str | None]) -> bool:
    """Whether the candidates of a question are its two continuations, whole, and not their first differing pieces."""
    pieces = (_spelled(tokenizer, token).strip() for token in text.candidates or ())
    return all(piece == (word or "").strip() for piece, word in zip(pieces, words, strict=True))


def _step(model: HuggingFaceLanguageModel, text: Text) -> Step:
    with torch.inference_mode(), memory_errors():
        ids, types = model.inputs_of(text)
        chances = to_numpy(model.forward(ids, types)[0].double().softmax(-1))
    if not np.isfinite(chances).all():
        raise UserError(f"text {text.id!r} has no next token: the model's logits are not finite.")
    first, second = (int(token) for token in np.argsort(-chances, kind="stable")[:2])
    asked = replace(text, candidates=(first, second), label=0)
    shares = (float(chances[first]), float(chances[second]))
    return Step(asked, named_candidates(model.tokenizer, asked), shares, first in _ends(model))


def _first(text: Text) -> int:
    assert text.candidates is not None
    return text.candidates[0]


def _ends(model: HuggingFaceLanguageModel) -> set[int]:
    """The tokens that end a text, by the model's configurations and the tokenizer."""
    told = [getattr(each, "eos_token_id", None) for each in (model.model.config, model.model.generation_config)]
    found = {model.tokenizer.eos_token_id}
    for each in told:
        found.update(each if isinstance(each, (list, tuple)) else [each])
    return found - {None}


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The characters of tokens, without a last one of which bytes are missing."""
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False)).rstrip(INCOMPLETE)


def _added(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], token: int) -> str:
    """What a token adds to the characters of those before it; nothing where its bytes are no whole character yet."""
    before, after = _decoded(tokenizer, ids), _decoded(tokenizer, [*ids, token])
    return after[len(before) :] if after.startswith(before) else _decoded(tokenizer, [token])


def _spelled(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """The characters of a token; bytes that are no character as `<0xE2>`, all else as the vocabulary writes it."""
    piece = _decoded(tokenizer, [token])
    if piece and INCOMPLETE not in piece:
        return piece
    return as_bytes(str(tokenizer.convert_ids_to_tokens(token)))


def as_bytes(written: str) -> str:
    """A token of a byte-level vocabulary, if its bytes are no characters; any other as it is."""
    numbers = _byte_numbers()
    if not numbers.keys() >= set(written):
        return written
    read = bytes(numbers[letter] for letter in written)
    try:
        read.decode()
    except UnicodeDecodeError:
        return "".join(f"<0x{number:02X}>" for number in read)
    return written


@cache
def _byte_numbers() -> dict[str, int]:
    """The bytes that the letters of a byte-level vocabulary stand for: those that can be printed for themselves."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [number for number in range(256) if number not in printed]
    return {chr(number): number for number in printed} | {chr(256 + n): number for n, number in enumerate(others)}


def _name(piece: str) -> str:
    word = piece.strip()
    return word if word and (word[0].isalnum() or word[0] == "<") else f"“{word or piece}”"


def _one_word(before: str, after: str) -> bool:
    """Whether two letters next to each other are of one word: both letters or digits, or both neither."""
    return not before.isspace() and before.isalnum() == after.isalnum()
