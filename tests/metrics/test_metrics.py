"""Every metric against a slow version of its definition, against other libraries, and by hand."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, attribution, random_texts, shared_classifier, text
from faithbench_metrics.comprehensiveness import Comprehensiveness
from faithbench_metrics.entropy import Entropy
from faithbench_metrics.evidence import Evidence, average_precision
from faithbench_metrics.perturbation.ratios import sizes
from faithbench_metrics.sufficiency import Sufficiency
from scipy import integrate, stats
from sklearn.metrics import average_precision_score

from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.types import Attribution, Text

PROTOCOLS = pytest.mark.parametrize("protocol", ["strict", "paper"])
MASK, CLS, SEP = 0, 1, 2


def slow_probability(classifier: HuggingFaceClassifier, ids: np.ndarray, target: int) -> float:
    """Softmax probability of one row, by the torch model."""
    with torch.no_grad():
        logits = classifier.model(input_ids=torch.from_numpy(ids)[None]).logits[0].double()
    return float(logits[target].exp() / logits.exp().sum())


def slow_erasure(
    classifier: HuggingFaceClassifier, text: Text, explained: Attribution, protocol: str, remove: bool
) -> tuple[float, list[float]]:
    """Comprehensiveness (`remove`) or sufficiency as specs/protocols.md puts it, ratio by ratio."""
    content = [t for t in range(len(text)) if not text.special[t]]
    sign = 1 if protocol == "strict" else -1  # of the position that breaks ties
    ranked = sorted(content, key=lambda t: (-explained.scores[t], sign * t))
    full = slow_probability(classifier, text.ids, explained.target)
    drops = []
    for tenth in range(1, 10):
        top = ranked[: max(1, math.floor(Fraction(tenth, 10) * len(content)))]
        ids = text.ids.copy()
        for t in range(len(text)):
            if remove:
                masked = t in top
            elif text.special[t]:
                masked = protocol == "paper"
            else:
                masked = t not in top
            if masked:
                ids[t] = text.mask_id
        drops.append(full - slow_probability(classifier, ids, explained.target))
    if protocol == "strict":
        return 100 * sum(drops) / 9, drops
    return 100 * float(integrate.trapezoid(drops, dx=0.1)), drops


def random_scores(text: Text, seed: int = 0, target: int = 1) -> Attribution:
    """Small whole numbers: many are equal, some are negative."""
    return attribution(text, np.random.default_rng(seed).integers(-2, 3, len(text)), target)


@pytest.mark.slow
@PROTOCOLS
@pytest.mark.parametrize("b", [None, 1.5])
@pytest.mark.parametrize("kind", KINDS)
def test_erasure_agrees_with_one_text_at_a_time(kind, b, protocol):
    classifier = shared_classifier(kind, b, classes=3, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (11, 1, 2))):
        explained = random_scores(one, target=target)
        for metric, remove in ((Comprehensiveness(protocol), True), (Sufficiency(protocol), False)):
            found = answers(classifier, metric(one, explained))
            value, parts = slow_erasure(classifier, one, explained, protocol, remove)
            assert found.value == pytest.approx(value, abs=1e-10)
            assert found.parts == pytest.approx(parts, abs=1e-12)


def test_erasure_is_accurate_in_float32():
    classifier = shared_classifier("bert")
    one = random_texts(classifier, (11,))[0]
    explained = random_scores(one)
    value, _ = slow_erasure(classifier, one, explained, "strict", remove=True)
    assert answers(classifier, Comprehensiveness()(one, explained)).value == pytest.approx(value, abs=1e-4)


# By hand: p(class 1) is the sigmoid of the sum of the words' weights. [CLS] weighs 1, [SEP] 0, the mask 0, the words
# 2, 1 and -1, so p0 = sigmoid(3). With 3 words, k is 1 for the ratios 0.1 to 0.6 and 2 for 0.7 to 0.9.
GOLDEN = LinearModel.binary([0.0, 1.0, 0.0, 2.0, 1.0, -1.0])
SIGMOID = {-1: 0.2689414213699951, 0: 0.5, 1: 0.7310585786300049, 2: 0.8807970779778823, 3: 0.9525741268224334,
           4: 0.9820137900379085}  # fmt: skip


def golden_case() -> tuple[Text, Attribution]:
    one = text([CLS, 4, 5, 3, SEP])
    return one, attribution(one, [99.0, 1.0, -1.0, 2.0, 99.0], target=1)


def test_comprehensiveness_by_hand():
    without_one, without_two = SIGMOID[3] - SIGMOID[1], SIGMOID[3] - SIGMOID[0]
    found = answers(GOLDEN, Comprehensiveness("strict")(*golden_case()))
    assert found.parts == pytest.approx([without_one] * 6 + [without_two] * 3, rel=1e-12)
    assert found.value == pytest.approx(100 * (6 * without_one + 3 * without_two) / 9, rel=1e-12)
    assert found.value == pytest.approx(29.8535074, abs=1e-6)
    found = answers(GOLDEN, Comprehensiveness("paper")(*golden_case()))
    assert found.value == pytest.approx(10 * (5.5 * without_one + 2.5 * without_two), rel=1e-12)
    assert found.value == pytest.approx(23.4977083, abs=1e-6)


def test_sufficiency_by_hand():
    found = answers(GOLDEN, Sufficiency("strict")(*golden_case()))  # [CLS] stays
    only_one, only_two = SIGMOID[3] - SIGMOID[3], SIGMOID[3] - SIGMOID[4]
    assert found.parts == pytest.approx([only_one] * 6 + [only_two] * 3, rel=1e-12)
    assert found.value == pytest.approx(100 * (6 * only_one + 3 * only_two) / 9, rel=1e-12)
    assert found.value < 0
    found = answers(GOLDEN, Sufficiency("paper")(*golden_case()))  # [CLS] goes
    only_one, only_two = SIGMOID[3] - SIGMOID[2], SIGMOID[3] - SIGMOID[3]
    assert found.parts == pytest.approx([only_one] * 6 + [only_two] * 3, rel=1e-12)
    assert found.value == pytest.approx(10 * (5.5 * only_one + 2.5 * only_two), rel=1e-12)


def test_target_is_the_explained_class():
    one, explained = golden_case()
    for_one = answers(GOLDEN, Comprehensiveness()(one, explained))
    for_zero = answers(GOLDEN, Comprehensiveness()(one, attribution(one, explained.scores, target=0)))
    assert for_zero.value == pytest.approx(-for_one.value, rel=1e-12)


def test_signed_order_is_the_best_there_is_on_a_linear_model():
    weights = [0.5, -1.5, 2.0, 0.2]
    model, one = LinearModel.binary([0.0, 0.3, -0.1, *weights]), text([CLS, 3, 4, 5, 6, SEP])
    scores = {order: attribution(one, [0, *order, 0], target=1) for order in itertools.permutations(range(4))}
    best = tuple(np.argsort(np.argsort(weights)).tolist())
    for metric, sign in ((Comprehensiveness(), 1), (Sufficiency(), -1)):
        values = {order: sign * answers(model, metric(one, explained)).value for order, explained in scores.items()}
        assert max(values, key=values.get) == best


@pytest.mark.parametrize(("protocol", "most"), [("strict", 100), ("paper", 80)])
def test_the_most_that_erasure_can_come_to(protocol, most):
    model, one = LinearModel.binary([0.0, 0.0, 0.0, 2000.0], bias=-1000.0), text([CLS, 3, SEP])
    explained = attribution(one, [0, 1, 0], target=1)
    assert answers(model, Comprehensiveness(protocol)(one, explained)).value == pytest.approx(most, rel=1e-12)
    other_way_round = attribution(one, [0, 1, 0], target=0)
    assert answers(model, Comprehensiveness(protocol)(one, other_way_round)).value == pytest.approx(-most, rel=1e-12)


@PROTOCOLS
def test_ties_are_broken_by_position(protocol):
    one = text([CLS, 3, 4, 5, 6, SEP])
    explained = attribution(one, [5, 1, 1, 1, 1, 5])
    question = next(Comprehensiveness(protocol)(one, explained))
    first_masked = [int(np.flatnonzero(~row)[0 if protocol == "strict" else -1]) for row in question.keep[1:]]
    assert set(first_masked) == {1 if protocol == "strict" else 4}
    assert np.flatnonzero(~question.keep[5]).tolist() == ([1, 2] if protocol == "strict" else [3, 4])


@PROTOCOLS
def test_ties_among_distinct_scores_do_not_disturb_the_order(protocol):
    one = text([CLS, 3, 4, 5, 6, 7, SEP])
    explained = attribution(one, [0, -1, 2, 2, -1, 3, 0])
    question = next(Comprehensiveness(protocol)(one, explained))
    order = [5, 2, 3, 1, 4] if protocol == "strict" else [5, 3, 2, 4, 1]
    for tenth, row in enumerate(question.keep[1:], start=1):
        assert set(np.flatnonzero(~row)) == set(order[: max(1, 5 * tenth // 10)])


@PROTOCOLS
def test_special_tokens_are_never_ranked(protocol):
    one = text([CLS, 3, SEP, 4, SEP], special=(0, 2, 4))
    explained = attribution(one, [9, 1, 9, 2, 9])
    removed = next(Comprehensiveness(protocol)(one, explained)).keep
    assert removed[:, one.special].all()
    kept = next(Sufficiency(protocol)(one, explained)).keep
    assert kept[0].all()
    assert (kept[1:, one.special] == (protocol == "strict")).all()


@pytest.mark.parametrize(("content", "seven_tenths"), [(90, 63), (170, 119), (180, 126)])
def test_k_is_exact_where_floating_point_gives_one_too_few(content, seven_tenths):
    assert int(content * 0.7) < seven_tenths
    one = text([CLS, *([3] * content), SEP])
    question = next(Comprehensiveness()(one, attribution(one, np.arange(content + 2.0))))
    assert (~question.keep[7]).sum() == seven_tenths


def test_k_is_the_floor_of_the_exact_product():
    for content in range(1, 600):
        assert sizes(content) == [max(1, math.floor(Fraction(i, 10) * content)) for i in range(1, 10)]


@PROTOCOLS
@pytest.mark.parametrize("metric", [Comprehensiveness, Sufficiency])
def test_a_text_of_one_content_token(metric, protocol):
    model, one = LinearModel.binary([0.0, 1.0, 0.0, 2.0]), text([CLS, 3, SEP])
    found = answers(model, metric(protocol)(one, attribution(one, [0, -1, 0], target=1)))
    left = {Comprehensiveness: SIGMOID[1], Sufficiency: SIGMOID[3 if protocol == "strict" else 2]}[metric]
    assert found.parts == pytest.approx([SIGMOID[3] - left] * 9)
    assert found.value == pytest.approx((100 if protocol == "strict" else 80) * (SIGMOID[3] - left))


@pytest.mark.parametrize("metric", [Comprehensiveness, Sufficiency])
def test_erasure_refuses_a_protocol_by_name_and_value(metric):
    with pytest.raises(ValueError, match="protocol='loose' is not allowed; use strict or paper"):
        metric("loose")


@pytest.mark.parametrize("part", ["absolute", "positive"])
@pytest.mark.parametrize("normalised", [False, True])
def test_entropy_agrees_with_scipy(part, normalised):
    generator = np.random.default_rng(0)
    for length in (2, 3, 10, 50):
        scores = generator.normal(size=length + 2)
        scores[1] = abs(scores[1])
        one = text([CLS, *([3] * length), SEP])
        content = scores[1:-1]
        expected = stats.entropy(np.abs(content) if part == "absolute" else content.clip(min=0))
        found = Entropy(part, normalised)(one, attribution(one, scores)).value
        assert found == pytest.approx(expected / (math.log(length) if normalised else 1), rel=1e-12, abs=1e-15)


def test_entropy_by_hand():
    one = text([CLS, 3, 4, 5, 6, SEP])
    alike, alone = attribution(one, [9, 2, -2, 2, -2, 9]), attribution(one, [9, 0, 0, -7, 0, 9])
    assert Entropy()(one, alike).value == pytest.approx(math.log(4))
    assert Entropy(normalised=True)(one, alike).value == pytest.approx(1)
    assert Entropy("positive")(one, alike).value == pytest.approx(math.log(2))
    assert Entropy("positive", normalised=True)(one, alike).value == pytest.approx(0.5)
    assert Entropy()(one, alone).value == 0
    halves = attribution(one, [0, 2, 1, -1, 0, 0])
    assert Entropy()(one, halves).value == pytest.approx(1.5 * math.log(2))


def test_entropy_does_not_depend_on_scale_or_precision():
    one = text([CLS, 3, 4, 5, SEP])
    scores = np.array([0, 0.5, -0.25, 1, 0])
    values = [Entropy()(one, attribution(one, scale * scores)).value for scale in (1e-300, 1, 1e300)]
    single = Entropy()(one, Attribution(one.id, 0, scores.astype(np.float32))).value
    assert values == pytest.approx([single] * 3, rel=1e-12)


def test_entropy_is_undefined_without_scores():
    one = text([CLS, 3, 4, SEP])
    assert math.isnan(Entropy()(one, attribution(one, [9, 0, 0, 9])).value)
    assert math.isnan(Entropy("positive")(one, attribution(one, [9, -1, 0, 9])).value)
    assert Entropy()(one, attribution(one, [9, -1, 0, 9])).value == 0


def test_entropy_of_one_token_is_zero_and_undefined_when_normalised():
    one = text([CLS, 3, SEP])
    assert Entropy()(one, attribution(one, [9, 5, 9])).value == 0
    assert math.isnan(Entropy(normalised=True)(one, attribution(one, [9, 5, 9])).value)


def test_entropy_refuses_a_part_by_name_and_value():
    with pytest.raises(ValueError, match="part='negative' is not allowed; use absolute or positive"):
        Entropy("negative")


@pytest.mark.parametrize("seed", range(20))
def test_evidence_agrees_with_sklearn(seed):
    generator = np.random.default_rng(seed)
    length = int(generator.integers(2, 30))
    marked = [0, *generator.permutation(length)[: generator.integers(1, length + 1)] + 1]  # [CLS] must not count
    one = text([CLS, *([3] * length), SEP], evidence=marked)
    for scores in (generator.normal(size=length + 2), generator.integers(-2, 3, length + 2)):
        expected = average_precision_score(one.evidence[1:-1], scores[1:-1])
        found = Evidence()(one, attribution(one, scores)).value
        assert found == pytest.approx(100 * expected, rel=1e-12)


def test_evidence_by_hand():
    one = text([CLS, 3, 4, 5, 6, SEP], evidence=[2, 4])
    for scores, expected in (
        ([0, 1, 4, 2, 3, 0], 100),
        ([0, 4, 3, 2, 1, 0], 100 * (1 / 2 + 2 / 4) / 2),
        ([0, 4, 1, 3, 2, 0], 100 * (1 / 3 + 2 / 4) / 2),
        ([0, 2, 2, 1, 1, 0], 100 * (1 / 2 + 2 / 4) / 2),
    ):
        assert Evidence()(one, attribution(one, scores)).value == pytest.approx(expected)


def test_evidence_of_constant_scores_is_the_share_of_evidence():
    one = text([CLS, 3, 4, 5, 6, SEP], evidence=[3])
    assert Evidence()(one, attribution(one, [0, 7, 7, 7, 7, 0])).value == pytest.approx(25)


def test_evidence_is_undefined_where_nothing_is_marked():
    one = text([CLS, 3, 4, SEP], evidence=[])
    assert math.isnan(Evidence()(one, attribution(one, [0, 1, 2, 0])).value)


def test_average_precision_counts_each_threshold_once():
    scores, relevant = np.array([1.0, 1.0, 0.0]), np.array([True, False, True])
    assert average_precision(scores, relevant) == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 3)
