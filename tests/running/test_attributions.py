"""The notebook's road: `faithbench.attribute`, and the package's public names."""

from pathlib import Path

import numpy as np
import pytest
import torch
from builders import WORDS, tiny_classifier, tiny_network, tiny_tokenizer
from places import minilm
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import faithbench
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.questions import Row
from faithbench.types import Example

TEXTS = ["a dull tale", "an old lion is not a lost boat", "noon"]


def test_every_public_name_is_there():
    assert all(getattr(faithbench, name) is not None for name in faithbench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'explain_everything'"):
        _ = faithbench.explain_everything


def test_attribute_explains_the_predicted_class_in_the_order_given():
    classifier = tiny_classifier("bert", bcos_b=1.5)
    found = faithbench.attribute(classifier, TEXTS)
    for text, attribution in zip(TEXTS, found, strict=True):
        encoded = classifier.encode(Example("x", text, 0))
        logits = classifier.logits([Row(encoded.ids)])[0]
        assert attribution.tokens == ("[CLS]", *text.split(), "[SEP]")
        assert attribution.target == logits.argmax()
        assert attribution.scores.sum() == pytest.approx(logits.max(), rel=1e-5)


def test_attribute_explains_a_class_that_is_asked_for():
    classifier = tiny_classifier("bert", bcos_b=1.5, classes=3)
    for target in range(3):
        assert {a.target for a in faithbench.attribute(classifier, TEXTS, target=target)} == {target}


def test_attribute_takes_a_transformers_model_in_memory():
    network = tiny_network("distilbert")
    found = faithbench.attribute(network, TEXTS, "occlusion", tokenizer=tiny_tokenizer(), device="cpu")
    assert [len(a.scores) for a in found] == [len(text.split()) + 2 for text in TEXTS]


def test_attribute_takes_a_saved_folder(tmp_path: Path):
    network = tiny_network("roberta")
    converted = faithbench.bcos.convert(network, b=2.0)
    converted.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    saved = faithbench.attribute(str(tmp_path), TEXTS, device="cpu")
    memory = faithbench.attribute(converted, TEXTS, tokenizer=tiny_tokenizer(), device="cpu")
    for a, b in zip(saved, memory, strict=True):
        np.testing.assert_array_equal(a.scores, b.scores)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"explainer": "occlusoin"}, "did you mean occlusion"),
        ({"target": 2}, "target=2 is not allowed; the model has classes 0 to 1"),
        ({"texts": ["a tale", ""]}, r"texts\[1\] cannot be explained: its text is empty"),
        ({"model": "conv-tiny"}, "is fine-tuned for a data set; say for which"),
    ],
)
def test_mistakes_are_one_sentence(arguments: dict, sentence: str):
    defaults = {"model": tiny_classifier("bert"), "texts": TEXTS}
    with pytest.raises(UserError, match=sentence):
        faithbench.attribute(**{**defaults, **arguments})


def test_a_model_in_memory_without_its_tokenizer_is_a_mistake():
    with pytest.raises(UserError, match="needs its tokenizer"):
        faithbench.attribute(tiny_network("bert"), TEXTS)


@pytest.mark.slow
def test_real_weights_convert_and_explain_themselves_exactly():
    folder = minilm()
    torch.manual_seed(0)
    network = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [" ".join(WORDS), "It was not a dull tale.", "Unbelievably well-acted!"]
    for b in (1.0, 1.5, 2.0):
        classifier = HuggingFaceClassifier(faithbench.bcos.convert(network, b=b), tokenizer, "cpu")
        for attribution in faithbench.attribute(classifier, texts, target=1):
            gap = abs(attribution.notes["completeness_gap"])
            # against Σ|a|: a random head's logit can be near 0, where "relative to the logit" says nothing
            assert gap <= 1e-5 * np.abs(attribution.scores).sum(), (b, attribution.tokens)


def test_the_adapter_gives_the_logits_of_transformers_own_pipeline():
    folder = minilm()
    torch.manual_seed(0)
    network = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classifier = HuggingFaceClassifier(network, tokenizer, "cpu")
    for text in ("It was not a dull tale.", "Unbelievably well-acted!"):
        with torch.no_grad():
            expected = network(**tokenizer(text, return_tensors="pt")).logits[0].numpy()
        rows = [classifier.encode(Example("x", text, 0)).ids, classifier.encode(Example("y", "short", 0)).ids]
        np.testing.assert_allclose(classifier.logits([Row(row) for row in rows])[0], expected, rtol=1e-4, atol=1e-6)
