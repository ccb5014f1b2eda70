"""What describes a model: alignment against cosines by hand, positive rates; and the share of special tokens."""

import math
import re
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import (
    KINDS,
    LinearModel,
    answers,
    attribution,
    random_texts,
    text,
    tiny_classifier,
    tiny_network,
    tiny_tokenizer,
)
from faithbench_metrics.alignment import Alignment
from faithbench_metrics.cosines import cosines, on_grid, percentiles
from faithbench_metrics.positive_rate import PositiveRate
from faithbench_metrics.special_share import SpecialShare
from records import column, record, run_of

from faithbench import render, table
from faithbench.answering.engine import Engine
from faithbench.bcos import convert
from faithbench.conformance import check_metric
from faithbench.conversations import ask, together
from faithbench.errors import QuestionError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import spec
from faithbench.statistics.intervals import weighted_mean
from faithbench.types import Text

LAYERS = {
    "bert": "bert.encoder.layer",
    "roberta": "roberta.encoder.layer",
    "distilbert": "distilbert.transformer.layer",
}
PLACES = {"bert": ["attention.output.dense", "intermediate.dense", "output.dense"]}
PLACES |= {"roberta": PLACES["bert"], "distilbert": ["attention.out_lin", "ffn.lin1", "ffn.lin2"]}
PROJECTIONS = {"bert": ["attention.self.query", "attention.self.key", "attention.self.value"]}
PROJECTIONS |= {"roberta": PROJECTIONS["bert"], "distilbert": ["attention.q_lin", "attention.k_lin", "attention.v_lin"]}
MODELS = pytest.mark.parametrize(("kind", "b"), [(kind, b) for kind in KINDS for b in (None, 1.0, 1.5)])
GRID = (0, 1, 10, 50, 75, 99, 100)


def slow_alignment(classifier: HuggingFaceClassifier, one: Text, percentile: int, places=None) -> list[float]:
    """A percentile for each layer: the model run as transformers runs it, each cosine by itself."""
    kind = classifier.model.config.model_type
    positions = {}
    if kind == "roberta":  # counted on where the ids hold padding, as the adapter does
        first = classifier.model.config.pad_token_id + 1
        positions = {"position_ids": torch.arange(first, first + len(one))[None]}
    found = []
    for layer in range(2):
        cosines_seen = []
        for place in PLACES[kind] if places is None else places:
            module = classifier.model.get_submodule(f"{LAYERS[kind]}.{layer}.{place}")
            inputs = []
            handle = module.register_forward_hook(lambda _, args, output, inputs=inputs: inputs.append(args[0]))
            with torch.no_grad():
                classifier.model(input_ids=torch.from_numpy(one.ids)[None], **positions)
            handle.remove()
            assert inputs[0].shape[:2] == (1, len(one))
            for x in inputs[0][0].numpy():
                for w in module.weight.detach().numpy():
                    size = math.sqrt((x * x).sum()) * math.sqrt((w * w).sum())
                    cosines_seen.append(abs(float((x * w).sum())) / size)
        found.append(float(np.percentile(100 * np.array(cosines_seen), percentile)))
    return found


def aligned(classifier, one, percentile):
    return answers(classifier, Alignment(percentile)(one, attribution(one, np.zeros(len(one)))))


@pytest.mark.slow
@MODELS
def test_alignment_is_a_percentile_of_cosines_by_hand(kind, b):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    for percentile, one in zip(GRID, random_texts(classifier, (7, 1, 4, 2, 9, 3, 5)), strict=True):
        found, expected = aligned(classifier, one, percentile), slow_alignment(classifier, one, percentile)
        assert found.parts == pytest.approx(expected, abs=1e-9)
        assert found.value == pytest.approx(np.mean(expected), abs=1e-9)
        assert found.weight == 1
        assert expected[0] != pytest.approx(expected[1], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_projections_count_where_they_are_bcos(kind):
    network = convert(tiny_network(kind), 1.5, qkv=True)
    classifier = HuggingFaceClassifier(network, tiny_tokenizer(), dtype=torch.float64)
    (one,) = random_texts(classifier, (6,))
    expected = slow_alignment(classifier, one, 50, PLACES[kind] + PROJECTIONS[kind])
    assert aligned(classifier, one, 50).parts == pytest.approx(expected, abs=1e-9)
    assert aligned(classifier, one, 50).parts != pytest.approx(slow_alignment(classifier, one, 50), abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_read_as_the_adapter_reads_it(kind):
    classifier = tiny_classifier(kind, 1.5, dtype=torch.float64)
    (one,) = random_texts(classifier, (6,))
    ids = np.where(np.arange(len(one)) == 3, classifier.tokenizer.pad_token_id, one.ids)
    one = replace(one, ids=ids)  # transformers would not count the position of its fourth
    assert aligned(classifier, one, 50).parts == pytest.approx(slow_alignment(classifier, one, 50), abs=1e-9)


def test_alignment_does_not_depend_on_how_long_weights_are():
    classifier = tiny_classifier("bert", 1.5, dtype=torch.float64)
    (one,) = random_texts(classifier, (6,))
    before = aligned(classifier, one, 90)
    with torch.no_grad():
        classifier.model.bert.encoder.layer[0].intermediate.dense.weight *= torch.rand(24, 1) + 0.1
    assert aligned(classifier, one, 90).parts == pytest.approx(before.parts, abs=1e-9)


def test_inputs_that_are_weights_are_aligned_wholly():
    weight = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    weight *= torch.tensor([[1.0], [-2.0], [1e-6], [1e6], [3.0]])
    found = cosines(-2 * weight[None], 7 * weight).reshape(5, 5)
    torch.testing.assert_close(found, torch.eye(5, dtype=torch.float64))
    assert found.max() <= 1


def test_inputs_and_weights_of_zeros_are_not_aligned():
    rows = torch.eye(3)
    rows[1] = 0
    torch.testing.assert_close(cosines(rows, rows).reshape(3, 3), torch.diag(torch.tensor([1.0, 0.0, 1.0])))


def test_cosines_of_half_precision_are_taken_in_single():
    generator = torch.Generator().manual_seed(0)
    inputs, weight = (torch.randn(4, 8, generator=generator).bfloat16() for _ in range(2))
    found = cosines(inputs, weight)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, cosines(inputs.double(), weight.double()).float(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 7, 100, 101, 102, 5001])
def test_percentiles_are_linear_between_two_values(n):
    values = np.random.default_rng(n).normal(size=n).astype(np.float32)
    expected = [min(values), *statistics.quantiles(values.tolist(), n=100, method="inclusive"), max(values)]
    np.testing.assert_allclose(on_grid(torch.from_numpy(values)), expected, rtol=0, atol=1e-6)


def test_all_percentiles_of_all_explainers_cost_one_look():
    classifier = tiny_classifier("distilbert", 1.5)
    (one,) = random_texts(classifier, (6,))
    passes = []
    handle = classifier.model.register_forward_hook(lambda *_: passes.append(1))
    cells = {
        (p, s): ask(Alignment(p), one, attribution(one, np.full(len(one), s))) for p in (10, 50, 90) for s in (0, 1)
    }
    (found,) = Engine(classifier).run([together(cells)])
    handle.remove()
    assert len(passes) == 1
    assert all(found[p, 0].value == found[p, 1].value for p in (10, 50, 90))
    assert found[10, 0].value.value < found[50, 0].value.value < found[90, 0].value.value


@pytest.mark.slow
@MODELS
def test_model_metrics_keep_the_contract(kind, b):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    for metric in (Alignment(90), PositiveRate(), PositiveRate(0, "tale"), SpecialShare()):
        assert check_metric(metric, classifier, random_texts(classifier, (5, 1, 3))) is None


def test_a_look_that_fails_leaves_no_hook(monkeypatch):
    classifier = tiny_classifier("bert")
    (one,) = random_texts(classifier, (4,))
    model = classifier.model
    monkeypatch.setattr(model.bert.encoder.layer[1].output, "forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        percentiles(classifier, one)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_model_whose_layers_are_not_known_has_no_alignment():
    with pytest.raises(QuestionError, match=r"^alignment reads Hugging Face classifiers, and LinearModel is none$"):
        percentiles(LinearModel.random(), text([1, 5, 6, 1]))
    with pytest.raises(RuntimeError, match=r"^QuestionError: alignment reads"):
        aligned(LinearModel.random(), text([1, 5, 6, 1]), 50)


@pytest.mark.parametrize("percentile", [-1, 101, True])
def test_a_percentile_is_a_whole_number(percentile):
    with pytest.raises(ValueError, match=f"^percentile={re.escape(repr(percentile))} is not allowed; .* from 0 to 100"):
        Alignment(percentile)


def rate(metric, source, target=1):
    one = replace(text([1, 2, 3, 1]), source=source)
    found = metric(one, attribution(one, np.full(4, np.nan), target))
    return found.value, found.weight


def test_positive_rate_is_100_where_the_class_is_explained():
    assert rate(PositiveRate(), "any", 1) == (100, 1)
    assert rate(PositiveRate(), "any", 0) == (0, 1)
    assert rate(PositiveRate(), "", 2) == (0, 1)
    assert rate(PositiveRate(2), "any", 2) == (100, 1)
    assert rate(PositiveRate(0), "", 0) == (100, 1)


@pytest.mark.parametrize(
    ("word", "source", "there"),
    [
        ("black", "a black cat", True),
        ("black", "Black", True),
        ("BLACK", "…(black)!", True),
        ("black", "black-owned, black's", True),
        ("black", "on the blackboard", False),
        ("black", "unblack black_2", False),
        ("black", "blackboards are black", True),
        ("black", "black2 2black", False),
        ("black", "", False),
        ("a.b", "a.b", True),
        ("a.b", "axb", False),
        ("c++", "in c++, not c", True),
        ("c++", "c++x", False),
        ("schön", "SCHÖN ist", True),
        ("schön", "wunderschön schöner", False),
        ("african american", "an African American", True),
        ("african american", "an African-American", False),
    ],
)
def test_words_are_looked_for_as_wholes(word, source, there):
    value, weight = rate(PositiveRate(word=word), source)
    assert (math.isnan(value), weight) == ((False, 1) if there else (True, 0))


def test_the_mean_is_the_rate_among_texts_that_hold_the_word():
    cases = [("a woman", 1), ("women", 1), ("Woman .", 0), ("no one", 0), ("the woman", 1)]
    values, weights = map(np.array, zip(*(rate(PositiveRate(word="woman"), *case) for case in cases), strict=True))
    assert weighted_mean(values, weights) == pytest.approx(200 / 3)


def test_positive_rate_checks_its_parameters():
    for word in (" black", "black ", " "):
        with pytest.raises(ValueError, match=rf"^word='{word}' is not allowed; .* begin or end with white space"):
            PositiveRate(word=word)
    for positive in (-1, True):
        with pytest.raises(ValueError, match=rf"^positive={positive} is not allowed; .* whole number from 0"):
            PositiveRate(positive)
    with pytest.raises(ValueError, match=r"^of='truth' is not allowed; use prediction or label"):
        PositiveRate(of="truth")
    assert spec.build("metric", "positive_rate(0, word=black)").identity == "positive_rate(positive=0, word=black)"
    labels = "positive_rate(positive=1, word='', of=label)"
    assert spec.build("metric", "positive_rate(of=label)").identity == labels


@pytest.mark.parametrize(("label", "value", "weight"), [(1, 100.0, 1), (0, 0.0, 1), (2, 0.0, 1), (None, math.nan, 0)])
def test_the_rate_of_labels_does_not_depend_on_the_prediction(label, value, weight):
    for target in (0, 1):
        one = replace(text([1, 2, 3, 1]), label=label)
        found = PositiveRate(of="label")(one, attribution(one, np.zeros(4), target))
        np.testing.assert_equal((found.value, found.weight), (value, weight))


def share(scores, special=(0, -1)):
    one = text(range(1, len(scores) + 1), special)
    return SpecialShare()(one, attribution(one, scores)).value


def test_special_share_by_hand():
    assert share([1, -2, 0, 1]) == 50
    assert share([-3, -1, 0, 0]) == 75
    assert share([0, 2, 0, 0]) == 0
    assert share([0, 0, 0, -1e-300]) == 100
    assert share([1, 2, 1], special=[]) == 0
    assert share([1, 2, 1], special=[0, 1, 2]) == 100
    assert share([1e308, 1e308, -1e308, -1e308]) == 50


@pytest.mark.parametrize("scores", [[0, 0, 0], [math.nan, 1, 2], [0, math.nan, 0], [1, math.inf, 0], [0, 1, -math.inf]])
def test_special_share_is_not_defined_without_finite_scores(scores):
    assert math.isnan(share(scores))


def test_special_share_agrees_with_sums():
    generator = np.random.default_rng(0)
    for n in range(3, 60):
        scores = generator.normal(size=n)
        sizes = [abs(score) for score in scores]
        assert share(scores) == pytest.approx(100 * (sizes[0] + sizes[-1]) / math.fsum(sizes))
        assert share(-7 * scores) == pytest.approx(share(scores))
        assert 0 <= share(np.where(np.arange(n) % (n - 1) == 0, scores, 0)) <= 100


def test_they_run_on_request_and_have_tables_of_their_own(tmp_path: Path):
    names = ("alignment(percentile=50)", "positive_rate", "special_share")
    built = [spec.build("metric", name) for name in names]
    assert [one.identity for one in built] == [
        "alignment(percentile=50)",
        "positive_rate(positive=1, word='')",
        names[2],
    ]
    assert all(one.object.on_request and one.object.higher_is_better is None for one in built)
    assert Alignment.keep_parts
    records = [r for one in built for r in column([1.0, 2.0], metric=one.identity)]
    records += [record(math.nan, 2, metric=built[1].identity, weight=0.0)]
    shown = render([run_of(tmp_path / "run", records)])
    assert [line for line in shown.splitlines() if line.startswith("*") and line.endswith("*")] == [
        "*model*",
        "*special tokens*",
    ]
    assert "No better or worse: alignment, positive_rate, special_share." in shown
    frame = table([tmp_path / "run"]).set_index("metric")
    assert frame.loc[built[1].identity, ["mean", "n", "undefined"]].tolist() == [1.5, 2, 1]
