"""The named language models: GPT-2 and Llama of any size, conventional or B-cos, trained on texts (no torch here)."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from faithbench.errors import UserError
from faithbench.parameters import check_choice, check_seed
from faithbench.plugins import spec

OPTIMIZERS = ("adamw", "adafactor")
SCHEDULES = ("linear", "cosine", "cosine_with_min_lr")  # transformers' words; the last ends at a tenth
PIECES = ("bpe", "words")
LEARNT = ("gpt2", "crate", "gpt-relu")  # whose positions have parameters
CONVENTIONAL, SCRATCH = "conventional", "scratch"
AT_LEAST_ONE = ("layers", "width", "heads", "kv_heads", "context")
NOT_NEGATIVE = ("feed_forward", "tokens", "epochs")
SMALLEST_VOCABULARY = {"bpe": 257, "words": 3}  # every byte, or a word and what is unknown, and BOS
LARGEST, DEEPEST = 10**10, 1000  # numbers and layers of a model that is made here
SIZES = ("layers", "width", "heads", "kv_heads", "feed_forward", "pieces", "vocabulary")


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model, trained from scratch on the texts of a data set.

    Args:
        layers: number of them.
        width: of the embeddings and states.
        heads: of attention, a divisor of the width.
        feed_forward: width of the MLP inside a layer; 0: four times the width, for Llama 8/3 of it.
        context: tokens that the model reads, and of a block in training.
        pieces: of a text: those of byte-level `bpe` trained on the texts, or whole `words`.
        vocabulary: pieces at most, BOS included.
        data: spec of the data set whose texts it is trained on; empty: what the data set at hand is made of.
        tokens: of the texts, in random order, at most so many are read; 0: all.
        epochs: passes over them; 0 leaves it to the plan (one, if that says nothing; of tiny ones more).
        optimizer: `adamw` or `adafactor`.
        schedule: of the learning rate after its warm-up, `linear`, `cosine` or `cosine_with_min_lr`, which ends at a
            tenth of the peak.
        seed: of weights, texts and batches.
    """

    layers: int = 6
    width: int = 256
    heads: int = 8
    feed_forward: int = 0
    context: int = 128
    pieces: str = "bpe"
    vocabulary: int = 8192
    data: str = ""
    tokens: int = 0
    epochs: int = 0
    optimizer: str = "adamw"
    schedule: str = "linear"
    seed: int = 42
    architecture: ClassVar[str]
    next_token: ClassVar[bool] = True  # answers next-token questions
    is_tiny: ClassVar[bool] = False
    usual_epochs: ClassVar[int] = 1
    weight_decay: ClassVar[float] = 0.0  # of matrices
    adam_beta2: ClassVar[float] = 0.999

    def __post_init__(self) -> None:
        _check_numbers(self)
        check_seed(self.seed)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("pieces", self.pieces, PIECES)
        least = SMALLEST_VOCABULARY[self.pieces]
        if self.vocabulary < least:
            raise UserError(
                f"vocabulary={self.vocabulary} is not allowed; with pieces={self.pieces} it must be at least {least}."
            )

    @property
    def usual_lr(self) -> float:
        """Peak learning rate where nobody says another."""
        return 3e-3

    @property
    def inside(self) -> int:
        """About how many numbers its layers have, and its positions if they are learnt; the vocabulary is not known."""
        learnt = self.context if self.architecture in LEARNT else 0
        return self.layers * self.width * (4 * self.width + 3 * self.inner) + self.width * learnt

    @property
    def inner(self) -> int:
        """Width of the MLP inside a layer."""
        usual = 4 * self.width if self.architecture in LEARNT else -(-8 * self.width // 3 // 32) * 32
        return self.feed_forward or usual


@dataclass(frozen=True)
class BcosLanguageModel(LanguageModel):
    """A causal language model converted to B-cos, and trained on.

    Other fields are those of the conventional model.

    Args:
        b: the exponent B.
        start: what is converted: the `conventional` model of the same sizes, trained on the same texts, which is
            trained first unless it is there; one with random weights (`scratch`); the conventional model of another
            spec, such as `conv-gpt2(tokens=4000000)`; or one in a folder or on the hub. With the last two the sizes
            and the vocabulary are those of what is converted.
    """

    b: float = 1.1
    start: str = CONVENTIONAL
    conventional: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.b >= 1:
            raise UserError(f"b={self.b!r} is not allowed; B-cos needs a number of at least 1.")
        if not self.start.strip():
            raise UserError("start='' is not allowed; use conventional, scratch, a folder or a hub id.")
        if self.has_own_sizes:
            return
        usual = {field.name: field.default for field in fields(self)}
        for name in SIZES:
            if getattr(self, name, None) != usual.get(name):
                raise UserError(
                    f"{name}={getattr(self, name)!r} is not allowed with start={self.start!r}; sizes and vocabulary "
                    "are those of the model that is converted, so leave it out."
                )

    @property
    def has_own_sizes(self) -> bool:
        """Whether its fields say its sizes, rather than a model from elsewhere."""
        return self.start in (CONVENTIONAL, SCRATCH)

    @property
    def usual_lr(self) -> float:
        """Peak learning rate where nobody says another."""
        return super().usual_lr if self.start == SCRATCH else 5e-4

    @property
    def conventional_spec(self) -> str:
        """The spec of the conventional model of the same fields."""
        said: dict[str, Any] = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        shared = {name: value for name, (value, usual) in said.items() if value != usual and name not in ("b", "start")}
        return spec.write(self.conventional, shared)


@dataclass(frozen=True)
class ConvGPT2(LanguageModel):
    """GPT-2 of 6.9 million parameters."""

    architecture = "gpt2"


@dataclass(frozen=True)
class BcosGPT2(BcosLanguageModel):
    """GPT-2 of 6.9 million parameters, converted to B-cos."""

    architecture = "gpt2"
    conventional = "conv-gpt2"


@dataclass(frozen=True)
class ConvLlama(LanguageModel):
    """Llama of 6.5 million parameters.

    Args:
        kv_heads: heads of keys and values, a divisor of the heads.
    """

    kv_heads: int = 4
    architecture = "llama"


@dataclass(frozen=True)
class BcosLlama(BcosLanguageModel):
    """Llama of 6.5 million parameters, converted to B-cos.

    Args:
        kv_heads: heads of keys and values, a divisor of the heads.
    """

    kv_heads: int = 4
    architecture = "llama"
    conventional = "conv-llama"


@dataclass(frozen=True)
class Tiny:
    """The sizes of the tiny ones."""

    layers: int = 2
    width: int = 64
    heads: int = 4
    context: int = 32
    pieces: str = "words"
    vocabulary: int = 5000
    is_tiny: ClassVar[bool] = True


@dataclass(frozen=True)
class ConvGPT2Tiny(Tiny, ConvGPT2):
    """GPT-2 of 2 layers, 64 wide, that reads whole words."""

    usual_epochs = 2


@dataclass(frozen=True)
class BcosGPT2Tiny(Tiny, BcosGPT2):
    """GPT-2 of 2 layers, 64 wide, that reads whole words, converted to B-cos."""

    conventional = "conv-gpt2-tiny"


@dataclass(frozen=True)
class ConvLlamaTiny(Tiny, ConvLlama):
    """Llama of 2 layers, 64 wide, that reads whole words."""

    kv_heads: int = 2
    usual_epochs = 2


@dataclass(frozen=True)
class BcosLlamaTiny(Tiny, BcosLlama):
    """Llama of 2 layers, 64 wide, that reads whole words, converted to B-cos."""

    kv_heads: int = 2
    conventional = "conv-llama-tiny"


def _check_numbers(model: LanguageModel) -> None:
    """Raises a UserError for sizes that no model has."""
    for names, least in ((AT_LEAST_ONE, 1), (NOT_NEGATIVE, 0)):
        for name in names:
            if getattr(model, name, least) < least:
                raise UserError(f"{name}={getattr(model, name)} is not allowed; it must be at least {least}.")
    if model.tokens == 1:
        raise UserError("tokens=1 is not allowed; nothing follows one token: use 0 for all, or at least 2.")
    if model.layers > DEEPEST or model.inside > LARGEST:
        raise UserError(
            f"layers={model.layers}, width={model.width}, feed_forward={model.feed_forward} and "
            f"context={model.context} are not allowed together; a model here has at most {LARGEST:,} numbers in at "
            f"most {DEEPEST:,} layers."
        )
    if model.context < 2:
        raise UserError(f"context={model.context} is not allowed; it must be at least 2.")
    for whole, part in (("width", "heads"), ("heads", "kv_heads")):
        if getattr(model, whole) % getattr(model, part, 1):
            raise UserError(
                f"{part}={getattr(model, part)} is not allowed with {whole}={getattr(model, whole)}; "
                "it must be a divisor of it."
            )
    if model.architecture == "llama" and model.width // model.heads % 2:
        raise UserError(
            f"heads={model.heads} is not allowed with width={model.width}; a head of Llama must be of even width, "
            "since its positions turn pairs."
        )
