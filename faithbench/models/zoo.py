"""The named models: a backbone, conventional or B-cos, meant to be fine-tuned on the data set at hand.

Nothing here needs torch: these are descriptions, and `faithbench.training.prepare` makes them real.
"""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.errors import UserError
from faithbench.models.language_zoo import LanguageModel
from faithbench.parameters import check_choice, check_seed
from faithbench.plugins import spec
from faithbench.plugins.naming import ModelRef, refer

LOSSES = ("bce", "ce")
STARTS = ("pretrained", "scratch", "task", "mlm")
TWO_PHASES = ("task", "mlm")
MASKINGS = ("none", "half")


@dataclass(frozen=True)
class Pretraining:
    """How an encoder is made of texts alone: its sizes, and masked language modelling.

    Args:
        layers: number of them; every third attends to all of a text, the others to 128 tokens.
        width: of the states.
        heads: of attention.
        inner: width of the gated MLP.
        vocabulary: pieces at most, of byte-level BPE.
        context: tokens that it reads at most.
        data: spec of the data set whose texts are read.
        limit: pieces that are read, of texts in random order; None for all.
        words: of a piece; longer texts are cut into several.
        epochs: passes over them.
        lr: peak learning rate.
        batch_size: texts a step.
        masked: share of the tokens that are masked.
        seed: of weights, batches and masks.
    """

    layers: int = 6
    width: int = 256
    heads: int = 4
    inner: int = 512
    vocabulary: int = 8192
    context: int = 512
    data: str = "corpus(of='standard_ebooks + imdb + ag_news')"
    limit: int | None = None
    words: int = 90
    epochs: int = 1
    lr: float = 1e-3
    batch_size: int = 64
    masked: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Backbone:
    """Pre-trained weights: a hub id at a pinned revision, or how to make them here.

    Neither (`repo` empty, no `pretraining`): trained from scratch.
    """

    name: str
    repo: str = ""
    revision: str = ""
    lr: float | None = None  # where it is not the data set's
    epochs: int = 5
    pretraining: Pretraining | None = None


BERT = Backbone("bert", "google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594")
ROBERTA = Backbone("roberta", "FacebookAI/roberta-base", "e2da8e2f811d1448a5b465c236feacd80ffbac7b")
DISTILBERT = Backbone("distilbert", "distilbert/distilbert-base-uncased", "12040accade4e8a0f71eabdb258fecc2e7e948be")
MINILM = Backbone("minilm", "sentence-transformers/all-MiniLM-L6-v2", "c9745ed1d9f207416be6d2e6f8de32d1f16199bf")
MODERN = Backbone("modern", lr=1e-4, pretraining=Pretraining())
TINY = Backbone("tiny", lr=2e-3, epochs=4)


@dataclass(frozen=True)
class Conventional:
    """A backbone fine-tuned as it is, with cross-entropy.

    Args:
        seed: of the training run.
        masking: in fine-tuning, `half`: half of each batch as it is, in the other half each content token of a text is
            masked with probability r, r ~ U(0, 1) (arXiv 2310.07819), so that the model knows masks; `none`.
    """

    seed: int = 42
    masking: str = "none"
    backbone: ClassVar[Backbone]
    b: ClassVar[float | None] = None
    added: ClassVar[tuple[str, ...]] = ("masking",)

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_choice("masking", self.masking, MASKINGS)


@dataclass(frozen=True)
class Bcos:
    """A backbone converted to B-cos and fine-tuned with binary cross-entropy.

    Args:
        b: the exponent B.
        qkv: query, key and value projections are B-cos layers too.
        seed: of the training run.
        loss: `bce`, or `ce`: cross-entropy, an ablation.
        biases: keep all biases and the activations of the head, an ablation: explanations are not complete then.
        embedding_bias: keep the bias of the embeddings' LayerNorm, as all conversions did before there was this
            parameter; `biases` keeps it too.
        start: what is converted: the `pretrained` backbone; its architecture with random weights (`scratch`); the
            backbone after fine-tuning (`task`). Or what is fine-tuned: the converted backbone after masked language
            modelling (`mlm`).
        start_epochs: of that fine-tuning or masked language modelling.
        epochs: of the fine-tuning that follows; 0 leaves it to the plan.
        mlm_data: the data set whose training texts are used for masked language modelling; empty: the one at hand.
        masking: in fine-tuning, as of conventional models.
    """

    b: float = 1.5
    qkv: bool = False
    seed: int = 42
    loss: str = "bce"
    biases: bool = False
    start: str = "pretrained"
    start_epochs: int = 0
    epochs: int = 0
    mlm_data: str = ""
    masking: str = "none"
    embedding_bias: bool = False
    backbone: ClassVar[Backbone]
    added: ClassVar[tuple[str, ...]] = ("loss", "biases", "start", "start_epochs", "epochs", "mlm_data", "masking")
    formerly: ClassVar[tuple[tuple[str, object], ...]] = (("embedding_bias", True),)

    def __post_init__(self) -> None:
        object.__setattr__(self, "embedding_bias", self.embedding_bias or self.biases)
        if not self.b >= 1:
            raise UserError(f"b={self.b!r} is not allowed; B-cos needs a number of at least 1.")
        check_seed(self.seed)
        check_choice("loss", self.loss, LOSSES)
        check_choice("start", self.start, STARTS)
        check_choice("masking", self.masking, MASKINGS)
        for name in ("start_epochs", "epochs"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}={getattr(self, name)} is not allowed; it must not be negative.")
        if (self.start in TWO_PHASES) != (self.start_epochs > 0):
            raise UserError(
                f"start={self.start} with start_epochs={self.start_epochs} is not allowed; "
                f"{' and '.join(TWO_PHASES)} need start_epochs of at least 1, the others none."
            )
        if self.mlm_data and self.start != "mlm":
            raise UserError(f"mlm_data={self.mlm_data!r} is only used with start=mlm.")


class ConvBert(Conventional):
    """BERT base, uncased."""

    backbone = BERT


class BcosBert(Bcos):
    """BERT base, uncased, converted to B-cos."""

    backbone = BERT


class ConvRoberta(Conventional):
    """RoBERTa base."""

    backbone = ROBERTA


class BcosRoberta(Bcos):
    """RoBERTa base, converted to B-cos."""

    backbone = ROBERTA


class ConvDistilbert(Conventional):
    """DistilBERT base, uncased."""

    backbone = DISTILBERT


class BcosDistilbert(Bcos):
    """DistilBERT base, uncased, converted to B-cos."""

    backbone = DISTILBERT


class ConvMinilm(Conventional):
    """all-MiniLM-L6-v2: 6 layers, 384 wide."""

    backbone = MINILM


class BcosMinilm(Bcos):
    """all-MiniLM-L6-v2 converted to B-cos."""

    backbone = MINILM


class ConvModern(Conventional):
    """ModernBERT of 6 layers, 256 wide, pre-trained here, once, on books, reviews and news."""

    backbone = MODERN


class BcosModern(Bcos):
    """The same ModernBERT, converted to B-cos."""

    backbone = MODERN


@dataclass(frozen=True)
class ConvTiny(Conventional):
    """2 layers, 64 wide, trained from scratch, on masks too."""

    masking: str = "half"
    backbone = TINY
    added = ()
    formerly: ClassVar[tuple[tuple[str, object], ...]] = (("masking", "none"),)


@dataclass(frozen=True)
class BcosTiny(Bcos):
    """2 B-cos layers, 64 wide, trained from scratch, on masks too."""

    masking: str = "half"
    backbone = TINY
    added = tuple(name for name in Bcos.added if name != "masking")
    formerly = (*Bcos.formerly, ("masking", "none"))


def zoo_model(model: ModelRef) -> spec.Component | None:
    """The model of the zoo that is named; None for a plugin's own, a folder or a hub id."""
    named = model.component
    return named if named and isinstance(named.object, (Conventional, Bcos, LanguageModel)) else None


def is_tiny(model: ModelRef) -> bool:
    """Whether it is a tiny one of the zoo, or a changed form of one."""
    named = zoo_model(model.root)
    if named is None:
        return False
    if isinstance(named.object, LanguageModel):
        return named.object.is_tiny
    return bool(named.object.backbone == TINY)


def conventional(model: ModelRef) -> ModelRef:
    """The conventional model of the same backbone, masked alike, of the usual seed.

    What is no classifier of the zoo stays as it is.
    """
    named = zoo_model(model)
    if named is None or isinstance(named.object, LanguageModel):
        return model
    name, masking = f"conv-{named.object.backbone.name}", named.object.masking
    usual = refer(name)
    alike = usual.component is not None and usual.component.object.masking == masking
    return usual if alike else refer(f"{name}(masking={masking})")
