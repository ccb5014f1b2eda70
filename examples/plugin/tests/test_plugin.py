"""The contract on a tiny model, and closed forms on one that adds up what its tokens say."""

import math

import numpy as np
import pytest
import torch
from faithbench_example.kept_alone import KeptAlone
from faithbench_example.sign_agreement import SignAgreement
from transformers import BertConfig, BertForSequenceClassification

import faithbench
from faithbench.conformance import check_explainer, check_metric
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.training.backbones import word_tokenizer
from faithbench.types import Attribution, Example, Target

SENTENCES = ("a fine film and a good cast", "dull", "a good film it is not")
WEIGHTS = np.array([9.0, 2.0, -1.0, 0.0, 9.0])  # of five tokens, the first and last of which are special


@pytest.fixture(scope="module")
def classifier() -> HuggingFaceClassifier:
    """A transformer with random weights, in double precision."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer(list(SENTENCES), limit=20)
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=20, initializer_range=0.5, **shape)
    return HuggingFaceClassifier(BertForSequenceClassification(config).eval(), tokenizer, dtype=torch.float64)


@pytest.fixture(scope="module")
def texts(classifier):
    return [classifier.encode(Example(f"text {i}", sentence, 0)) for i, sentence in enumerate(SENTENCES)]


@pytest.fixture(scope="module")
def three_words(classifier):
    return classifier.encode(Example("three words", "good dull film", 0))


def answered(asking):
    """What a component comes to when a model whose logit of class 1 is Σ WEIGHTS of what is kept answers it."""
    question = next(asking)
    logits = np.stack([np.zeros(len(question.keep)), question.keep @ WEIGHTS], axis=1)
    with pytest.raises(StopIteration) as end:
        asking.send(logits)
    return end.value.value


def test_the_explainer_keeps_the_contract(classifier, texts):
    assert check_explainer(KeptAlone(), classifier, texts) is None


def test_the_metric_keeps_the_contract(classifier, texts):
    assert check_metric(SignAgreement(), classifier, texts) is None


def test_the_package_passes_the_check():
    checked = faithbench.check("faithbench-example")
    assert [each.name for each in checked.components] == ["kept_alone", "sign_agreement"]
    assert checked.passed


def test_tokens_of_a_sum_score_their_weights(three_words):
    assert answered(KeptAlone()(three_words, Target(1))).scores.tolist() == [0, 2, -1, 0, 0]


@pytest.mark.parametrize(
    ("scores", "value"), [([2, -1, 0], 100), ([5, 1, 0], 200 / 3), ([-1, 0, 1], 0), ([0, -3, 9], 100 / 3)]
)
def test_directions_are_counted_by_what_tokens_do(scores, value, three_words):
    attribution = Attribution("three words", Target(1), np.array([0.0, *scores, 0.0]))
    assert answered(SignAgreement()(three_words, attribution)).value == pytest.approx(value)


def test_without_an_effect_there_is_no_value(three_words):
    attribution = Attribution("three words", Target(0), np.ones(5))  # the logit of class 0 is always 0
    assert math.isnan(answered(SignAgreement()(three_words, attribution)).value)


def test_faithbench_finds_both_by_their_entry_points():
    origins = {(row.kind, row.name): row.origin for row in faithbench.components()}
    assert origins["explainer", "kept_alone"] == origins["metric", "sign_agreement"] == "faithbench-example 0.1.0"
