"""Is an input in a model's distribution? Uniform p-values where it is, small ones where it is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import WORDS, tiny_classifier, tiny_network, tiny_tokenizer
from checkpoints import report
from fixtures_run import checkpoint, trained_cache, use_cache
from scipy.stats import combine_pvalues, kstest

from faithbench.errors import UserError
from faithbench.models.distribution import activations, check_distribution, summary, text_activations
from faithbench.statistics.distribution import Distribution, _two_sided, _upper, fisher, simes
from faithbench.types import Example

RULES = pytest.mark.parametrize(("features", "layers"), [("fisher", "simes"), ("simes", "fisher")])


def drawn(inputs: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Activations of 4 layers of 20 features that hang together: 3 common causes, and noise; skewed."""
    mixing = np.random.default_rng(0).normal(size=(3, 4, 20))
    generator = np.random.default_rng([1, seed])
    common = np.einsum("ic,clf->ilf", generator.normal(size=(inputs, 3)), mixing)
    return np.exp(0.3 * (shift + scale * (common + generator.normal(size=(inputs, 4, 20)))))


@RULES
def test_p_values_of_held_out_inputs_of_the_distribution_are_uniform(features, layers):
    found = [Distribution(drawn(300, s), features, layers).p_values(drawn(50, 1000 + s)) for s in range(40)]
    p = np.concatenate(found)
    assert kstest(p, "uniform").statistic < 0.05  # p-values of one reference hang together
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.02)


@RULES
@pytest.mark.parametrize("change", [{"shift": 6.0}, {"scale": 3.0}])
def test_inputs_from_elsewhere_are_told(change, features, layers):
    p = Distribution(drawn(600, 1), features, layers).p_values(drawn(100, 2, **change))
    assert summary(p)["outside"] > 60
    assert summary(p)["median_p"] < 0.05


def test_one_layer_that_is_unusual_is_seen():
    activations = drawn(200, 2)
    activations[:, 2] = drawn(200, 3, shift=8.0)[:, 2]
    distribution = Distribution(drawn(600, 1))
    assert summary(distribution.p_values(activations))["outside"] > 80
    assert summary(distribution.p_values(drawn(200, 2)))["outside"] < 12


def test_the_rules_equal_those_of_another_library_and_a_slow_version():
    p = np.random.default_rng(0).random((5, 7))
    for row, one, other in zip(p, fisher(p), simes(p), strict=True):
        assert one == pytest.approx(combine_pvalues(row, "fisher").statistic)
        assert -other == pytest.approx(min(7 / (i + 1) * value for i, value in enumerate(sorted(row))))


def test_shares_count_ties_on_both_sides_and_the_new_value_itself():
    known = np.array([[1.0], [2.0], [2.0], [3.0]])
    assert _upper(known, np.array([[2.0], [3.5], [0.0]]))[:, 0].tolist() == [4 / 5, 1 / 5, 1.0]
    assert _two_sided(known, np.array([[2.0], [3.5], [0.0]]))[:, 0].tolist() == [1.0, 2 / 5, 2 / 5]


def test_a_p_value_is_never_zero_and_of_the_least_reference_not_small():
    assert Distribution(drawn(30, 0)).p_values(drawn(5, 1, shift=50)).tolist() == [1 / 11] * 5


def test_too_few_inputs_and_unknown_rules_are_one_sentence():
    with pytest.raises(UserError, match="30 reference inputs at least; there are 29"):
        Distribution(drawn(29, 0))
    with pytest.raises(ValueError, match="layers='mean' is not allowed; use fisher or simes"):
        Distribution(drawn(30, 0), layers="mean")


def test_activations_are_the_largest_over_the_tokens_without_padding():
    network, tokenizer = tiny_network("bert"), tiny_tokenizer()
    texts = ["a lion", "tears and toil and a boat too late"]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    found = activations(network, [{name: batch[name] for name in ("input_ids", "attention_mask")}])
    assert found.shape == (2, 3, 16)
    for text, own in zip(texts, found, strict=True):
        with torch.no_grad():
            states = network(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        expected = np.stack([state[0].amax(0).numpy() for state in states])
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_masks_whose_vector_is_unlike_those_of_words_are_told_from_usual_texts(kind):
    classifier, generator = tiny_classifier(kind), np.random.default_rng(0)
    with torch.no_grad():
        classifier.model.get_input_embeddings().weight[classifier.blank.id] = torch.linspace(-20, 20, 16) ** 3
    sentences = [" ".join(generator.choice(WORDS, 8)) for _ in range(250)]
    texts = [classifier.encode(Example(str(i), sentence, 0)) for i, sentence in enumerate(sentences)]
    same = check_distribution(classifier, texts[:200], texts[200:])
    strange = [replace(text, ids=np.where(text.special, text.ids, text.mask_id)) for text in texts[200:]]
    assert summary(same)["outside"] < 20
    assert summary(check_distribution(classifier, texts[:200], strange))["outside"] > 90
    assert text_activations(classifier, texts[:2]).shape[:2] == (2, 3)


@pytest.mark.parametrize("model", ["conv-tiny", "bcos-tiny"])
def test_the_report_of_a_training_on_masks_says_whether_masked_texts_are_in_the_distribution(model, monkeypatch):
    use_cache(monkeypatch, trained_cache())
    told = report(checkpoint(model))["distribution"]
    assert (told["reference"], told["texts"]) == (100, 40)
    assert list(told["masked"]) == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    for found in told["masked"].values():
        assert 0 <= found["outside"] <= 100
        assert 0 < found["median_p"] <= 1
    assert told["masked"]["0.4"]["outside"] < 30
