"""The named white-box models: CRATE (arXiv 2410.16443) and its baseline, GPT-2 with ReLU, of the published sizes.

They read 1,024 tokens of a vocabulary of 50,304 there, and were trained on about 157 billion tokens of the Pile. Here
both are parameters, by default 128 and 8,192, and the texts are those of a data set (no torch here).
"""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.models.language_zoo import LanguageModel, Tiny
from faithbench.parameters import check_choice

DECODINGS = ("shared", "decoupled")  # of codes


@dataclass(frozen=True)
class WhiteBoxRecipe:
    """Sizes and training of the models of arXiv 2410.16443.

    Args:
        context: tokens that the model reads, and of a block in training; published are 1,024.
        vocabulary: pieces at most, BOS included; published are 50,304.
        data: spec of the data set whose texts it is trained on; empty: what the data set at hand is made of. Published
            is the Pile.
        tokens: of the texts, in random order, at most so many are read; 0: all. Published are about 157 billion.
    """

    layers: int = 2
    width: int = 128
    heads: int = 4
    schedule: str = "cosine_with_min_lr"
    weight_decay: ClassVar[float] = 0.1
    adam_beta2: ClassVar[float] = 0.95

    @property
    def usual_lr(self) -> float:
        """Peak learning rate where nobody says another."""
        return 6e-4


@dataclass(frozen=True)
class Crate(WhiteBoxRecipe, LanguageModel):
    """White-box CRATE: subspace attention, and codes of a dictionary, which are its neurons.

    Args:
        decode: `shared`, by the dictionary that encodes, or `decoupled`, by a second one.
        residual: whether the codes' half of a block has a residual connection, too (CRATE-α).
    """

    decode: str = "shared"
    residual: bool = False
    architecture = "crate"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("decode", self.decode, DECODINGS)


@dataclass(frozen=True)
class GPTRelu(WhiteBoxRecipe, LanguageModel):
    """GPT-2 without biases and with ReLU: the baseline of CRATE, trained alike."""

    architecture = "gpt-relu"


@dataclass(frozen=True)
class OneLayer:
    """Of one layer."""

    layers: int = 1


@dataclass(frozen=True)
class ThreeLayers:
    """Of three layers."""

    layers: int = 3


@dataclass(frozen=True)
class SixLayers:
    """Of six layers, 768 wide."""

    layers: int = 6
    width: int = 768
    heads: int = 12


@dataclass(frozen=True)
class TwelveLayers(SixLayers):
    """Of twelve layers, 768 wide."""

    layers: int = 12


@dataclass(frozen=True)
class Crate1(OneLayer, Crate):
    """White-box CRATE of one layer, 128 wide."""


@dataclass(frozen=True)
class Crate2(Crate):
    """White-box CRATE of two layers, 128 wide."""


@dataclass(frozen=True)
class Crate3(ThreeLayers, Crate):
    """White-box CRATE of three layers, 128 wide."""


@dataclass(frozen=True)
class Crate6(SixLayers, Crate):
    """White-box CRATE of six layers, 768 wide."""


@dataclass(frozen=True)
class Crate12(TwelveLayers, Crate):
    """White-box CRATE of twelve layers, 768 wide."""


@dataclass(frozen=True)
class GPTRelu1(OneLayer, GPTRelu):
    """GPT-2 without biases, of one layer, 128 wide: the baseline of CRATE."""


@dataclass(frozen=True)
class GPTRelu2(GPTRelu):
    """GPT-2 without biases, of two layers, 128 wide: the baseline of CRATE."""


@dataclass(frozen=True)
class GPTRelu3(ThreeLayers, GPTRelu):
    """GPT-2 without biases, of three layers, 128 wide: the baseline of CRATE."""


@dataclass(frozen=True)
class GPTRelu6(SixLayers, GPTRelu):
    """GPT-2 without biases, of six layers, 768 wide: the baseline of CRATE."""


@dataclass(frozen=True)
class GPTRelu12(TwelveLayers, GPTRelu):
    """GPT-2 without biases, of twelve layers, 768 wide: the baseline of CRATE."""


@dataclass(frozen=True)
class TinyRecipe(Tiny):
    """The sizes of the tiny ones, and a training of a minute."""

    usual_epochs: ClassVar[int] = 2

    @property
    def usual_lr(self) -> float:
        """Peak learning rate where nobody says another."""
        return 3e-3


@dataclass(frozen=True)
class CrateTiny(TinyRecipe, Crate):
    """White-box CRATE of 2 layers, 64 wide, that reads whole words."""


@dataclass(frozen=True)
class GPTReluTiny(TinyRecipe, GPTRelu):
    """GPT-2 without biases, of 2 layers, 64 wide, that reads whole words: the baseline of CRATE."""
