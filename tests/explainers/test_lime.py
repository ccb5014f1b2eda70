"""LIME against the `lime` package and scikit-learn on the same masks, and against regressions done by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import exp, log, sqrt

import numpy as np
import pytest
import torch
from builders import LinearModel, answers, random_texts, shared_classifier, text
from faithbench_explainers.lime import LIME, kernel, probabilities
from faithbench_explainers.ridge import best_features, largest_weights, ridge
from scipy import special, stats

from faithbench.questions import Logits, Row
from faithbench.types import Example, Text

SELECTIONS = ("none", "highest_weights", "forward_selection", "auto")


@dataclass(frozen=True)
class Additive:
    """Class 1 has probability base + Σ_t weights[id_t], exactly; id 0 is the mask token."""

    weights: np.ndarray
    base: float
    classes: int = 2
    batch_tokens: int = 4096
    gradient_cost: int = 1

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        p = self.base + self.weights[np.stack([row.ids for row in rows])].sum(axis=1)
        return np.log(np.stack([1 - p, p], axis=1))


def numbered(n: int, name: str = "text") -> Text:
    """A text of n content tokens with the ids 2 … n + 1."""
    return text([1, *range(2, n + 2), 1], name=name)


def conversation(explainer: LIME, one: Text, logits_of: Callable[[np.ndarray], np.ndarray], target: int):
    """The masks that it asks for and the scores that it makes of the answers."""
    asking = explainer(one, target)
    question = next(asking)
    assert isinstance(question, Logits)
    with pytest.raises(StopIteration) as ended:
        asking.send(logits_of(question.keep))
    return question.keep[:, one.content], ended.value.value.scores


def masked_logits(classifier, one: Text):
    """Logits of the torch model for masks."""

    def logits(keep: np.ndarray) -> np.ndarray:
        ids = np.where(keep, one.ids, classifier.tokenizer.mask_token_id)
        with torch.no_grad():
            return classifier.model(input_ids=torch.from_numpy(ids)).logits.numpy()

    return logits


def lime_coefficients(
    masks: np.ndarray, p: np.ndarray, label: int, num_features: int, selection: str, width: float = 25.0
) -> np.ndarray:
    """What the `lime` package makes of masks and probabilities, as its `LimeTextExplainer` calls it."""
    lime_base = pytest.importorskip("lime.lime_base")
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    data = masks.astype(float)
    distances = pairwise.pairwise_distances(data, data[:1], metric="cosine").ravel() * 100
    base = lime_base.LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / width**2)), random_state=0)
    found = base.explain_instance_with_data(data, p, distances, label, num_features, selection)[1]
    scores = np.zeros(data.shape[1])
    for feature, coefficient in found:
        scores[feature] = coefficient
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("num_features", [3, 6, 7, 50])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_the_lime_package_finds_the_same_coefficients(selection, num_features):
    explainer = LIME(n_samples=120, feature_selection=selection, num_features=num_features)
    for kind, b, n in (("bert", None, 9), ("roberta", 1.5, 12), ("distilbert", None, 1)):
        classifier = shared_classifier(kind, b, classes=3, dtype=torch.float64)
        (one,) = random_texts(classifier, (n,), seed=n)
        logits = masked_logits(classifier, one)
        masks, scores = conversation(explainer, one, logits, target=2)
        keep = np.ones((len(masks), len(one)), dtype=bool)
        keep[:, one.content] = masks
        expected = lime_coefficients(masks, special.softmax(logits(keep), axis=1), 2, num_features, selection)
        assert (scores[one.content] != 0).sum() == min(n, n if selection == "none" else num_features)
        np.testing.assert_allclose(scores[one.content], expected, rtol=0, atol=1e-8 * np.abs(expected).max())
        assert (scores[one.special] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("width", [5.0, 25.0, 100.0])
@pytest.mark.parametrize(
    ("selection", "num_features"),
    [("none", 4), ("highest_weights", 4), ("forward_selection", 4), ("auto", 6), ("auto", 7)],
)
def test_the_lime_package_agrees_on_any_values_and_kernel_width(selection, num_features, width):
    draws = np.random.default_rng(int(width))
    explainer = LIME(200, width, feature_selection=selection, num_features=num_features)
    for n in (2, 5, 15):
        masks = np.concatenate([np.ones((1, n), dtype=bool), explainer.masks(numbered(n))])
        p = draws.uniform(size=(len(masks), 2))
        expected = lime_coefficients(masks, p, 1, num_features, selection, width)
        np.testing.assert_allclose(explainer.coefficients(masks, p[:, 1]), expected, rtol=0, atol=1e-8)


@pytest.mark.slow
def test_the_lime_packages_own_sampling_comes_to_the_same_within_noise():
    lime_text = pytest.importorskip("lime.lime_text")
    classifier = shared_classifier("bert", dtype=torch.float64)
    (one,) = random_texts(classifier, (7,), seed=3)

    def classify(texts: list[str]) -> np.ndarray:
        rows = [classifier.encode(Example("x", each, 0)).ids for each in texts]
        assert {len(row) for row in rows} == {len(one)}
        return special.softmax(
            np.concatenate(
                [classifier.logits([Row(row) for row in rows[i : i + 64]]) for i in range(0, len(rows), 64)]
            ),
            1,
        )

    def explain(seed: int) -> np.ndarray:
        explainer = lime_text.LimeTextExplainer(
            bow=False, mask_string="[MASK]", feature_selection="none", split_expression=r"\s+", random_state=seed
        )
        found = explainer.explain_instance(one.source, classify, labels=(1,), num_samples=801).as_map()[1]
        return np.array([score for _, score in sorted(found)])

    theirs = np.stack([explain(seed) for seed in range(3)])
    ours = np.stack([answers(classifier, LIME(n_samples=800, seed=seed)(one, 1)).scores[1:-1] for seed in range(3)])
    noise = np.sqrt(ours.var(axis=0, ddof=1).mean())
    assert np.abs(ours.mean(axis=0) - theirs.mean(axis=0)).max() < 4 * noise * np.sqrt(2 / 3)
    assert noise < 0.1 * np.abs(theirs).max()


@pytest.mark.parametrize("penalty", [0.01, 1.0, 30.0])
def test_ridge_is_scikit_learns_with_sample_weights(penalty):
    linear_model = pytest.importorskip("sklearn.linear_model")
    draws = np.random.default_rng(0)
    for samples, features in ((50, 1), (50, 8), (6, 8)):
        inputs = draws.integers(0, 2, (samples, features)).astype(float)
        values, weights = draws.normal(size=samples), draws.uniform(0.01, 1, samples)
        expected = linear_model.Ridge(alpha=penalty).fit(inputs, values, sample_weight=weights).coef_
        np.testing.assert_allclose(ridge(inputs, values, weights, penalty), expected, rtol=0, atol=1e-10)


def test_ridge_minimises_its_loss():
    draws = np.random.default_rng(1)
    inputs, values, weights = draws.normal(size=(20, 3)), draws.normal(size=20), draws.uniform(size=20)

    def loss(parameters: np.ndarray) -> float:
        residual = values - parameters[0] - inputs @ parameters[1:]
        return weights @ residual**2 + 1.7 * parameters[1:] @ parameters[1:]

    found = ridge(inputs, values, weights, 1.7)
    best = np.array([np.average(values - inputs @ found, weights=weights), *found])
    for step in 1e-4 * np.eye(4):
        assert loss(best + step) > loss(best)
        assert loss(best - step) > loss(best)


def test_selections_are_searches_done_by_hand():
    draws = np.random.default_rng(2)
    inputs, weights = draws.integers(0, 2, (60, 6)).astype(float), draws.uniform(0.1, 1, 60)
    inputs[0] = 1
    values = inputs @ [0.1, -3.0, 0.2, 2.0, 0.0, -1.0] + 0.1 * draws.normal(size=60)

    def unexplained(features: Sequence[int]) -> float:
        design = np.column_stack([np.ones(60), inputs[:, list(features)]]) * np.sqrt(weights)[:, None]
        target = np.sqrt(weights) * values
        return float(np.sum((target - design @ np.linalg.lstsq(design, target, rcond=None)[0]) ** 2))

    chosen: list[int] = []
    for count in range(1, 7):
        chosen.append(min(set(range(6)) - set(chosen), key=lambda feature: unexplained([*chosen, feature])))
        assert best_features(inputs, values, weights, count).tolist() == sorted(chosen)
    assert largest_weights(inputs, values, weights, 3).tolist() == [1, 3, 5]
    assert largest_weights(inputs, values, weights, 9).tolist() == list(range(6))
    inputs[0, 1] = 0  # a coefficient counts by what it adds to the first sample
    assert largest_weights(inputs, values, weights, 2).tolist() == [3, 5]


def test_masks_have_a_uniform_number_of_masked_tokens_at_uniform_positions():
    n = 5
    masks = LIME(n_samples=20_000).masks(numbered(n))
    removed = (~masks).sum(axis=1)
    assert stats.chisquare(np.bincount(removed, minlength=n + 1)[1:]).pvalue > 0.01
    assert removed.min() == 1
    for size in range(1, n):
        of_size = masks[removed == size]
        counts = [
            (of_size == ~np.isin(np.arange(n), places)).all(axis=1).sum() for places in combinations(range(n), size)
        ]
        assert sum(counts) == len(of_size)
        assert stats.chisquare(counts).pvalue > 0.01
    halves = np.stack([removed[:-1], removed[1:]])
    assert abs(np.corrcoef(halves)[0, 1]) < 0.03  # samples do not depend on each other


def test_the_first_row_is_the_whole_text_and_special_tokens_stay():
    one = numbered(4)
    keep = next(LIME(n_samples=300)(one, 0)).keep
    assert len(keep) == 301
    assert keep[0].all()
    assert keep[:, one.special].all()
    assert not keep[1:, one.content].all(axis=1).any()


def test_masks_belong_to_seed_and_text():
    explainer, one = LIME(n_samples=50), numbered(6)
    masks = explainer.masks(one)
    np.testing.assert_array_equal(masks, LIME(n_samples=50, kernel_width=3.0).masks(one))
    assert (masks != explainer.masks(numbered(6, name="other"))).any()
    assert (masks != replace(explainer, seed=1).masks(one)).any()
    np.testing.assert_array_equal(masks[:20], LIME(n_samples=20).masks(one))


@pytest.mark.parametrize(("n", "width"), [(1, 25.0), (4, 25.0), (9, 10.0)])
def test_the_kernel_is_its_formula_by_hand(n, width):
    for kept in range(n + 1):
        cosine = kept / (sqrt(kept) * sqrt(n)) if kept else 0.0
        distance = 100 * (1 - cosine)
        found = kernel((np.arange(n) < kept)[None], width)
        assert found.tolist() == [pytest.approx(sqrt(exp(-(distance**2) / width**2)), rel=1e-12)]
    assert kernel(np.zeros((1, 3), dtype=bool), 25.0)[0] == pytest.approx(exp(-8))


def test_it_explains_the_softmax_probability():
    logits = np.array([[1.0, 2.0, -3.0], [1000.0, 1000.0, -1000.0]])
    np.testing.assert_allclose(probabilities(logits), special.softmax(logits, axis=1), rtol=1e-14)
    assert probabilities(logits.astype(np.float32)).dtype == np.float64
    classifier = shared_classifier("roberta", 1.5, classes=3, dtype=torch.float64)
    (one,) = random_texts(classifier, (6,))
    scores = [answers(classifier, LIME(n_samples=100)(one, target)).scores for target in range(3)]
    np.testing.assert_allclose(sum(scores), 0, atol=1e-12)  # as do changes of probabilities
    shifted = conversation(LIME(n_samples=100), one, lambda keep: masked_logits(classifier, one)(keep) + 7.0, 1)[1]
    np.testing.assert_allclose(shifted, scores[1], atol=1e-12)


def test_it_converges_to_the_weights_of_a_model_that_is_additive_in_probability():
    weights = np.array([0.0, 0.02, 0.1, -0.07, 0.03, 0.2, -0.15, 0.0])
    model, one = Additive(weights, base=0.4), numbered(6)
    gaps = [np.abs(answers(model, LIME(n_samples=n)(one, 1)).scores[1:-1] - weights[2:]) for n in (300, 3000, 30_000)]
    assert gaps[0].max() > 2 * gaps[1].max() > 4 * gaps[2].max()  # the penalty of 1 weighs less and less
    assert gaps[2].max() < 2e-3
    masks = np.concatenate([np.ones((1, 6), dtype=bool), LIME(n_samples=50).masks(one)])
    values = 0.44 + masks @ weights[2:]
    unpenalised = ridge(masks.astype(float), values, kernel(masks, 25.0), penalty=0.0)
    np.testing.assert_allclose(unpenalised, weights[2:], atol=1e-12)
    for selection in SELECTIONS[1:]:
        found = answers(model, LIME(feature_selection=selection, num_features=2)(one, 1)).scores
        assert np.flatnonzero(found).tolist() == [4, 5]  # ids 5 and 6, of weights 0.2 and −0.15


@pytest.mark.parametrize("n_samples", [1, 50, 3000])
def test_one_token_of_a_linear_model_in_closed_form(n_samples):
    model, one = LinearModel.binary([0.3, -1.0, 2.0], bias=0.5), numbered(1)
    difference = special.expit(-2 + 2.0 + 0.5) - special.expit(-2 + 0.3 + 0.5)
    empty = n_samples * exp(-8)  # weight of all the masks; that of the text is 1
    spread = empty / (1 + empty)  # weighted squared distance from the mean
    scores = answers(model, LIME(n_samples=n_samples)(one, 1)).scores
    np.testing.assert_allclose(scores, [0, difference * spread / (spread + 1), 0], atol=1e-14)


def test_a_linear_model_of_small_weights_is_explained_by_its_slope():
    small = 1e-4 * np.array([0.0, 0.0, 3.0, -1.0, 2.0, 0.5, -2.5])
    model, one = LinearModel.binary(small, bias=log(3)), numbered(5)  # probability 3/4
    explainer = LIME(n_samples=500)
    scores = answers(model, explainer(one, 1)).scores[1:-1]
    masks = np.concatenate([np.ones((1, 5), dtype=bool), explainer.masks(one)])
    tangent = 3 / 16 * masks @ small[2:]  # p (1 − p) · weight
    np.testing.assert_allclose(scores, explainer.coefficients(masks, tangent), rtol=2e-3, atol=1e-9)
    assert np.argsort(scores).tolist() == np.argsort(small[2:]).tolist()


@pytest.mark.parametrize("selection", SELECTIONS)
def test_fewer_masks_than_tokens_still_give_finite_scores(selection):
    model, one = LinearModel.binary(np.linspace(-1, 1, 42)), numbered(40)
    for n_samples in (1, 2, 10):
        found = answers(model, LIME(n_samples=n_samples, feature_selection=selection)(one, 1)).scores
        assert np.isfinite(found).all()
        assert (found != 0).sum() <= (40 if selection == "none" else 10)
