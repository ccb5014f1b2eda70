"""Infidelity and the soft metrics against slow versions, captum, Quantus, and what is known of linear models."""

import math

import numpy as np
import pytest
import torch
from builders import LinearModel, answers, attribution, random_texts, shared_classifier, text
from captum.metrics import infidelity
from faithbench_metrics.infidelity import Infidelity
from faithbench_metrics.monotonicity import Monotonicity
from faithbench_metrics.perturbation.operators import OPERATORS
from faithbench_metrics.perturbation.soft import shares
from faithbench_metrics.soft_comprehensiveness import SoftComprehensiveness
from faithbench_metrics.soft_sufficiency import SoftSufficiency
from slow import slow_logits

from faithbench.conformance import check_metric
from faithbench.draws import generator

CLS, SEP = 1, 2
SOFT = (SoftComprehensiveness, SoftSufficiency)


def scored(one, seed=0, target=1):
    return attribution(one, np.random.default_rng(seed).normal(size=len(one)), target)


@pytest.mark.parametrize("operator", OPERATORS)
def test_infidelity_agrees_with_a_slow_version(operator):
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (7, 3))):
        explained, metric = scored(one, target=target), Infidelity(n_samples=6, scaled=False, operator=operator)
        full = slow_logits(classifier, one, [], operator)[:, target].mean()
        errors, squares = [], []
        for row in metric.subsets(one):
            gone = [t for t in range(len(one)) if row[t]]
            change = full - slow_logits(classifier, one, gone, operator)[:, target].mean()
            errors.append((sum(explained.scores[t] for t in gone) - change) ** 2)
            squares.append(change**2)
        found = answers(classifier, metric(one, explained))
        assert found.parts == pytest.approx((np.mean(errors), np.mean(squares)))
        assert (found.value, found.weight) == pytest.approx((100 * sum(errors) / sum(squares), np.mean(squares)))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_infidelity_agrees_with_captum_on_the_same_masks(seed, scaled):
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64, seed=seed)
    one = random_texts(classifier, (8,), seed)[0]
    metric = Infidelity(n_samples=40, scaled=scaled)
    masks = torch.from_numpy(metric.subsets(one)).double()

    def forward(kept):
        ids = torch.where(kept > 0.5, torch.from_numpy(one.ids), one.mask_id)
        return classifier.model(input_ids=ids).logits

    scores = scored(one, seed).scores
    if answers(classifier, Infidelity(n_samples=40)(one, attribution(one, scores, 1))).value > 100 - 1e-9:
        scores = -scores  # the best scale of captum may be below 0, ours may not
    theirs = infidelity(
        forward,
        lambda kept: (masks, kept - masks),
        torch.ones(1, len(one), dtype=torch.float64),
        torch.from_numpy(scores)[None],
        target=1,
        n_perturb_samples=40,
        normalize=scaled,
    )
    found = answers(classifier, metric(one, attribution(one, scores, 1)))
    assert found.parts[0] == pytest.approx(float(theirs), rel=1e-9)


def test_subsets_are_of_every_size_and_belong_to_text_and_seed():
    one = text([CLS, *[3] * 5, SEP])
    subsets = Infidelity(n_samples=5000).subsets(one)
    assert not subsets[:, one.special].any()
    counts = np.bincount(subsets.sum(axis=1), minlength=6)
    assert counts[0] == 0
    assert counts[1:] / 5000 == pytest.approx([0.2] * 5, abs=0.03)
    assert subsets[:, one.content].mean(axis=0) == pytest.approx([0.6] * 5, abs=0.03)
    assert (Infidelity(seed=1).subsets(one) != Infidelity().subsets(one)).any()
    assert (Infidelity().subsets(text([CLS, *[3] * 5, SEP], name="b")) != Infidelity().subsets(one)).any()


MODEL = LinearModel.binary([0.5, 0.3, -0.1, 0.5, -1.5, 2.0, 0.2])
ONE = text([CLS, 3, 4, 5, 6, SEP])
TRUE = np.array([0.0, 0.5, -1.5, 2.0, 0.2, 0.0]) - np.array([0.0, 0.5, 0.5, 0.5, 0.5, 0.0])  # less the mask's weight


def test_infidelity_of_true_scores_is_zero_and_of_reversed_ones_the_most():
    for scale in (1.0, 7.0, 0.01):
        found = answers(MODEL, Infidelity()(ONE, attribution(ONE, scale * TRUE, 1)))
        assert found.value == pytest.approx(0, abs=1e-9)
        assert answers(MODEL, Infidelity()(ONE, attribution(ONE, -scale * TRUE, 1))).value == pytest.approx(100)
    assert answers(MODEL, Infidelity(scaled=False)(ONE, attribution(ONE, TRUE, 1))).value == pytest.approx(0, abs=1e-9)
    assert answers(MODEL, Infidelity(scaled=False)(ONE, attribution(ONE, 0 * TRUE, 1))).value == pytest.approx(100)
    assert answers(MODEL, Infidelity(scaled=False)(ONE, attribution(ONE, -TRUE, 1))).value == pytest.approx(400)


def test_infidelity_of_random_scores_is_near_its_chance_level():
    """Random signs: β is 0 in half the cases; the value is 100 − what the sums' covariance explains, by simulation."""
    draws = np.random.default_rng(0)
    taken = Infidelity(n_samples=400).subsets(ONE)[:, ONE.content].astype(float)
    second = taken.T @ taken / len(taken)  # E[1_i 1_j]
    weights, expected, values = TRUE[ONE.content], [], []
    for _ in range(60):
        scores = draws.normal(size=4)
        cross = max(0.0, scores @ second @ weights)
        expected.append(100 - 100 * cross**2 / (scores @ second @ scores) / (weights @ second @ weights))
        explained = attribution(ONE, [0, *scores, 0], 1)
        values.append(answers(MODEL, Infidelity(n_samples=400)(ONE, explained), batch_tokens=9999).value)
    assert values == pytest.approx(expected)
    assert 80 < np.mean(values) < 95


def test_infidelity_of_constant_and_undefined_scores():
    constant = answers(MODEL, Infidelity()(ONE, attribution(ONE, [0] * 6, 1)))
    assert constant.value == pytest.approx(100)
    assert constant.weight == constant.parts[1] == pytest.approx(constant.parts[0])
    nothing = text([CLS, 0, 0, SEP])
    found = answers(MODEL, Infidelity()(nothing, attribution(nothing, [0, 1, 2, 0], 1)))
    assert math.isnan(found.value)
    assert found.weight == 0
    single = text([CLS, 5, SEP])
    assert answers(MODEL, Infidelity()(single, attribution(single, [0, 3, 0], 1))).value == pytest.approx(0, abs=1e-9)


def slow_shares(scores, mean):
    """Scores in 0 … 1, shifted by bisection until their mean, cut off at 0 and 1, is the expected share."""
    least, most = min(scores), max(scores)
    inside = [(score - least) / (most - least) if most > least else 0.0 for score in scores]
    low, high = -1.0, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        cut = [min(1.0, max(0.0, each + middle)) for each in inside]
        low, high = (middle, high) if sum(cut) / len(cut) < mean else (low, middle)
    return cut


def slow_soft(classifier, one, explained, draws, remove):
    """Zhao & Aletras' equations, element by element; embeddings go in where the embedding module's would."""
    content = [t for t in range(len(one)) if not one.special[t]]
    with torch.no_grad():
        e = classifier.model.bert.embeddings(input_ids=torch.from_numpy(one.ids.copy())[None])[0]

    def chance(embedded):
        handle = classifier.model.bert.embeddings.register_forward_hook(lambda *_: embedded[None])
        with torch.no_grad():
            logits = classifier.model(input_ids=torch.from_numpy(one.ids.copy())[None]).logits[0]
        handle.remove()
        return float(torch.softmax(logits, -1)[explained.target])

    zero = e.clone()
    zero[content] = 0
    noise, sufficiencies = generator(one, "elements", 3).random((draws, *e.shape)), []
    for mean in (0.1, 0.3, 0.5, 0.7, 0.9):
        share = dict(zip(content, slow_shares([explained.scores[t] for t in content], mean), strict=True))
        for draw in range(draws):
            erased = e.clone()
            for t in content:
                keep = 1 - share[t] if remove else share[t]
                for d in range(e.shape[1]):
                    if noise[draw, t, d] >= keep:
                        erased[t, d] = 0
            sufficiencies.append(1 - max(0.0, chance(e) - chance(erased)))
    baseline = 1 - max(0.0, chance(e) - chance(zero))
    if remove:
        return 100 * np.mean([(1 - each) / (1 - baseline) for each in sufficiencies]), 1 - baseline
    return 100 * np.mean([(each - baseline) / (1 - baseline) for each in sufficiencies]), 1 - baseline


@pytest.mark.parametrize("metric", SOFT)
def test_soft_metrics_agree_with_a_slow_version(metric):
    classifier, defined = shared_classifier("bert", classes=3, dtype=torch.float64), 0
    for one in random_texts(classifier, (6, 4)):
        for target in range(3):
            explained = scored(one, target=target)
            found = answers(classifier, metric(draws=3, seed=3)(one, explained))
            if found.weight:
                expected = slow_soft(classifier, one, explained, 3, metric is SoftComprehensiveness)
                assert (found.value, found.weight) == pytest.approx(expected, rel=1e-9)
                defined += 1
    assert defined >= 2


SHAPES = {
    "one token": [0, 0, 9, 0, 0, 0, 0],
    "all but one": [1, 1, 0, 1, 1, 1, 1],
    "graded": [1, 2, 3, 4, 5, 6, 7],
    "steep": [1, 10, 100, 1000, 1e4, 1e5, -1e5],
    "equal": [3, 3, 3, 3, 3, 3, 3],
    "two values": [0, 1, 0, 1, 0, 1, 1],
    "subnormal": [0, 5e-324, 0, 0, 0, 0, 0],
}


@pytest.mark.parametrize("scores", SHAPES.values(), ids=SHAPES)
def test_the_expected_share_does_not_depend_on_the_shape_of_the_scores(scores):
    one = text([CLS, *range(3, 10), SEP])
    found = shares(one, np.array([99.0, *scores, -99.0]))
    assert found[:, one.special].tolist() == [[0, 0]] * 5
    content = found[:, one.content]
    assert content.mean(axis=1) == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9], abs=1e-12)
    assert content.min() >= 0
    assert content.max() <= 1
    order = np.argsort(scores, kind="stable")
    assert (np.diff(content[:, order], axis=1) >= -1e-12).all()
    for mean, row in zip((0.1, 0.3, 0.5, 0.7, 0.9), content, strict=True):
        assert row == pytest.approx(slow_shares(scores, mean), abs=1e-9)


# One word decides: its embedding is one element, all others are of no account.
TRIGGER = LinearModel.binary([0.0, 0.0, 0.0, 8.0, 0.0], bias=-4.0)
TRIGGER_TEXT = text([CLS, 4, 3, 4, 4, SEP])


def soft(metric, scores, draws=3000):
    """Both metrics of scores for four content tokens, the second of which decides."""
    explained = attribution(TRIGGER_TEXT, [9, *scores, 9], 1)
    return answers(TRIGGER, metric(draws=draws)(TRIGGER_TEXT, explained), batch_tokens=9999).value


@pytest.mark.parametrize("metric", SOFT)
@pytest.mark.parametrize(
    ("scores", "share"),
    [
        # the decisive token's share at 0.1, 0.3, 0.5, 0.7 and 0.9 of the elements of four tokens, by hand
        ([0, 1, 0, 0], [0.4, 1, 1, 1, 1]),
        ([3, 1, 3, 3], [0, 0, 0, 0, 0.6]),
        ([1, 1, 1, 1], [0.1, 0.3, 0.5, 0.7, 0.9]),
        ([0, 1, 1, 0], [0.2, 0.6, 1, 1, 1]),
    ],
)
def test_soft_metrics_by_hand(metric, scores, share):
    """The chance falls, in all draws in which its one element goes, to sigmoid(−4), the most that it can."""
    assert soft(metric, scores) == pytest.approx(100 * np.mean(share), abs=2)


@pytest.mark.parametrize("metric", SOFT)
def test_random_scores_do_not_tie_with_the_best_however_they_are_shaped(metric):
    draws = np.random.default_rng(0)
    shapes = (lambda u: u, lambda u: u**9, lambda u: 1 - (1 - u) ** 9, lambda u: np.exp(5 * u))
    means = [np.mean([soft(metric, shape(draws.random(4)), 50) for _ in range(40)]) for shape in shapes]
    assert means == pytest.approx([50] * 4, abs=9)
    assert soft(metric, [0, 1, 0, 0]) > 85


@pytest.mark.parametrize("metric", SOFT)
def test_soft_metrics_are_undefined_where_erasing_everything_loses_nothing(metric):
    for one, target in ((TRIGGER_TEXT, 0), (text([CLS, 4, 4, SEP]), 1)):
        found = answers(TRIGGER, metric()(one, attribution(one, np.arange(len(one)), target)))
        assert math.isnan(found.value)
        assert found.weight == 0


@pytest.mark.parametrize("metric", SOFT)
def test_soft_metrics_use_their_seed_and_draws(metric):
    classifier = shared_classifier("bert", dtype=torch.float64)
    one = random_texts(classifier, (9,))[0]
    values = {answers(classifier, metric(seed=seed)(one, scored(one))).parts[0] for seed in range(3)}
    assert len(values) == 3
    assert len({answers(classifier, metric(draws=d)(one, scored(one))).parts[0] for d in (1, 2)}) == 2
    assert check_metric(metric(draws=2), classifier, random_texts(classifier)) is None


def test_parameters_are_refused_by_name_and_value():
    with pytest.raises(ValueError, match="n_samples=0 is not allowed"):
        Infidelity(n_samples=0)
    with pytest.raises(ValueError, match="seed=-1 is not allowed"):
        Infidelity(seed=-1)
    for metric in SOFT:
        with pytest.raises(ValueError, match="draws=0 is not allowed"):
            metric(draws=0)


class TorchLinear(torch.nn.Module):
    """The linear model as Quantus wants it: an image of one row in place of a text."""

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.tensor(weights, dtype=torch.float32)

    def forward(self, x):
        sums = (x.reshape(len(x), -1) * self.weights).sum(-1)
        return torch.stack([torch.zeros_like(sums), sums], dim=-1)


def test_monotonicity_agrees_with_quantus():
    """By correlation. Its `Monotonicity` (0.6.0) puts in the baseline where the input should be: it is always 1."""
    quantus = pytest.importorskip("quantus")
    draws = np.random.default_rng(0)
    weights, scores = draws.normal(size=6), draws.normal(size=(20, 6))
    one, model = text([1, *range(2, 8), 1]), LinearModel.binary([0.0, 0.0, *weights])
    correlation = quantus.MonotonicityCorrelation(
        nr_samples=1, abs=False, normalise=False, features_in_step=1, perturb_baseline=0.0, disable_warnings=True
    )
    theirs = correlation(
        model=TorchLinear(weights).eval(),
        x_batch=np.ones((20, 1, 1, 6), dtype=np.float32),
        y_batch=np.ones(20, dtype=int),
        a_batch=np.abs(scores)[:, None, None],
        channel_first=True,
        softmax=True,
    )
    for row, rho in zip(scores, theirs, strict=True):
        explained = attribution(one, [0, *row, 0], target=1)
        assert answers(model, Monotonicity()(one, explained)).value == pytest.approx(100 * rho)
