"""Logits of converted models against specs/bcos.md, sections 1 and 2, a number at a time; which biases are gone."""

import json
import math

import numpy as np
import pytest
import torch
from builders import KINDS, tiny_network, tiny_tokenizer
from jaxtyping import Float
from transformers import PreTrainedModel

from faithbench.bcos.convert import convert
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.training.checkpoint import load
from faithbench.training.loading import load_classifier

EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
EXPONENTS = pytest.mark.parametrize("b", [1.0, 1.25, 1.5, 2.0, 2.5])
IDS = [2, 17, 30, 9, 31, 22, 3]
HEADS = 2

Vector = Float[np.ndarray, "d"]
NAMES = {
    "bert": (
        "bert.embeddings.",
        "bert.encoder.layer.{}.attention.self.query bert.encoder.layer.{}.attention.self.key "
        "bert.encoder.layer.{}.attention.self.value bert.encoder.layer.{}.attention.output.dense "
        "bert.encoder.layer.{}.attention.output.LayerNorm bert.encoder.layer.{}.intermediate.dense "
        "bert.encoder.layer.{}.output.dense bert.encoder.layer.{}.output.LayerNorm",
        ("bert.pooler.dense", "classifier"),
    ),
    "distilbert": (
        "distilbert.embeddings.",
        "distilbert.transformer.layer.{}.attention.q_lin distilbert.transformer.layer.{}.attention.k_lin "
        "distilbert.transformer.layer.{}.attention.v_lin distilbert.transformer.layer.{}.attention.out_lin "
        "distilbert.transformer.layer.{}.sa_layer_norm distilbert.transformer.layer.{}.ffn.lin1 "
        "distilbert.transformer.layer.{}.ffn.lin2 distilbert.transformer.layer.{}.output_layer_norm",
        ("pre_classifier", "classifier"),
    ),
}
NAMES["roberta"] = (
    NAMES["bert"][0].replace("bert", "roberta"),
    NAMES["bert"][1].replace("bert", "roberta"),
    ("classifier.dense", "classifier.out_proj"),
)


class Reference:
    """The B-cos form of a conventional model, from its weights alone."""

    def __init__(self, network: PreTrainedModel, b: float, embedding_bias: bool) -> None:
        self.kind, self.b, self.embedding_bias = network.config.model_type, b, embedding_bias
        self.weights = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
        self.eps = getattr(network.config, "layer_norm_eps", 1e-12)
        self.first, self.layer, self.head = NAMES[self.kind]
        self.pad = network.config.pad_token_id

    def logits(self, ids: list[int]) -> Vector:
        states = [self.embedding(token, place) for place, token in enumerate(ids)]
        for number in range(2):
            states = self.layer_of(states, [name.format(number) for name in self.layer.split()])
        dense, out = self.head
        return self.bcos(out, self.bcos(dense, states[0]))

    def embedding(self, token: int, place: int) -> Vector:
        position = place + self.pad + 1 if self.kind == "roberta" else place
        total = self.weights[f"{self.first}word_embeddings.weight"][token]
        total = total + self.weights[f"{self.first}position_embeddings.weight"][position]
        if self.kind != "distilbert":
            total = total + self.weights[f"{self.first}token_type_embeddings.weight"][0]
        normed = self.norm(f"{self.first}LayerNorm", total)
        return normed + self.weights[f"{self.first}LayerNorm.bias"] if self.embedding_bias else normed

    def layer_of(self, states: list[Vector], names: list[str]) -> list[Vector]:
        query, key, value, mix, mix_norm, expand, contract, norm = names
        queries, keys, values = ([self.weights[f"{n}.weight"] @ x for x in states] for n in (query, key, value))
        width = len(states[0]) // HEADS
        out = []
        for t, state in enumerate(states):
            mixed = np.zeros_like(state)
            for head in range(HEADS):
                own = slice(head * width, (head + 1) * width)
                scores = [math.exp(queries[t][own] @ each[own] / math.sqrt(width)) for each in keys]
                for score, each in zip(scores, values, strict=True):
                    mixed[own] += score / math.fsum(scores) * each[own]
            middle = self.norm(mix_norm, state + self.bcos(mix, mixed))
            inner = np.array([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in self.bcos(expand, middle)])
            out.append(self.norm(norm, middle + self.bcos(contract, inner)))
        return out

    def norm(self, name: str, x: Vector) -> Vector:
        """LayerNorm without bias."""
        mean = math.fsum(x) / len(x)
        variance = math.fsum((v - mean) ** 2 for v in x) / len(x)
        return (x - mean) / math.sqrt(variance + self.eps) * self.weights[f"{name}.weight"]

    def bcos(self, name: str, x: Vector) -> Vector:
        """Section 1: unit rows, no bias, the dynamic weight scale."""
        outputs = []
        length = math.sqrt(math.fsum(v * v for v in x) + 1e-6)
        for row in self.weights[f"{name}.weight"]:
            o = float(row @ x) / math.sqrt(math.fsum(w * w for w in row))
            outputs.append(o if self.b == 1 else (abs(o / length) + 1e-6) ** (self.b - 1) * o)
        return np.array(outputs)


def logits(network: PreTrainedModel) -> Vector:
    with torch.no_grad():
        return network.double().eval()(input_ids=torch.tensor([IDS])).logits[0].numpy()


@EXPONENTS
@EVERY_KIND
def test_converted_logits_are_those_of_the_specification(kind, b):
    network = tiny_network(kind).double()
    expected = Reference(network, b, embedding_bias=False).logits(IDS)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(logits(convert(network, b)), expected, rtol=0, atol=1e-12 * scale)
    kept = logits(convert(network, b, embedding_bias=True))
    np.testing.assert_allclose(kept, Reference(network, b, True).logits(IDS), rtol=0, atol=1e-12 * np.abs(kept).max())
    assert np.abs(kept - expected).max() > 0.03 * scale


@EVERY_KIND
def test_a_checkpoint_whose_settings_do_not_speak_of_the_bias_was_made_with_it(kind, tmp_path):
    network = tiny_network(kind).double()
    old = convert(network, embedding_bias=True)
    assert old.config.bcos == {"b": 1.5, "qkv": False}  # as conversion always wrote it
    assert any(name.endswith("embeddings.LayerNorm.bias") for name in old.state_dict())
    old.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert "embedding_bias" not in (tmp_path / "config.json").read_text()
    found = load(tmp_path)
    assert found.config.bcos == old.config.bcos
    expected = Reference(network, 1.5, embedding_bias=True).logits(IDS)
    np.testing.assert_allclose(logits(found), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    read = load_classifier(str(tmp_path), "cpu", "float64").classifier
    assert read.fingerprint() == HuggingFaceClassifier(old, tiny_tokenizer(), dtype=torch.float64).fingerprint()


@EVERY_KIND
def test_a_new_checkpoint_says_that_the_bias_is_gone(kind, tmp_path):
    network = convert(tiny_network(kind).double(), 2.0)
    network.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["bcos"] == {
        "b": 2.0,
        "qkv": False,
        "embedding_bias": False,
    }
    found = load(tmp_path)
    assert found.config.bcos == network.config.bcos
    np.testing.assert_array_equal(logits(found), logits(network))


@EVERY_KIND
def test_with_all_biases_kept_that_of_the_embeddings_is_too(kind):
    network = tiny_network(kind)
    kept = convert(network, biases=True)
    name = f"{kind}.embeddings.LayerNorm.bias"
    assert torch.equal(kept.state_dict()[name], network.state_dict()[name])
    assert kept.config.bcos == {"b": 1.5, "qkv": False, "biases": True}


def test_two_conversions_are_two_models():
    classifiers = [
        HuggingFaceClassifier(convert(tiny_network("bert"), embedding_bias=kept), tiny_tokenizer())
        for kept in (False, True)
    ]
    assert len({each.fingerprint() for each in classifiers}) == 2


def test_a_setting_that_is_no_truth_value_is_refused(tmp_path):
    convert(tiny_network("bert")).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"embedding_bias": false', '"embedding_bias": "no"'))
    with pytest.raises(UserError, match="embedding_bias"):
        load_classifier(str(tmp_path), "cpu", "float32")
