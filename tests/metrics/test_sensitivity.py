"""Sensitivity, the randomisation test and sparseness: against captum, scipy and slow versions, and by hand."""

import copy
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, attribution, random_texts, text, tiny_classifier, tiny_tokenizer
from captum.metrics import sensitivity_max
from faithbench_explainers.attention import Attention
from faithbench_explainers.input_x_gradient import InputXGradient
from faithbench_explainers.occlusion import Occlusion
from faithbench_explainers.random import Random
from faithbench_metrics.effective_tokens import EffectiveTokens
from faithbench_metrics.entropy import Entropy
from faithbench_metrics.gini import Gini
from faithbench_metrics.randomisation import Randomisation
from faithbench_metrics.sensitivity import Sensitivity
from scipy import stats
from torch import Tensor

from faithbench.conformance import check_metric
from faithbench.conversations import Asking, answering, ask, on_variant
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.variants import Noise, Randomised
from faithbench.questions import Explain
from faithbench.types import Attribution, Measurement, Text


def explained(classifier: object, metric: object, explainer: object, one: Text, target: int = 1) -> Measurement:
    """A metric of an explainer, as a run does it."""

    def explain(question: Explain) -> Asking[Attribution]:
        return on_variant(question.variant, ask(explainer, question.text, question.target))

    given = answers(classifier, ask(explainer, one, target))
    return answers(classifier, answering(ask(metric, one, given), explain))


def gradients_of(classifier: HuggingFaceClassifier, one: Text, target: int) -> Callable[..., tuple[Tensor, ...]]:
    """Input × gradient of embeddings, by autograd; the scores of content tokens."""

    def scores(inputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        given = inputs[0] if isinstance(inputs, tuple) else inputs
        with torch.enable_grad():
            place = given.detach().requires_grad_()
            with classifier.reading(place):
                ids = torch.from_numpy(one.ids).expand(len(place), -1)
                logits = classifier.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            (gradient,) = torch.autograd.grad(logits[:, target].sum(), place)
        return ((place * gradient).sum(-1)[:, one.content].detach(),)

    return scores


def noisy(noises: Tensor, given: Tensor | tuple[Tensor, ...]) -> Tensor:
    return (given[0] if isinstance(given, tuple) else given) + noises


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "b"), [("bert", None), ("bert", 1.5), ("distilbert", None), ("roberta", 2.0)])
def test_sensitivity_agrees_with_captum(kind, b):
    classifier = tiny_classifier(kind, b, dtype=torch.float64)
    metric = Sensitivity(n_samples=4, radius=0.05, seed=2)
    for one in random_texts(classifier, (6, 2)):
        embedded = classifier.embedded(torch.from_numpy(one.ids)[None])
        noises = [Noise(classifier, 0.05, 2000 + sample).drawn(*embedded.shape[1:]) for sample in range(4)]
        expected = sensitivity_max(
            gradients_of(classifier, one, 1),
            embedded,
            perturb_func=partial(noisy, torch.stack(noises)),
            n_perturb_samples=4,
        )
        found = explained(classifier, metric, InputXGradient(), one)
        assert found.value == pytest.approx(100 * float(expected), rel=1e-9)
        assert found.value == 100 * max(found.parts)
        assert len(set(found.parts)) == 4


def test_sensitivity_grows_with_samples_and_radius_and_depends_on_the_seed():
    classifier = tiny_classifier("bert", dtype=torch.float64)
    (one,) = random_texts(classifier, (6,))
    few, many, other, far = (
        explained(classifier, metric, InputXGradient(), one)
        for metric in (Sensitivity(2), Sensitivity(4), Sensitivity(2, seed=1), Sensitivity(2, radius=0.2))
    )
    assert many.parts[:2] == few.parts
    assert not set(few.parts) & set(other.parts)
    assert far.value > 5 * few.value > 0


def test_sensitivity_by_hand():
    one, moved = text([1, 3, 4, 2]), iter([[9, 3, 4, 9], [7, 0, 4, 7], [5, 3, 4.5, 5]])
    asked = []

    def explain(question: Explain) -> Attribution:
        asked.append((question.target, question.variant))
        return attribution(one, next(moved), question.target)

    given = attribution(one, [1, 3, 4, 1], target=2)
    found = answers(LinearModel.random(), answering(ask(Sensitivity(3), one, given), lambda q: ask(explain, q)))
    assert found.parts == pytest.approx((0, 3 / 5, 0.5 / 5))  # special tokens do not count
    assert found.value == pytest.approx(60)
    assert [target for target, _ in asked] == [2] * 3
    assert len({variant for _, variant in asked}) == 3


def test_explanations_that_do_not_look_are_not_sensitive():
    classifier = tiny_classifier("bert", dtype=torch.float64)
    (one,) = random_texts(classifier, (6,))
    assert explained(classifier, Sensitivity(2), Random(), one).value == 0
    assert explained(classifier, Sensitivity(2), Attention(), one).value > 0


def test_sensitivity_without_scores_is_undefined():
    one = text([1, 3, 4, 2])
    for scores in ([9, 0, 0, 9], [9, math.nan, 1, 9]):
        assert math.isnan(answers(LinearModel.random(), Sensitivity()(one, attribution(one, scores))).value)


@pytest.mark.slow
@pytest.mark.parametrize("cascade", [True, False])
@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize(("kind", "b"), [("bert", 1.5), ("distilbert", None), ("roberta", None)])
def test_randomisation_agrees_with_models_that_have_those_weights(kind, b, cascade, absolute):
    classifier = tiny_classifier(kind, b, dtype=torch.float64)
    metric = Randomisation(cascade, absolute, seed=3)
    (one,) = random_texts(classifier, (7,))
    for explainer in (InputXGradient(), Occlusion()):
        own = answers(classifier, ask(explainer, one, 1)).scores[1:-1]
        expected = []
        for part in range(4):
            with Randomised(classifier, part, cascade, seed=3):
                state = {name: tensor.clone() for name, tensor in classifier.model.state_dict().items()}
            network = copy.deepcopy(classifier.model)
            network.load_state_dict(state)
            other = HuggingFaceClassifier(network, tiny_tokenizer(), dtype=torch.float64)
            scores = answers(other, ask(explainer, one, 1)).scores[1:-1]
            pair = (abs(own), abs(scores)) if absolute else (own, scores)
            expected.append(float(stats.spearmanr(*pair).statistic))
        found = explained(classifier, metric, explainer, one)
        assert found.parts == pytest.approx(expected, abs=1e-12)
        assert found.value == pytest.approx(100 * np.mean(np.abs(expected)))
        assert found.weight == 4
        assert len({round(part, 9) for part in found.parts}) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_explanation_that_does_not_depend_on_the_model_stays(kind):
    classifier = tiny_classifier(kind, dtype=torch.float64)
    (one,) = random_texts(classifier, (7,))
    for metric in (Randomisation(), Randomisation(cascade=False, absolute=True)):
        found = explained(classifier, metric, Random(), one)
        assert (found.value, found.parts, found.weight) == (100, (1.0,) * 4, 4)
    assert explained(classifier, Randomisation(cascade=False), Attention(), one).parts[0] == 1  # it never sees the head


def test_an_explanation_turned_round_is_no_better_than_one_that_stays():
    classifier = tiny_classifier("bert")
    (one,) = random_texts(classifier, (5,))
    given = attribution(one, np.arange(7.0))
    turned = Attribution(one.id, 0, -given.scores)
    signed, absolute = (
        answers(classifier, answering(ask(metric, one, given), lambda question: ask(lambda: turned)))
        for metric in (Randomisation(), Randomisation(absolute=True))
    )
    assert (signed.value, absolute.value) == (100, 100)
    assert set(signed.parts) == {-1.0}
    assert Randomisation.range == (0, 100)


def test_explanations_that_have_nothing_in_common_have_the_mean_that_is_told():
    classifier, draws = tiny_classifier("bert"), np.random.default_rng(0)
    (one,) = random_texts(classifier, (30,))
    given = attribution(one, draws.normal(size=32))
    explain = lambda question: ask(lambda: Attribution(one.id, 0, draws.normal(size=32)))  # noqa: E731
    found = [answers(classifier, answering(ask(Randomisation(), one, given), explain)).value for _ in range(60)]
    assert np.mean(found) == pytest.approx(100 * math.sqrt(2 / (math.pi * 29)), abs=1.5)


def test_constant_explanations_are_left_out_of_randomisation():
    classifier = tiny_classifier("bert")
    (one,) = random_texts(classifier, (4,))
    found_at = iter([np.arange(6.0), np.ones(6), -np.arange(6.0), np.arange(6.0)])
    given = attribution(one, np.arange(6.0))
    explain = lambda question: ask(lambda: Attribution(one.id, 0, next(found_at)))  # noqa: E731
    found = answers(classifier, answering(ask(Randomisation(), one, given), explain))
    assert found.parts == pytest.approx((1, math.nan, -1, 1), nan_ok=True)
    assert (found.value, found.weight) == (pytest.approx(100), 3)


def test_randomisation_of_one_token_or_constant_scores_is_undefined():
    classifier = tiny_classifier("bert")
    (one,) = random_texts(classifier, (1,))
    found = explained(classifier, Randomisation(), InputXGradient(), one)
    assert math.isnan(found.value)
    assert (found.weight, len(found.parts)) == (0, 4)


@pytest.mark.slow
@pytest.mark.parametrize("metric", [Sensitivity(2), Randomisation(), Randomisation(cascade=False)], ids=repr)
@pytest.mark.parametrize(("kind", "b"), [("bert", 1.5), ("roberta", None)])
def test_both_keep_the_contract_and_run_only_on_request(metric, kind, b):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    assert check_metric(metric, classifier, random_texts(classifier, (5, 1, 3))) is None
    assert metric.on_request
    assert metric.higher_is_better is False


def test_parameters_are_checked():
    for wrong, name in (({"n_samples": 0}, "n_samples"), ({"n_samples": 1001}, "n_samples"), ({"seed": -1}, "seed")):
        with pytest.raises(ValueError, match=rf"{name}=.* is not allowed; it must be a whole number from"):
            Sensitivity(**wrong)
    for radius in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"radius=.* is not allowed; it must be a number above 0"):
            Sensitivity(radius=radius)
    with pytest.raises(ValueError, match="seed=-1 is not allowed"):
        Randomisation(seed=-1)


# Sparseness


def content_only(metric: object, scores: object) -> float:
    one = text([1, *([3] * len(scores)), 2])
    return metric(one, attribution(one, [50, *scores, -70])).value


@pytest.mark.parametrize("n", [1, 2, 3, 10, 50])
def test_gini_is_half_the_mean_difference_relative_to_the_mean(n):
    draws = np.random.default_rng(n)
    for scores in (draws.normal(size=n), draws.integers(-2, 3, n) + 0.0, np.eye(n)[0], np.full(n, -2.0)):
        sizes = np.abs(scores)
        if not sizes.any():
            continue
        expected = np.abs(sizes[:, None] - sizes).sum() / (2 * n * sizes.sum())  # the index in its oldest form
        for scale in (1, 1e-300, 1e300):
            assert content_only(Gini(), scale * scores) == pytest.approx(expected, abs=1e-12)


def test_gini_by_hand():
    assert content_only(Gini(), [2, -2, 2, 2]) == pytest.approx(0, abs=1e-15)
    assert content_only(Gini(), [0, 0, -7, 0]) == pytest.approx(3 / 4)
    assert content_only(Gini(), [1, 3]) == pytest.approx(1 / 4)


def test_effective_tokens_by_hand():
    assert content_only(EffectiveTokens(), [2, -2, 2, 2]) == pytest.approx(4)
    assert content_only(EffectiveTokens("positive"), [2, -2, 2, 2]) == pytest.approx(3)
    assert content_only(EffectiveTokens(), [0, 0, -7, 0]) == 1
    assert content_only(EffectiveTokens(), [2, 1, -1, 0]) == pytest.approx(2**1.5)
    scores = np.random.default_rng(0).normal(size=20)
    assert content_only(EffectiveTokens(), scores) == pytest.approx(math.exp(stats.entropy(np.abs(scores))))
    with pytest.raises(ValueError, match="part='negative' is not allowed"):
        EffectiveTokens("negative")


@pytest.mark.parametrize("metric", [Gini(), EffectiveTokens(), Entropy(), Entropy(normalised=True)], ids=repr)
def test_simplicity_has_no_direction_and_is_undefined_without_numbers(metric):
    assert (metric.kind, metric.higher_is_better) == ("simplicity", None)
    for scores in ([0, 0, 0], [1, math.nan, 2]):
        assert math.isnan(content_only(metric, scores))


def test_one_token():
    assert content_only(Gini(), [-3]) == 0
    assert content_only(EffectiveTokens(), [-3]) == 1
