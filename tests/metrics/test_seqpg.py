"""The Sequence Pointing Game and pointing accuracy: by hand, against a slow version, and what chance comes to."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, attribution, random_texts, text, tiny_classifier
from faithbench_explainers.attention import Attention
from faithbench_explainers.input_x_gradient import InputXGradient
from faithbench_explainers.occlusion import Occlusion
from faithbench_explainers.random import Random
from faithbench_metrics.pointing_accuracy import PointingAccuracy
from faithbench_metrics.seqpg import SeqPG, equal_parts
from fixtures_run import checkpoint, trained_cache, use_cache

import faithbench
from faithbench.conformance import check_metric
from faithbench.conversations import Asking, answering, ask
from faithbench.questions import Explain
from faithbench.records.store import Store
from faithbench.types import Attribution, Example, Measurement, Text

PROTOCOLS = pytest.mark.parametrize("protocol", ["strict", "paper"])
METRICS = pytest.mark.parametrize("metric", [SeqPG("strict"), SeqPG("paper"), PointingAccuracy()], ids=repr)
CLS, SEP = 1, 2


def document(*lengths: int, classes: Sequence[int] | None = None) -> Text:
    """[CLS] segment [SEP] segment [SEP] …, of so many tokens each, which all differ."""
    ids, segments = [CLS], [-1]
    for index, length in enumerate(lengths):
        start = 3 + sum(lengths[:index])
        ids += [*range(start, start + length), SEP]
        segments += [*[index] * length, -1]
    plain = text(ids, special=[i for i, segment in enumerate(segments) if segment < 0])
    return replace(plain, segments=np.array(segments), segment_classes=tuple(classes or range(len(lengths))))


def measured(metric: object, one: Text, scores: Mapping[int, Sequence[float]]) -> Measurement:
    """The metric of an explainer that gives each class these scores; it is asked for no other."""

    def explain(question: Explain) -> Attribution:
        assert question.variant is None
        return attribution(one, scores[question.target], question.target)

    given = attribution(one, np.full(len(one), np.nan), target=9)  # the predicted class plays no part
    asking = answering(ask(metric, one, given), lambda question: ask(explain, question))
    return answers(LinearModel.random(), asking)


# [CLS] 3 words [SEP] 2 words [SEP]: special tokens have the highest scores and play no part. `paper` cuts the 5 words
# behind the second.
GOLDEN = {0: [9, 3, -5, 1, 9, 1, -1, 9], 1: [9, 0.5, -2, 0.5, 9, 3, 1, 9]}


@pytest.mark.parametrize(("protocol", "parts"), [("strict", (4 / 5, 4 / 5)), ("paper", (3 / 5, 4.5 / 5))])
def test_seqpg_by_hand(protocol, parts):
    found = measured(SeqPG(protocol), document(3, 2), GOLDEN)
    assert found.parts == pytest.approx(parts)
    assert found.value == pytest.approx(100 * sum(parts) / 2)
    assert found.weight == 2


@pytest.mark.parametrize(
    ("lengths", "parts"),
    [
        ((9, 6), [0] * 7 + [1] * 8),  # floor(15 / 2), and not where half of the input lies, special tokens included
        ((1, 1), [0, 1]),
        ((5, 5), [0] * 5 + [1] * 5),
        ((2, 3, 2), [0, 0, 1, 1, 2, 2, 2]),  # floor(7 / 3) and floor(14 / 3)
        ((1, 0), [1]),
    ],
)
@pytest.mark.parametrize("doubled", [False, True], ids=["[SEP]", "</s></s>"])
def test_paper_cuts_what_is_left_without_special_tokens(lengths, parts, doubled):
    one = document(*lengths)
    if doubled:
        places = np.repeat(np.arange(len(one)), np.where(one.special & (np.arange(len(one)) > 0), 2, 1))
        plain = text(one.ids[places].tolist(), special=np.flatnonzero(one.special[places]).tolist())
        one = replace(plain, segments=one.segments[places], segment_classes=one.segment_classes)
    found = equal_parts(one)
    assert found[~one.special].tolist() == parts
    assert (found[one.special] == -1).all()


def test_only_the_version_of_the_paper_protocol_was_raised():
    assert (SeqPG().version, SeqPG("paper").version) == (1, 2)


def test_protocols_differ_where_the_separator_is_not_in_the_middle():
    one = document(1, 4)  # of 8 tokens the first 4 are [CLS] s1 [SEP] s2
    scores = {0: [0, 1, 0, 2, 3, 0, 0, 0], 1: [0, 4, 0, 2, 1, 1, -7, 0]}
    assert measured(SeqPG(), one, scores).parts == pytest.approx((1 / 6, 4 / 8))
    assert measured(SeqPG("paper"), one, scores).parts == pytest.approx((3 / 6, 2 / 8))


def test_a_term_without_positive_score_is_undefined_or_zero():
    one = document(2, 2)
    scores = {0: [9, 3, 1, 9, 1, 0, 9], 1: [9, -1, 0, 9, -2, 0, 9]}
    found = measured(SeqPG(), one, scores)
    assert found.parts == pytest.approx((4 / 5, math.nan), nan_ok=True)
    assert (found.value, found.weight) == (pytest.approx(80), 1)
    found = measured(SeqPG("paper"), one, scores)
    assert found.parts == pytest.approx((4 / 5, 0))
    assert (found.value, found.weight) == (pytest.approx(40), 2)


def test_nothing_positive_at_all():
    one, scores = document(2, 2), {c: [9, 0, 0, 9, -1, 0, 9] for c in (0, 1)}
    found = measured(SeqPG(), one, scores)
    assert math.isnan(found.value)
    assert found.weight == 0
    assert measured(SeqPG("paper"), one, scores).value == 0


@dataclass(frozen=True)
class Chosen:
    """Scores 1 in segments chosen for a class, −1 elsewhere."""

    segments: Mapping[int, Sequence[int]]

    def scores(self, one: Text, classes: Sequence[int]) -> dict[int, list[float]]:
        return {c: np.where(np.isin(one.segments, self.segments[c]), 1.0, -1.0).tolist() for c in classes}


@METRICS
def test_a_perfect_explainer_has_100_and_a_wrong_one_0(metric):
    one = document(3, 3, 3)
    right, wrong = Chosen({0: [0], 1: [1], 2: [2]}), Chosen({0: [1, 2], 1: [0], 2: [1]})
    assert measured(metric, one, right.scores(one, (0, 1, 2))).value == pytest.approx(100)
    assert measured(metric, one, wrong.scores(one, (0, 1, 2))).value == 0


@METRICS
@pytest.mark.parametrize("lengths", [(2, 3), (1, 1), (4, 1), (3, 2, 5), (1, 2, 3, 4)])
def test_scores_that_do_not_depend_on_the_class_have_exactly_the_chance_level(metric, lengths):
    draws, one = np.random.default_rng(0), document(*lengths)
    for scores in (*draws.normal(size=(5, len(one))), *draws.integers(0, 3, (5, len(one))), np.ones(len(one))):
        found = measured(metric, one, {c: [*scores[:-2], 2, 7] for c in range(len(lengths))})
        assert found.value == pytest.approx(100 / len(lengths), rel=1e-14)
        assert found.weight == len(lengths)


def test_pointing_accuracy_by_hand():
    one = document(3, 2)
    assert measured(PointingAccuracy(), one, GOLDEN).parts == (1, 1)
    missed = {0: GOLDEN[1], 1: GOLDEN[0]}
    assert measured(PointingAccuracy(), one, missed).value == 0
    tied = {0: [9, 3, 3, 1, 9, 3, 0, 9], 1: [9, -4, -3, -2, 9, -2, -8, 9]}  # two of three right; one of two
    found = measured(PointingAccuracy(), one, tied)
    assert found.parts == pytest.approx((2 / 3, 1 / 2))
    assert (found.value, found.weight) == (pytest.approx(100 * 7 / 12), 2)
    constant = measured(PointingAccuracy(), one, dict.fromkeys((0, 1), [0.0] * 8))
    assert constant.parts == pytest.approx((3 / 5, 2 / 5))


def slow_seqpg(one: Text, scores: Mapping[int, np.ndarray]) -> list[float]:
    """specs/protocols.md, token by token."""
    terms = []
    for index, label in enumerate(one.segment_classes):
        own = everywhere = 0.0
        for t in range(len(one)):
            if not one.special[t] and scores[label][t] > 0:
                everywhere += scores[label][t]
                own += scores[label][t] if one.segments[t] == index else 0
        terms.append(own / everywhere if everywhere else math.nan)
    return terms


@pytest.mark.parametrize("seed", range(10))
def test_seqpg_agrees_with_the_slow_version(seed):
    draws = np.random.default_rng(seed)
    classes = draws.permutation(5)[: draws.integers(2, 5)]
    one = document(*draws.integers(1, 6, len(classes)), classes=classes.tolist())
    scores = {int(c): draws.normal(size=len(one)) for c in classes}
    terms = slow_seqpg(one, scores)
    defined = [term for term in terms if not math.isnan(term)]
    found = measured(SeqPG(), one, scores)
    assert found.parts == pytest.approx(terms, nan_ok=True)
    assert found.weight == len(defined)
    assert found.value == pytest.approx(100 * sum(defined) / len(defined) if defined else math.nan, nan_ok=True)


@METRICS
def test_two_segments_of_one_class_are_both_counted(metric):
    one = document(2, 2, classes=(1, 1))
    found = measured(metric, one, {1: [0, 3, 1, 0, 0.5, 0.5, 0]})
    assert found.value == pytest.approx(50)
    assert found.weight == 2


@METRICS
def test_scores_that_are_no_numbers_are_undefined(metric):
    found = measured(metric, document(2, 2), {0: [0, 1, math.nan, 0, 1, 1, 0], 1: [0, 0, 0, 0, 1, 0, 0]})
    assert found.value == pytest.approx(50 if metric == SeqPG("paper") else 100)
    assert found.weight == (2 if metric == SeqPG("paper") else 1)


@pytest.mark.parametrize("metric", [SeqPG(), PointingAccuracy()])
def test_a_document_of_which_a_segment_was_cut_off_is_undefined(metric):
    one = document(3, 2)
    found = measured(metric, replace(one, segments=np.where(one.segments == 1, -1, one.segments)), GOLDEN)
    assert math.isnan(found.value)
    assert found.weight == 0
    assert len(found.parts) == 2


@METRICS
@pytest.mark.parametrize("lengths", [(), (3,)])
def test_less_than_two_segments_are_refused(metric, lengths):
    with pytest.raises(RuntimeError, match=r"ValueError: text 'text' has . segments; at least two are needed"):
        measured(metric, document(*lengths), {0: [0.0] * 5})
    with pytest.raises(RuntimeError, match="at least two are needed"):
        measured(metric, text([CLS, 3, SEP]), {})


def test_seqpg_refuses_a_protocol_by_name_and_value():
    with pytest.raises(ValueError, match="protocol='loose' is not allowed; use strict or paper"):
        SeqPG("loose")


@pytest.mark.parametrize("kind", KINDS)
def test_real_explainers_on_real_documents(kind):
    classifier = tiny_classifier(kind, 1.5, classes=3, dtype=torch.float64)
    words = "an old lion said a tale in a lost boat"
    example = Example("d", words, 0, segments=((0, 11, 2), (12, 23, 0), (24, 38, 1)))
    one = classifier.encode(example)
    for explainer in (Attention(), Attention("rollout"), Random()):  # none of them looks at the class
        for metric in (SeqPG(), SeqPG("paper"), PointingAccuracy()):
            assert explained(classifier, metric, explainer, one).value == pytest.approx(100 / 3, rel=1e-14)
    for explainer in (InputXGradient(), Occlusion()):
        scores = {c: answers(classifier, ask(explainer, one, c)).scores for c in range(3)}
        found = explained(classifier, SeqPG(), explainer, one)
        assert found.parts == pytest.approx(slow_seqpg(one, scores), nan_ok=True)
        assert abs(found.value - 100 / 3) > 0.1


def explained(classifier: object, metric: object, explainer: object, one: Text) -> Measurement:
    def explain(question: Explain) -> Asking[Attribution]:
        return ask(explainer, question.text, question.target)

    given = answers(classifier, ask(explainer, one, 1))
    return answers(classifier, answering(ask(metric, one, given), explain))


@METRICS
@pytest.mark.parametrize("kind", ["bert", "linear"])
def test_both_keep_the_contract(metric, kind):
    classifier = LinearModel.random() if kind == "linear" else tiny_classifier(kind, 1.5, dtype=torch.float64)
    texts = [text([1, *range(2, n + 2), 1], evidence=[1], name=f"text {n}") for n in (6, 2, 3)]
    texts = texts if kind == "linear" else random_texts(classifier, (6, 2, 3))
    assert check_metric(metric, classifier, texts) is None


@pytest.fixture
def run_of_documents(tmp_path, monkeypatch) -> Iterator[object]:
    """Records of a run on documents made of planted texts."""
    use_cache(monkeypatch, trained_cache())
    names = ["ba", "ko", "mi", "tu", "le"]
    rows = []
    for i in range(6):
        first, second = " ".join(names[: 2 + i % 3]), " ".join(names[i % 3 :])
        ends = len(first), len(first) + 1 + len(second)
        rows.append(
            {"text": f"{first} {second}", "label": i % 2, "segments": [[0, ends[0], 0], [ends[0] + 1, ends[1], 1]]}
        )
    (tmp_path / "documents.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan = faithbench.Plan(
        datasets=(str(tmp_path / "documents.jsonl"),),
        models=(str(checkpoint()),),
        explainers=("attention", "random", "occlusion"),
        metrics=("seqpg", "pointing_accuracy", "seqpg(protocol=paper)"),
    )
    result = faithbench.run(plan, tmp_path / "run", device="cpu")
    assert result.failed == 0
    return Store(tmp_path / "run").read("records")


def test_a_run_plays_the_game(run_of_documents):
    assert len(run_of_documents) == 6 * 3 * 3
    for row in run_of_documents.itertuples():
        assert len(row.parts) == 2
        assert row.weight == np.isfinite(np.array(row.parts, dtype=float)).sum()
        if not row.explainer.startswith("occlusion"):
            assert row.value == pytest.approx(50, rel=1e-12)
    others = run_of_documents[run_of_documents["explainer"].str.startswith("occlusion")]
    assert others["value"].nunique() > 3
