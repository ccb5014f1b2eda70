"""Does a tokenizer belong to a model? And the tokens that stand for nothing: padding, and what is taken away."""

from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from faithbench.errors import UserError

FILLS = ("mask", "unk", "pad", "eos", "bos")  # in the order in which they are taken
UNLIMITED = 10**6  # what tokenizers without a limit say is larger
USUAL_LENGTH = 512


@dataclass(frozen=True)
class Blank:
    """The token that stands in the place of those that are taken away.

    Args:
        id: of the token.
        token: as it is written.
        is_mask: whether it is the mask token.
        asked: whether somebody has said that it be this one.
    """

    id: int
    token: str
    is_mask: bool
    asked: bool = False

    @property
    def note(self) -> str:
        """A sentence where it is not the mask token; else ""."""
        if self.is_mask:
            return ""
        reason = "as was asked for" if self.asked else "for want of a mask token; fill=… takes another"
        return f"tokens that are taken away are replaced by {self.token!r}, {reason}"


def check_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Whether a tokenizer is usable and its tokens are among the model's embeddings.

    Raises:
        UserError: not so.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(f"tokenizer {type(tokenizer).__name__} is a slow one; faithbench needs a fast tokenizer.")
    special = set(tokenizer.all_special_ids)
    vocabulary = tokenizer.get_vocab()
    if special.issuperset(vocabulary.values()):
        raise UserError(
            "the tokenizer has no words, since its files are not beside the model; save it there with "
            "tokenizer.save_pretrained(folder)."
        )
    rows = _embedding_rows(model)
    beyond = [token for token, number in vocabulary.items() if number >= rows and number not in special]
    if beyond:
        raise UserError(
            f"the tokenizer has {len(beyond)} tokens beyond the model's {rows} embeddings ({min(beyond)!r}); take "
            "the tokenizer that the model was trained with, or resize the model and train it."
        )


def blank_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, fill: str | None = None) -> Blank:
    """The token that stands in the place of others.

    Args:
        model: whose embeddings must have it.
        tokenizer: whose.
        fill: one of `FILLS`, or a token; None for the first that there is.

    Raises:
        UserError: there is no such token.
    """
    rows = _embedding_rows(model)
    numbers = {name: getattr(tokenizer, f"{name}_token_id", None) for name in FILLS}
    usable = {name: number for name, number in numbers.items() if number is not None and number < rows}
    if fill is not None:
        number = usable.get(fill) if fill in FILLS else tokenizer.get_vocab().get(fill)
        if number is None:
            raise UserError(f"fill={fill!r} is not allowed; the tokenizer has {', '.join(usable)} and its tokens.")
    elif usable:
        number = next(iter(usable.values()))
    else:
        raise UserError(
            "the tokenizer has no mask token and no other special one; say with fill=… which token stands for others."
        )
    token = str(tokenizer.convert_ids_to_tokens(int(number)))
    return Blank(int(number), token, number == usable.get("mask"), fill is not None)


def padding_id(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, blank: Blank) -> int:
    """The padding token; where there is none that the model has an embedding of, the blank."""
    pad = tokenizer.pad_token_id
    return int(pad) if pad is not None and pad < _embedding_rows(model) else blank.id


def positions_of(model: PreTrainedModel, first_position: int) -> int | None:
    """How many tokens a model has positions for; None where their number has no end."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(positions) - first_position if positions and positions > 0 else None


def longest(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, first_position: int
) -> tuple[int, tuple[str, ...]]:
    """How many tokens a model reads, and a sentence where nobody says.

    Args:
        model: which.
        tokenizer: its own limit counts too.
        first_position: the number of the first place.
    """
    positions = positions_of(model, first_position)
    limits = [] if positions is None else [positions]
    if tokenizer.model_max_length < UNLIMITED:
        limits.append(int(tokenizer.model_max_length))
    if limits:
        return min(limits), ()
    return USUAL_LENGTH, (
        f"neither model nor tokenizer says how long a text may be; it is cut to {USUAL_LENGTH} tokens",
    )


def _embedding_rows(model: PreTrainedModel) -> int:
    return int(model.get_input_embeddings().weight.shape[0])
