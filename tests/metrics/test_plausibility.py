"""Agreement with known evidence and with human rationales: all orders of ties, scikit-learn, ERASER's definition."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import LinearModel, answers, attribution, random_texts, shared_classifier, text
from faithbench_metrics.evidence import Evidence
from faithbench_metrics.evidence_mrr import EvidenceMRR
from faithbench_metrics.evidence_precision import EvidencePrecision
from faithbench_metrics.ranking import expected_hits, expected_reciprocal_rank, mean_ranks, spearman
from faithbench_metrics.rationale_auprc import RationaleAUPRC
from faithbench_metrics.rationale_f1 import RationaleF1
from faithbench_metrics.rationale_iou import RationaleIOU, runs
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score, label_ranking_average_precision_score

from faithbench.conformance import check_metric
from faithbench.plugins import spec
from faithbench.types import Text

EVIDENCE = (Evidence(), EvidencePrecision(), EvidencePrecision(k=1), EvidenceMRR())
RATIONALE = (RationaleAUPRC(), RationaleF1(), RationaleF1(ratio=0.3), RationaleIOU(), RationaleIOU(ratio=0.3))
MRR = [EvidenceMRR(adjusted, right) for adjusted in (False, True) for right in (False, True)]
ALL = pytest.mark.parametrize("metric", [*EVIDENCE, *RATIONALE], ids=repr)


def marked(length: int, marks: Sequence[int], majority: Sequence[int] = ()) -> Text:
    """A text of so many content tokens; marks are positions, the first content token is 1. [CLS] is marked too."""
    one = text([1, *range(3, length + 3), 2], evidence=[0, *marks])
    flags = np.zeros(length + 2, dtype=bool)
    flags[list(majority)] = True
    return Text(**{**vars(one), "rationale_majority": flags})


def measured(metric: object, one: Text, scores: Sequence[float]) -> float:
    """Special tokens have the highest scores, which must not count."""
    return metric(one, attribution(one, [99, *scores, 99])).value


def orders(scores: Sequence[float]) -> list[list[int]]:
    """All orders of the places, highest score first, that some way to break ties gives."""
    everything = itertools.permutations(range(len(scores)))
    return [list(o) for o in everything if all(scores[a] >= scores[b] for a, b in itertools.pairwise(o))]


@pytest.mark.parametrize("seed", range(12))
def test_ties_count_by_the_mean_over_all_orders(seed):
    draws = np.random.default_rng(seed)
    n = int(draws.integers(1, 7))
    scores, relevant = draws.integers(0, 3, n).astype(float), draws.random(n) < 0.5
    relevant[draws.integers(n)] = True
    found = orders(scores)
    for k in range(1, n + 1):
        hits = [sum(relevant[place] for place in order[:k]) for order in found]
        assert expected_hits(scores, relevant, k) == pytest.approx(np.mean(hits), rel=1e-12)
    first = [next(rank for rank, place in enumerate(order, start=1) if relevant[place]) for order in found]
    mean = np.mean([1 / rank for rank in first])
    assert expected_reciprocal_rank(scores, relevant) == pytest.approx(mean, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "e"), [(1, 1), (5, 1), (5, 2), (9, 9), (40, 3)])
def test_constant_scores_have_the_chance_level_of_random_ones(n, e):
    one, draws = marked(n, range(1, e + 1)), np.random.default_rng(0)
    places = [draws.permutation(n) for _ in range(300)]
    chance = {
        EvidencePrecision(): e / n,
        EvidencePrecision(k=1): e / n,
        EvidencePrecision(k=3): e / n,
        EvidenceMRR(): sum(math.comb(n - r, e - 1) / math.comb(n, e) / r for r in range(1, n - e + 2)),
        RationaleF1(): e / n,
        RationaleF1(ratio=0.5): 2 * max(1, n // 2) * e / n / (max(1, n // 2) + e),
    }
    if n == e:
        del chance[EvidenceMRR()]  # every order is perfect, and says nothing
    for metric, level in chance.items():
        values = [measured(metric, one, scores) for scores in places]
        assert measured(metric, one, [0.5] * n) == pytest.approx(100 * level, rel=1e-12)
        assert np.mean(values) == pytest.approx(100 * level, abs=5 * np.std(values) / 300**0.5 + 1e-9)
    harmonic = sum(1 / r for r in range(1, n + 1)) / n
    level = (e - 1) / max(1, n - 1) * (1 - harmonic) + harmonic  # of scores without ties, as `Evidence` says
    values = [measured(Evidence(), one, scores) for scores in places]
    assert np.mean(values) == pytest.approx(100 * level, abs=5 * np.std(values) / 300**0.5 + 1e-9)
    assert measured(RationaleAUPRC(), one, [0.5] * n) == pytest.approx(100 * e / n)


def test_chance_of_one_evidence_token_is_the_harmonic_mean():
    assert measured(EvidenceMRR(), marked(4, [2]), [1] * 4) == pytest.approx(25 * (1 + 1 / 2 + 1 / 3 + 1 / 4))


@ALL
def test_a_perfect_explainer_has_100_and_a_wrong_one_the_least(metric):
    one = marked(10, [3, 4, 8], majority=[3, 4, 8])
    right = np.arange(10) / 10 + one.evidence[1:-1]
    assert measured(metric, one, right) == pytest.approx(100)
    last = 100 * np.mean([1 / 8, 2 / 9, 3 / 10])
    least = {Evidence: last, RationaleAUPRC: last, EvidenceMRR: 100 / 8}.get(type(metric), 0)
    assert measured(metric, one, -right) == pytest.approx(least)


def test_evidence_by_hand():
    one = marked(5, [2, 4])
    for scores, precision, first, reciprocal in (
        ([1, 9, 2, 8, 3], 1, 1, 1),
        ([9, 1, 8, 2, 3], 0, 0, 1 / 4),
        ([9, 8, 3, 2, 1], 1 / 2, 0, 1 / 2),
        ([9, 8, 8, 2, 1], 1 / 4, 0, (1 / 2 + 1 / 3) / 2),
        ([5, 5, 5, 5, 1], 1 / 2, 1 / 2, (3 * 1 + 2 / 2 + 1 / 3) / 6),
    ):
        assert measured(EvidencePrecision(), one, scores) == pytest.approx(100 * precision)
        assert measured(EvidencePrecision(k=1), one, scores) == pytest.approx(100 * first)
        assert measured(EvidenceMRR(), one, scores) == pytest.approx(100 * reciprocal)
    assert measured(EvidencePrecision(k=4), one, [1, 9, 2, 8, 3]) == pytest.approx(50)  # two of four at most
    assert measured(EvidencePrecision(k=1000), one, [1, 9, 2, 8, 3]) == pytest.approx(40)  # all five tokens


def test_mrr_agrees_with_sklearn_where_one_token_is_evidence():
    draws = np.random.default_rng(0)
    for _ in range(20):
        scores, mark = draws.normal(size=12), int(draws.integers(12))
        expected = label_ranking_average_precision_score(np.eye(12)[[mark]], scores[None])
        assert measured(EvidenceMRR(), marked(12, [mark + 1]), scores) == pytest.approx(100 * expected)


def slow_chance(n: int, e: int) -> float:
    """The mean reciprocal rank of the first of e marked tokens over all orders of n."""
    return float(np.mean([1 / (1 + min(order[:e])) for order in itertools.permutations(range(n))]))


@pytest.mark.parametrize(("n", "e"), [(2, 1), (3, 1), (3, 2), (5, 1), (5, 3), (6, 2), (6, 5)])
def test_above_chance_is_a_ratio_of_means_with_the_chance_of_all_orders(n, e):
    one, draws, chance = marked(n, range(1, e + 1)), np.random.default_rng(n), slow_chance(n, e)
    for scores in (draws.permutation(n), draws.integers(0, 3, n), np.zeros(n)):
        first = [next(r for r, place in enumerate(order, 1) if place < e) for order in orders(scores.tolist())]
        rank = np.mean([1 / r for r in first])
        plain = EvidenceMRR()(one, attribution(one, [99, *scores, 99]))
        found = EvidenceMRR(adjusted=True)(one, attribution(one, [99, *scores, 99]))
        assert plain.parts == found.parts == pytest.approx((rank, chance), rel=1e-12)
        assert (plain.value, plain.weight) == (pytest.approx(100 * rank, rel=1e-12), 1)
        assert found.value == pytest.approx(100 * (rank - chance) / (1 - chance), abs=1e-9)
        assert found.weight == pytest.approx(1 - chance, rel=1e-12)
    assert measured(EvidenceMRR(adjusted=True), one, range(n, 0, -1)) == pytest.approx(100)


def test_the_mean_above_chance_over_texts_is_that_of_the_means():
    texts, draws = [marked(3, [1]), marked(9, [2, 5]), marked(15, [7])], np.random.default_rng(0)
    pairs = [(one, attribution(one, draws.normal(size=len(one)))) for one in texts]
    found = [EvidenceMRR(adjusted=True)(*pair) for pair in pairs]
    ranks, chances = np.array([EvidenceMRR()(*pair).parts for pair in pairs]).mean(axis=0)
    mean = sum(each.value * each.weight for each in found) / sum(each.weight for each in found)
    assert mean == pytest.approx(100 * (ranks - chances) / (1 - chances))


@pytest.mark.parametrize("metric", MRR, ids=repr)
def test_where_all_or_nothing_is_evidence_nothing_is_defined(metric):
    model = LinearModel.binary([1.0] * 8)
    for one in (marked(1, [1]), marked(3, [1, 2, 3]), marked(3, []), text([1, 4, 5, 2])):
        found = answers(model, metric(replace(one, label=1), attribution(one, [9.0] * len(one))))
        assert math.isnan(found.value)


def test_only_texts_that_the_model_gets_right_count_where_that_is_asked():
    model, scores = LinearModel.binary([0.0, 0.0, 0.0, 2.0, -2.0]), [0, 3, 2, 1, 0]
    for middle, predicted in ((3, 1), (4, 0), (2, None)):  # in favour, against, level
        one = text([1, 2, middle, 2, 1], evidence=[2])
        for label in (0, 1, None):
            asked = [EvidenceMRR(right=True)(replace(one, label=label), attribution(one, scores))]
            found = answers(model, *asked).value
            assert found == pytest.approx(50) if label == predicted and label is not None else math.isnan(found)


def test_what_mrr_needs_and_what_older_results_are_called():
    built = {each: spec.build("metric", each) for each in ("evidence_mrr", "evidence_mrr(adjusted=True, right=True)")}
    plain, other = built.values()
    assert (plain.identity, plain.traits.needs, plain.traits.range) == ("evidence_mrr", ("evidence",), (0, 100))
    assert (other.label, other.traits.needs) == ("evidence_mrr(adjusted=True, right=True)", ("evidence", "label"))
    assert (other.traits.links, other.traits.range) == (("softmax",), (-math.inf, 100))
    assert plain.version == other.version == 2


# Rationales


def eraser(chosen: Sequence[int], truth: Sequence[int]) -> tuple[float, float]:
    """Token F1 and IOU F1 of one text as ERASER defines them: sets of places, spans as sets."""
    hits = len(set(chosen) & set(truth))
    precision, recall = hits / len(chosen), hits / len(truth)
    token = 2 * precision * recall / (precision + recall) if hits else 0
    spans, others = slow_spans(chosen), slow_spans(truth)
    found = sum(max(len(s & o) / len(s | o) for o in others) >= 0.5 for s in spans)
    precision, recall = found / len(spans), found / len(others)
    return 100 * token, 100 * (2 * precision * recall / (precision + recall) if found else 0)


def slow_spans(places: Sequence[int]) -> list[set[int]]:
    spans: list[set[int]] = []
    for place in sorted(places):
        if spans and place - 1 in spans[-1]:
            spans[-1].add(place)
        else:
            spans.append({place})
    return spans


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.7, 1.0])
def test_rationale_metrics_agree_with_eraser_and_sklearn(seed, ratio):
    draws = np.random.default_rng(seed)
    n = int(draws.integers(1, 25))
    union = sorted(draws.permutation(n)[: draws.integers(1, n + 1)] + 1)
    majority = union[: max(1, len(union) // 2)]
    one = marked(n, union, majority)
    smooth = np.convolve(draws.normal(size=n + 2), np.ones(3), mode="valid")  # so that spans are of some length
    for annotators, truth in (("union", union), ("majority", majority)):
        k = max(1, math.floor(round(ratio * 10) * n / 10)) if ratio else len(truth)
        chosen = (np.argsort(-smooth)[:k] + 1).tolist()
        token, spans = eraser(chosen, truth)
        flags = [np.isin(np.arange(1, n + 1), places) for places in (truth, chosen)]
        assert token == pytest.approx(100 * f1_score(*flags))
        assert measured(RationaleF1(annotators, ratio), one, smooth) == pytest.approx(token)
        assert measured(RationaleIOU(annotators, ratio), one, smooth) == pytest.approx(spans)
        expected = 100 * average_precision_score(flags[0], smooth)
        assert measured(RationaleAUPRC(annotators), one, smooth) == pytest.approx(expected)


def test_spans_by_hand():
    one = marked(12, [2, 3, 4, 5, 9, 10])
    for chosen, expected in (
        ([2, 3, 4, 5, 9, 10], 100),
        ([4, 5, 6, 7, 10, 11], 0),  # 2 of 6 and 1 of 3
        ([3, 4, 5, 6, 9, 12], 200 * 2 / (3 + 2)),  # 3 of 5; 1 of 2, which is half; 0
        ([1, 3, 5, 7, 9, 11], 200 * 1 / (6 + 2)),  # only 9 is half of its span
        ([5, 6, 7, 8, 9, 10], 0),  # one span over both: 1 of 9 and 2 of 6
    ):
        scores = np.isin(np.arange(1, 13), chosen).astype(float)
        assert measured(RationaleIOU(), one, scores) == pytest.approx(expected)
        assert eraser(chosen, [2, 3, 4, 5, 9, 10])[1] == pytest.approx(expected)


def test_of_equal_scores_the_first_make_the_spans():
    assert measured(RationaleIOU(), marked(6, [1, 2]), [1] * 6) == 100
    assert measured(RationaleIOU(), marked(6, [5, 6]), [1] * 6) == 0


def test_special_tokens_divide_spans():
    one = text([1, 3, 2, 4, 2], special=[0, 2, 4], evidence=[1, 2, 3])
    assert runs(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert RationaleIOU(ratio=0.5)(one, attribution(one, [9, 1, 9, 0, 9])).value == pytest.approx(200 / 3)


@pytest.mark.parametrize("ratio", [0.1, 0.29, 0.57, 0.7, 1.0])
def test_k_is_the_floor_of_the_exact_product(ratio):
    for n in (1, 7, 90, 100, 170, 180):
        one = marked(n, [1])
        k = max(1, round(100 * ratio) * n // 100)
        assert measured(RationaleF1(ratio=ratio), one, -np.arange(n)) == pytest.approx(200 / (k + 1))


def test_annotators_choose_what_is_needed():
    for metric in (RationaleAUPRC, RationaleF1, RationaleIOU):
        assert metric("union").needs == metric().needs == ("rationale",)
        assert metric("majority").needs == ("rationale_majority",)
        with pytest.raises(ValueError, match="annotators='all' is not allowed; use union or majority"):
            metric("all")
    for metric in (RationaleF1, RationaleIOU):
        for ratio in (-0.1, 1.1, math.nan):
            with pytest.raises(ValueError, match=r"ratio=.* is not allowed; it must be from 0 to 1"):
                metric(ratio=ratio)
    for k in (-1, 1001, True):
        with pytest.raises(ValueError, match=r"k=.* is not allowed; it must be a whole number from 0 to 1,000"):
            EvidencePrecision(k=k)


@ALL
def test_where_nothing_is_marked_nothing_is_defined(metric):
    unmarked = text([1, 3, 4, 2])
    assert math.isnan(measured(metric, unmarked, [1, 2]))
    assert math.isnan(measured(metric, marked(2, []), [1, 2]))  # [CLS] does not count
    if hasattr(metric, "annotators"):
        majority = type(metric)("majority")
        assert math.isnan(measured(majority, marked(2, [1]), [1, 2]))
        assert measured(majority, marked(2, [1], majority=[2]), [1, 2]) == 100


@ALL
def test_one_token_and_scores_that_are_no_numbers(metric):
    alone = measured(metric, marked(1, [1]), [-3])
    assert math.isnan(alone) if isinstance(metric, EvidenceMRR) else alone == 100
    assert math.isnan(measured(metric, marked(3, [1]), [1, math.nan, 0]))


@pytest.mark.parametrize("metric", [*EVIDENCE, *MRR[1:], *RATIONALE], ids=repr)
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_all_keep_the_contract(metric, kind):
    classifier = shared_classifier(kind, dtype=torch.float64)
    assert check_metric(metric, classifier, random_texts(classifier, (6, 1, 3))) is None


def test_kinds_are_named():
    assert {metric.kind for metric in EVIDENCE} == {"ground truth"}
    assert {metric.kind for metric in RATIONALE} == {"plausibility"}
    assert all(metric.higher_is_better for metric in (*EVIDENCE, *RATIONALE))


def test_spearman_agrees_with_scipy():
    draws = np.random.default_rng(0)
    for n in (2, 3, 10, 50):
        one, other = draws.integers(0, 5, n) + 0.0, draws.normal(size=n)
        one[:2] = 0, 1
        assert mean_ranks(one) == pytest.approx(stats.rankdata(one))
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
        assert spearman(one, one**3) == 1
        assert spearman(one, -one) == -1
    for constant in ([1, 1, 1], [1], [1, math.nan, 2]):
        assert math.isnan(spearman(np.array(constant, dtype=float), np.arange(float(len(constant)))))
