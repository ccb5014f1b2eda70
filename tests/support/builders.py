"""What tests are made of: tiny transformers with random weights, texts, and a linear model with known answers."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from faithbench.answering.engine import Engine
from faithbench.bcos import convert
from faithbench.conversations import ask, together
from faithbench.interfaces import Classifier
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.questions import HIDDEN, Gradient, Point, Row
from faithbench.tasks import CLASSIFICATION, Task
from faithbench.training.backbones import word_tokenizer
from faithbench.types import Attribution, Example, Target, Text

KINDS = ("bert", "roberta", "distilbert")
WORDS = (
    "a tale told in toil and tears is not a dull one said an old lion at noon too late to land in a lost boat".split()
)
LENGTH = 40  # tokens that a tiny model can read


def tiny_tokenizer() -> PreTrainedTokenizerBase:
    """One token for each of `WORDS`; [PAD] is 0."""
    return word_tokenizer([" ".join(WORDS)], limit=LENGTH)


def tiny_network(kind: str, classes: int = 2, seed: int = 0, **options: Any) -> PreTrainedModel:
    """A transformer of 2 layers, 2 heads and width 16, all of whose weights are random: norms and biases too."""
    tokenizer = tiny_tokenizer()
    common = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "num_labels": classes}
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    if kind == "bert":
        config = BertConfig(**{**common, **shape, "max_position_embeddings": LENGTH, **options})
        network = BertForSequenceClassification(config)
    elif kind == "roberta":
        positions = LENGTH + tokenizer.pad_token_id + 1  # its positions begin after the padding index
        types = {"max_position_embeddings": positions, "type_vocab_size": 1}
        network = RobertaForSequenceClassification(RobertaConfig(**{**common, **shape, **types, **options}))
    elif kind == "distilbert":
        shape = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": LENGTH}
        network = DistilBertForSequenceClassification(DistilBertConfig(**{**common, **shape, **options}))
    else:
        raise ValueError(f"kind={kind!r} is not allowed; use {', '.join(KINDS)}.")
    return randomise(network, seed)


def randomise(network: PreTrainedModel, seed: int, std: float = 0.3) -> PreTrainedModel:
    """Draws every parameter anew: N(0, std), gains of norms around 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            centre = 1.0 if "norm.weight" in name.lower() else 0.0
            parameter.copy_(centre + std * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def tiny_classifier(
    kind: str,
    bcos_b: float | None = None,
    classes: int = 2,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    **options: Any,
) -> HuggingFaceClassifier:
    """A `tiny_network` behind the adapter, converted to B-cos first unless `bcos_b` is None."""
    network = tiny_network(kind, classes, seed, **options)
    if bcos_b is not None:
        network = convert(network, bcos_b)
    return HuggingFaceClassifier(network, tiny_tokenizer(), dtype=dtype)


def shared_classifier(kind: str, *args: Any, **options: Any) -> HuggingFaceClassifier:
    """A `tiny_classifier`, made once: for tests that leave it as they found it, which is checked."""
    classifier, before = _made_once(kind, *args, **options)
    assert _state(classifier) == before, "an earlier test changed a classifier that is shared."
    return classifier


@functools.cache
def _made_once(kind: str, *args: Any, **options: Any) -> tuple[HuggingFaceClassifier, tuple[str, ...]]:
    classifier = tiny_classifier(kind, *args, **options)
    return classifier, _state(classifier)


def _state(classifier: HuggingFaceClassifier) -> tuple[str, ...]:
    return classifier.fingerprint(), classifier.model.config._attn_implementation


def random_texts(classifier: Classifier, lengths: Sequence[int] = (5, 1, 9, 3, 5), seed: int = 0) -> list[Text]:
    """Encoded texts of so many random words each; a random half of the words, at least one, is evidence.

    Another half is the rationale, the evidence what most annotators marked, and the two halves are segments.
    """
    generator = np.random.default_rng(seed)
    texts = []
    for i, length in enumerate(lengths):
        words = [str(word) for word in generator.choice(sorted(set(WORDS)), length)]
        ends = np.cumsum([len(word) + 1 for word in words]) - 1
        chosen = generator.permutation(length)[: max(1, length // 2)]
        spans = [(int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True)]
        marked = tuple(spans[j] for j in chosen)
        others = tuple(spans[::2])
        example = Example(f"{seed}-{i}", " ".join(words), i % 2, marked, others, marked)
        texts.append(with_segments(classifier.encode(example)))
    return texts


def with_segments(text: Text) -> Text:
    """The text as a document of two segments, of the classes 0 and 1, without a separator.

    It has a vocabulary too, and what a program could say of its tokens.
    """
    degrees = np.where(text.special, 0.0, np.arange(len(text)) % 3 / 2)
    text = replace(text, responsibility=degrees, shapley=degrees - 0.25 * ~text.special)
    segments = np.full(len(text), -1)
    segments[text.content] = np.arange(len(text.content)) * 2 // max(2, len(text.content))
    return replace(text, segments=segments, segment_classes=(0, 1), vocabulary=text.ids[text.content])


def text(
    ids: Sequence[int],
    special: Sequence[int] = (0, -1),
    mask_id: int = 0,
    evidence: Sequence[int] | None = None,
    name: str = "text",
) -> Text:
    """A text of given token ids; `special` and `evidence` are positions. With evidence it has all that metrics need."""
    marked = None if evidence is None else _at(evidence, len(ids))
    one = Text(
        id=name,
        ids=np.array(ids, dtype=np.int64),
        special=_at(special, len(ids)),
        words=np.where(_at(special, len(ids)), -1, np.arange(len(ids)) - 1),
        tokens=tuple(map(str, ids)),
        mask_id=mask_id,
        evidence=marked,
        rationale=marked,
        rationale_majority=marked,
    )
    return one if evidence is None else with_segments(one)


def _at(positions: Sequence[int], length: int) -> np.ndarray:
    flags = np.zeros(length, dtype=bool)
    flags[list(positions)] = True
    return flags


def attribution(text: Text, scores: Sequence[float], target: int = 0) -> Attribution:
    """An attribution with these scores."""
    return Attribution(text.id, Target.of(target), np.array(scores, dtype=np.float64))


def points(rows: Sequence[np.ndarray], targets: Sequence[int]) -> list[Point]:
    """Where the rows themselves are, each with a target."""
    return [Point(Row(row), Target(target)) for row, target in zip(rows, targets, strict=True)]


def answers(model: Classifier, asking: Any, batch_tokens: int | None = None) -> Any:
    """What a component comes to when the engine answers its questions; raises what it raised, as a RuntimeError."""
    (answer,) = all_answers(model, [asking], batch_tokens)
    return answer


def all_answers(model: Classifier, askings: Iterable[Any], batch_tokens: int | None = None) -> list[Any]:
    """The same of many that ask side by side: rows that several want are run once."""
    cells = {i: ask(lambda asking=asking: asking) for i, asking in enumerate(askings)}
    (outcomes,) = Engine(model, batch_tokens).run([together(cells)])
    for outcome in outcomes.values():
        if outcome.error is not None:
            raise RuntimeError(outcome.error)
    return [outcomes[i].value for i in cells]


@dataclass(frozen=True)
class LinearModel:
    """A bag of words: logits = Σ_t table[id_t] @ weights + bias. Its attention is uniform.

    Occlusion scores (table[id] − table[mask]) @ weights, input × gradient table[id] @ weights, saliency
    Σ_d |weights[d]|; the frozen gradient is the plain one, short of the logit by the bias.
    """

    weights: Float[np.ndarray, "d classes"]
    table: Float[np.ndarray, "vocabulary d"]
    bias: Float[np.ndarray, "classes"]
    mask_id: int = 0
    batch_tokens: int = 64
    gradient_cost: int = 4
    task: Task = CLASSIFICATION
    reads_embeddings: bool = True

    @classmethod
    def one_hot(cls, weights: Sequence[Sequence[float]], bias: Sequence[float] = (0.0, 0.0)) -> "LinearModel":
        """A weight for each token id and class; id 0 is the mask token."""
        table = np.array(weights, dtype=np.float64)
        return cls(table, np.eye(len(table)), np.array(bias, dtype=np.float64))

    @classmethod
    def binary(cls, weights: Sequence[float], bias: float = 0.0) -> "LinearModel":
        """Class 1 has probability sigmoid(Σ_t weights[id_t] + bias); the logit of class 0 is 0."""
        return cls.one_hot([(0.0, weight) for weight in weights], (0.0, bias))

    @classmethod
    def random(cls, vocabulary: int = 12, d: int = 4, classes: int = 3, seed: int = 0) -> "LinearModel":
        """A model with random embeddings, weights and bias."""
        g = np.random.default_rng(seed)
        return cls(g.normal(size=(d, classes)), g.normal(size=(vocabulary, d)), g.normal(size=classes))

    class_names: ClassVar[tuple[str, ...]] = ()

    @property
    def classes(self) -> int:
        return self.weights.shape[1]

    def encode(self, example: Example) -> Text:
        """Each word is a number: its token id, 1 for the two special tokens around."""
        ids = [1, *(int(word) for word in example.text.split()), 1]
        return text(ids, mask_id=self.mask_id, name=example.id)

    def logits(self, rows: Sequence[Row]) -> Float[np.ndarray, "rows outputs"]:
        return np.stack([self._logits(row) for row in rows])

    def _logits(self, row: Row) -> Float[np.ndarray, "outputs"]:
        embeddings = self.table[row.ids[row.ids != HIDDEN]] if row.embeddings is None else row.embeddings
        logits = embeddings.sum(axis=0) @ self.weights + self.bias
        return logits if row.outputs is None else logits[list(row.outputs)]

    def embed(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "tokens d"]]:
        return [self.table[row.ids] for row in rows]

    def gradients(self, points: Sequence[Point], rules: str) -> list[Gradient]:
        return [self.gradient(point) for point in points]

    def gradient(self, point: Point) -> Gradient:
        ids, target = point.row.ids, point.target
        outputs = list(range(self.classes) if point.row.outputs is None else point.row.outputs)
        own, base = self.table[ids], self.table[point.fill]
        embeddings = own if point.interpolation is None else base + point.interpolation[:, None] * (own - base)
        values = (embeddings.sum(axis=0) @ self.weights + self.bias)[outputs]
        slope, value = self.weights[:, outputs[target.output]], values[target.output]
        if target.against is not None:
            slope, value = slope - self.weights[:, outputs[target.against]], value - values[target.against]
        return Gradient(embeddings, np.tile(slope, (len(embeddings), 1)), float(value))

    def attentions(self, rows: Sequence[Row]) -> list[Float[np.ndarray, "1 1 tokens tokens"]]:
        return [np.full((1, 1, len(row.ids), len(row.ids)), 1 / len(row.ids)) for row in rows]

    def fingerprint(self) -> str:
        return repr((self.weights.tolist(), self.table.tolist(), self.bias.tolist()))


EXACT = {"rtol": 0, "atol": 1e-10}


def one(question: object) -> Iterator[object]:
    return (yield question)
