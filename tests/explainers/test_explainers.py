"""Every explainer against a slow version of its definition, against captum, and against a linear model."""

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, random_texts, shared_classifier, text, tiny_classifier
from captum import attr
from faithbench_explainers.attention import Attention, rollout
from faithbench_explainers.bcos import Bcos
from faithbench_explainers.input_x_gradient import InputXGradient
from faithbench_explainers.occlusion import Occlusion
from faithbench_explainers.random import Random
from faithbench_explainers.saliency import Saliency
from scipy import stats
from slow_transformer import (
    MODELS,
    PRECISIONS,
    TOLERANCE,
    SlowTransformer,
    assert_close,
    slow_gradient,
    slow_logits,
    torch_embeddings,
    torch_logits_from_embeddings,
)
from torch import Tensor


@pytest.mark.slow
@MODELS
@PRECISIONS
def test_slow_transformer_is_the_model(kind, b, dtype):
    classifier = shared_classifier(kind, b, dtype=dtype)
    for one in random_texts(classifier):
        slow = SlowTransformer(classifier)
        logits, _ = slow.forward(slow.embeddings(one))
        assert_close(slow_logits(classifier, one.ids), logits.value[0].numpy(), dtype)


@MODELS
@PRECISIONS
def test_attention_is_the_mean_attention_of_the_first_token(kind, b, dtype):
    classifier = shared_classifier(kind, b, dtype=dtype)
    for one in random_texts(classifier):
        slow = SlowTransformer(classifier)
        _, layers = slow.forward(slow.embeddings(one))
        expected = sum(layer[head, 0] for layer in layers for head in range(2)) / 4
        assert_close(answers(classifier, Attention()(one, 1)).scores, expected.numpy(), dtype)


@MODELS
@PRECISIONS
def test_attention_rollout_multiplies_layers_with_residuals(kind, b, dtype):
    classifier = shared_classifier(kind, b, dtype=dtype)
    for one in random_texts(classifier):
        slow = SlowTransformer(classifier)
        _, layers = slow.forward(slow.embeddings(one))
        first, second = ((layer[0] + layer[1]) / 2 for layer in layers)
        identity = torch.eye(len(one)).double()
        expected = (second + identity) / 2 @ ((first + identity) / 2)  # rows of attention sum to 1
        assert_close(answers(classifier, Attention("rollout")(one, 1)).scores, expected[0].numpy(), dtype)


def test_attention_is_what_transformers_shows():
    classifier = tiny_classifier("bert", 1.5)
    one = random_texts(classifier)[2]
    scores = answers(classifier, Attention()(one, 0)).scores
    eager = tiny_classifier("bert", 1.5, attn_implementation="eager")
    shown = eager.model(input_ids=torch.from_numpy(one.ids)[None], output_attentions=True).attentions
    assert_close(scores, torch.stack(shown).mean(dim=(0, 1, 2))[0].numpy(), torch.float32)


def test_rollout_normalises_rows_that_do_not_sum_to_one():
    layers = np.array([[[3.0, 0.0], [1.0, 1.0]], [[0.0, 1.0], [2.0, 0.0]]])
    first, second = np.array([[1, 0], [1 / 3, 2 / 3]]), np.array([[1 / 2, 1 / 2], [2 / 3, 1 / 3]])
    np.testing.assert_allclose(rollout(layers), second @ first, rtol=1e-12)


def test_rollout_of_uniform_attention_in_closed_form():
    model, one = LinearModel.random(), text([1, 5, 6, 7, 1])
    scores = answers(model, Attention("rollout")(one, 0)).scores  # one layer: (1/n + identity) / 2
    np.testing.assert_allclose(scores, [0.6, 0.1, 0.1, 0.1, 0.1], rtol=1e-12)


def test_attention_refuses_a_variant_by_name_and_value():
    with pytest.raises(ValueError, match="variant='grad' is not allowed; use raw or rollout or flow or max_path"):
        Attention("grad")


@pytest.mark.slow
@MODELS
@PRECISIONS
def test_saliency_is_the_l1_norm_of_the_gradient(kind, b, dtype):
    classifier = shared_classifier(kind, b, classes=3, dtype=dtype)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        _, gradient = slow_gradient(classifier, one, target)
        assert_close(answers(classifier, Saliency()(one, target)).scores, np.abs(gradient).sum(-1), dtype)


@MODELS
@PRECISIONS
def test_input_x_gradient_is_the_product_with_nothing_frozen(kind, b, dtype):
    classifier = shared_classifier(kind, b, classes=3, dtype=dtype)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        embeddings, gradient = slow_gradient(classifier, one, target)
        products = embeddings * gradient
        scores = answers(classifier, InputXGradient()(one, target)).scores
        rounding = TOLERANCE[dtype] * np.abs(products).sum(-1).max()  # of sums whose terms may cancel
        assert np.abs(scores - products.sum(-1)).max() <= rounding


def test_gradient_agrees_with_finite_differences():
    classifier = shared_classifier("bert", 1.5, dtype=torch.float64)
    one = random_texts(classifier)[0]
    forward, point = torch_logits_from_embeddings(classifier, one.ids), torch_embeddings(classifier, one.ids)
    step = 1e-6
    moved = [step * unit for unit in torch.eye(len(one)).double()[:, None, :, None]]  # one token's embedding scaled
    slopes = [(forward(point * (1 + up)) - forward(point * (1 - up)))[0, 1] / (2 * step) for up in moved]
    scores = answers(classifier, InputXGradient()(one, 1)).scores
    np.testing.assert_allclose(scores, torch.stack(slopes).numpy(), atol=1e-7 * np.abs(scores).max(), rtol=0)


@MODELS
@PRECISIONS
def test_occlusion_is_the_fall_of_the_logit_one_masked_text_at_a_time(kind, b, dtype):
    classifier = shared_classifier(kind, b, classes=3, dtype=dtype)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        full, expected = slow_logits(classifier, one.ids)[target], np.zeros(len(one))
        for position in range(1, len(one) - 1):
            masked = one.ids.copy()
            masked[position] = classifier.tokenizer.mask_token_id
            expected[position] = full - slow_logits(classifier, masked)[target]
        found = answers(classifier, Occlusion()(one, target)).scores
        assert found[0] == found[-1] == 0
        assert np.abs(found - expected).max() <= TOLERANCE[dtype] * np.abs(full)


@pytest.mark.slow
@PRECISIONS
@pytest.mark.parametrize("b", [1.0, 1.25, 1.5, 2.0])
@pytest.mark.parametrize("kind", KINDS)
def test_bcos_explanation_is_the_product_of_the_dynamic_matrices(kind, b, dtype):
    classifier = shared_classifier(kind, b, classes=3, dtype=dtype)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        slow = SlowTransformer(classifier)
        embeddings = slow.embeddings(one)
        logits, _ = slow.forward(embeddings)
        torch.testing.assert_close(logits.slope[0] @ embeddings.flatten(), logits.value[0])  # W(x) x is the logit
        shares = (logits.slope[0, target].reshape(embeddings.shape) * embeddings).sum(-1)
        found = answers(classifier, Bcos()(one, target))
        assert_close(found.scores, shares.numpy(), dtype)
        assert abs(found.notes["completeness_gap"]) <= TOLERANCE[dtype] * np.abs(found.scores).max()


@PRECISIONS
@pytest.mark.parametrize("kind", KINDS)
def test_bcos_extraction_from_a_conventional_model_keeps_biases_and_head(kind, dtype):
    classifier = shared_classifier(kind, None, classes=3, dtype=dtype)
    for target, one in enumerate(random_texts(classifier, (4, 1, 9))):
        slow = SlowTransformer(classifier)
        embeddings = slow.embeddings(one)
        logits, _ = slow.forward(embeddings)
        shares = (logits.slope[0, target].reshape(embeddings.shape) * embeddings).sum(-1)
        found = answers(classifier, Bcos()(one, target))
        assert_close(found.scores, shares.numpy(), dtype)
        gap = float(logits.value[0, target] - shares.sum())
        assert found.notes["completeness_gap"] == pytest.approx(gap, rel=1e-4)


@pytest.mark.parametrize("b", [None, 1.5])
def test_captum_agrees_on_saliency_and_input_x_gradient(b):
    classifier = shared_classifier("roberta", b, dtype=torch.float64)
    for one in random_texts(classifier):
        forward = torch_logits_from_embeddings(classifier, one.ids)
        point = torch_embeddings(classifier, one.ids).requires_grad_()
        saliency = attr.Saliency(forward).attribute(point, target=1)[0].sum(-1)
        product = attr.InputXGradient(forward).attribute(point, target=1)[0].sum(-1)
        assert_close(answers(classifier, Saliency()(one, 1)).scores, saliency.detach().numpy(), torch.float64)
        assert_close(answers(classifier, InputXGradient()(one, 1)).scores, product.detach().numpy(), torch.float64)


@pytest.mark.parametrize("b", [None, 1.5])
def test_captum_agrees_on_occlusion(b):
    classifier = shared_classifier("distilbert", b, dtype=torch.float64)

    def forward(ids: Tensor) -> Tensor:
        return classifier.model(input_ids=ids).logits

    for one in random_texts(classifier):
        ids = torch.from_numpy(one.ids)[None]
        ablated = attr.FeatureAblation(forward).attribute(ids, baselines=one.mask_id, target=1)[0]
        occluded = attr.Occlusion(forward).attribute(ids, (1,), baselines=one.mask_id, target=1)[0]
        scores = answers(classifier, Occlusion()(one, 1)).scores[one.content]
        assert_close(scores, ablated[one.content].numpy(), torch.float64)
        assert_close(scores, occluded[one.content].numpy(), torch.float32)  # captum's sum


@pytest.mark.parametrize("target", [0, 1, 2])
def test_linear_model_knows_its_explanations(target):
    model, one = LinearModel.random(), text([1, 5, 6, 7, 5, 1])
    share = model.table @ model.weights[:, target]
    content = one.ids[1:-1]
    occluded = answers(model, Occlusion()(one, target)).scores
    np.testing.assert_allclose(occluded, [0, *(share[content] - share[0]), 0], atol=1e-12)
    np.testing.assert_allclose(answers(model, InputXGradient()(one, target)).scores, share[one.ids], rtol=1e-12)
    slope = np.abs(model.weights[:, target]).sum()
    np.testing.assert_allclose(answers(model, Saliency()(one, target)).scores, np.full(6, slope), rtol=1e-12)
    np.testing.assert_allclose(answers(model, Attention()(one, target)).scores, np.full(6, 1 / 6), rtol=1e-12)
    frozen = answers(model, Bcos()(one, target))
    np.testing.assert_allclose(frozen.scores, share[one.ids], rtol=1e-12)
    assert frozen.notes["completeness_gap"] == pytest.approx(model.bias[target])


def test_random_is_uniform_noise():
    texts = [text(range(50), name=f"text {i}") for i in range(100)]
    scores = np.concatenate([Random()(one, 0).scores for one in texts])
    assert stats.kstest(scores, "uniform").pvalue > 0.01
    assert len(set(scores)) == len(scores)


def test_random_depends_on_seed_and_id_and_nothing_else():
    one, same_words, same_id = text([1, 5, 6, 1]), text([1, 5, 6, 1], name="other"), text([1, 7, 7, 1])
    scores = Random()(one, 0).scores
    np.testing.assert_array_equal(scores, Random()(one, 1).scores)
    np.testing.assert_array_equal(scores, Random(seed=0)(same_id, 0).scores)
    assert not np.isin(scores, Random(seed=1)(one, 0).scores).any()
    assert not np.isin(scores, Random()(same_words, 0).scores).any()


@pytest.mark.parametrize("explainer", [Attention(), Bcos(), InputXGradient(), Occlusion(), Saliency()])
def test_questions_cost_the_rows_they_need(explainer):
    one = text([1, 5, 6, 7, 1])
    question = next(explainer(one, 0))
    assert len(getattr(question, "keep", [None])) == (4 if isinstance(explainer, Occlusion) else 1)
