"""SRG, RACU and F-Fidelity: against slow versions from the papers, and in closed form on linear models."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import (
    LinearModel,
    all_answers,
    answers,
    attribution,
    random_texts,
    shared_classifier,
    text,
    tiny_classifier,
    tiny_network,
    tiny_tokenizer,
)
from faithbench_metrics.deletion import Deletion
from faithbench_metrics.f_fidelity import FFidelity
from faithbench_metrics.insertion import Insertion
from faithbench_metrics.perturbation.operators import OPERATORS
from faithbench_metrics.racu import RACU
from faithbench_metrics.srg import SRG
from slow import all_orders, slow_chances, slow_ranking

import faithbench
from faithbench.draws import generator
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import spec
from faithbench.training.surrogate import masked

CLS, SEP = 1, 2
WEIGHTS = np.array([0.5, -1.5, 2.0, 0.25, 1.25, -0.5, 0.75, 3.0, 0.1, -0.2])
LINEAR = LinearModel.binary([0.0, 0.0, 0.0, *WEIGHTS], bias=1.0)
TEN = replace(text([CLS, *range(3, 13), SEP]), link="identity")  # what the model says is the logit itself


def scored(one, seed=0, target=1):
    return attribution(one, np.random.default_rng(seed).normal(size=len(one)), target)


# SRG


def slow_srg(classifier, one, explained, operator):
    """Flips token by token, in both directions; trapezoids by hand."""
    order, areas = slow_ranking(one, explained.scores), []
    for flipped in (order[::-1], order):
        curve = [
            float(slow_chances(classifier, one, flipped[:count], operator)[explained.target])
            for count in range(len(flipped) + 1)
        ]
        areas.append(sum((a + b) / 2 for a, b in itertools.pairwise(curve)) / len(flipped))
    return areas


@pytest.mark.parametrize("operator", OPERATORS)
def test_srg_agrees_with_a_slow_version(operator):
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (5, 1, 4))):
        explained = scored(one, target, target)
        found = answers(classifier, SRG(operator)(one, explained))
        least, most = slow_srg(classifier, one, explained, operator)
        assert found.parts == pytest.approx((least, most), abs=1e-12)
        assert found.value == pytest.approx(100 * (least - most), abs=1e-9)


def test_srg_is_insertion_less_deletion_and_odd_in_the_scores():
    classifier = shared_classifier("bert", dtype=torch.float64)
    (one,) = random_texts(classifier, (9,))
    explained = scored(one)
    opposite = attribution(one, -explained.scores, 1)
    gain, other, into, out = all_answers(
        classifier,
        [SRG()(one, explained), SRG()(one, opposite), Insertion()(one, explained), Deletion()(one, explained)],
        2048,
    )
    assert gain.value == pytest.approx(into.value - out.value, abs=1e-9)
    assert other.value == pytest.approx(-gain.value, abs=1e-9)
    assert abs(gain.value) > 0.01


def test_srg_of_a_linear_model_in_closed_form():
    """The value falls by the weights in the order: a token at place i of n is there for (i − 1/2)/n of the area."""
    order = np.argsort(-WEIGHTS)
    expected = sum(WEIGHTS[token] * (9 - 2 * place) / 10 for place, token in enumerate(order))
    found = answers(LINEAR, SRG()(TEN, attribution(TEN, [0, *WEIGHTS, 0], 1)), batch_tokens=9999)
    assert found.value == pytest.approx(expected)
    assert answers(LINEAR, SRG()(TEN, attribution(TEN, [0, *-WEIGHTS, 0], 1))).value == pytest.approx(-expected)


def test_srg_of_all_orders_is_0_on_average_and_undefined_without_tokens():
    one = text([CLS, 3, 4, 5, 6, SEP])
    found = [each.value for each in all_answers(LINEAR, [SRG()(one, order) for order in all_orders(one, 1)], 9999)]
    assert np.mean(found) == pytest.approx(0, abs=1e-9)
    assert max(found) == pytest.approx(-min(found))
    empty = replace(text([CLS, 3, SEP]), special=np.ones(3, dtype=bool))
    assert math.isnan(answers(LINEAR, SRG()(empty, attribution(empty, [1, 2, 3], 1))).value)
    assert spec.build("metric", "normalised(srg)").identity.startswith("normalised(metric='srg(")


# RACU


def slow_racu(classifier, one, explained, randoms, operator):
    """The paper's: two curves over the ratios 0, 10, … 100 %, areas strip by strip."""
    n, draws = len(one.content), generator(one, "orders")
    counts = [0, *(max(1, n * i // 10) for i in range(1, 10)), n]

    def curve(order):
        gone = (order[:count] for count in counts)
        return [float(slow_chances(classifier, one, list(each), operator)[explained.target]) for each in gone]

    explainer = curve(slow_ranking(one, explained.scores))
    random = [curve(draws.permutation(one.content)) for _ in range(randoms)]
    baseline = [sum(column) / randoms for column in zip(*random, strict=True)]
    between, most = 0.0, 0.0
    for i in range(10):
        between += 0.1 * (baseline[i] - explainer[i] + baseline[i + 1] - explainer[i + 1]) / 2
        most += 0.1 * (baseline[i] + baseline[i + 1] - 2 * baseline[-1]) / 2
    return between, most


@pytest.mark.parametrize("operator", ["mask", "delete"])
def test_racu_agrees_with_a_slow_version(operator):
    classifier, defined = shared_classifier("bert", classes=3, dtype=torch.float64), 0
    for one in random_texts(classifier, (12, 4)):
        for target in range(3):
            explained = scored(one, target, target)
            found = answers(classifier, RACU(3, operator)(one, explained), batch_tokens=2048)
            between, most = slow_racu(classifier, one, explained, 3, operator)
            assert found.parts == pytest.approx((between, most), abs=1e-12)
            if most > 1e-3:
                assert found.value == pytest.approx(100 * between / most)
                assert found.weight == pytest.approx(most)
                defined += 1
            else:
                assert math.isnan(found.value)
                assert found.weight == 0
    assert defined >= 2


def linear_racu(order):
    """In closed form, for random orders without end: the baseline is a straight line."""
    whole, left, own = WEIGHTS.sum(), WEIGHTS.sum(), []
    for token in order:
        left -= WEIGHTS[token]
        own.append(left)
    between = sum(whole * (1 - (place + 1) / 10) - value for place, value in enumerate(own)) / 10
    return 100 * between / (whole / 2)


@pytest.mark.parametrize("scores", [WEIGHTS, -WEIGHTS, np.abs(WEIGHTS), np.arange(10.0)])
def test_racu_of_a_linear_model_in_closed_form(scores):
    found = answers(LINEAR, RACU(2000)(TEN, attribution(TEN, [9, *scores, -9], 1)), batch_tokens=99999)
    assert found.value == pytest.approx(linear_racu(np.argsort(-scores, kind="stable")), abs=4)
    assert found.weight == pytest.approx(WEIGHTS.sum() / 2, abs=0.1)


def test_racu_of_random_orders_is_0_on_average():
    """The orders that belong to the text, as explanations: their mean is the baseline itself."""
    draws = generator(TEN, "orders")
    orders = [draws.permutation(TEN.content) for _ in range(16)]
    ranks = [attribution(TEN, -np.argsort(np.concatenate([[0], order, [11]])), 1) for order in orders]
    found = [each.value for each in all_answers(LINEAR, [RACU()(TEN, rank) for rank in ranks], 9999)]
    assert np.mean(found) == pytest.approx(0, abs=1e-9)
    assert max(found) > 10


def test_racu_is_undefined_where_masks_change_nothing_or_raise_the_probability():
    one = text([CLS, 3, 4, 5, SEP])
    for weights in ([0, 0, 0], [0.001, 0, 0], [-1, -2, -3]):
        model = LinearModel.binary([0.0, 0.0, 0.0, *weights])
        found = answers(model, RACU()(one, attribution(one, [0, 1, 2, 3, 0], 1)))
        assert math.isnan(found.value)
        assert found.weight == 0
        assert found.parts[1] <= 1e-3
    single = text([CLS, 3, SEP])
    found = answers(LINEAR, RACU()(single, attribution(single, [0, 1, 0], 1)))
    assert math.isnan(found.value)
    assert found.weight == 0


def test_racu_means_are_ratios_of_means_and_baselines_are_shared():
    texts = [replace(TEN, id=name, link="softmax") for name in ("a", "b")]
    found = [answers(LINEAR, RACU()(one, scored(one, seed)), 9999) for seed, one in enumerate(texts)]
    mean = np.average([each.value for each in found], weights=[each.weight for each in found])
    between, most = np.sum([each.parts for each in found], axis=0)
    assert mean == pytest.approx(100 * between / most)
    other = answers(LINEAR, RACU()(texts[0], scored(texts[0], 7)), 9999)
    assert other.parts[1] == found[0].parts[1]
    assert other.parts[0] != found[0].parts[0]


# F-Fidelity


def slow_f_fidelity(classifier, one, explained, form, share, draws, operator="mask"):
    """The definition, draw by draw."""
    order, whole = slow_ranking(one, explained.scores), None
    n = len(order)
    luck = generator(one, "choices", 0).random((draws, len(one)))
    whole, means = float(slow_chances(classifier, one, [], operator)[explained.target]), []
    for i in range(1, 10):
        k, falls = max(1, n * i // 10), []
        members = order[:k] if form == "plus" else order[k:]
        count = min(max(1, int(share * n + 1e-9)), max(1, len(members) // 2))
        for draw in range(draws):
            gone = sorted(members, key=lambda t, draw=draw: luck[draw, t])[:count]
            falls.append(whole - float(slow_chances(classifier, one, gone, operator)[explained.target]))
        means.append(sum(falls) / draws)
    return means


@pytest.mark.parametrize("form", ["plus", "minus"])
@pytest.mark.parametrize("share", [0.1, 0.34])
def test_f_fidelity_agrees_with_a_slow_version(form, share):
    classifier = shared_classifier("bert", classes=3, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (12, 3))):
        explained = scored(one, target, target)
        found = answers(classifier, FFidelity(form=form, share=share, draws=3)(one, explained), batch_tokens=2048)
        expected = slow_f_fidelity(classifier, one, explained, form, share, 3)
        assert found.parts == pytest.approx(expected, abs=1e-12)
        assert found.value == pytest.approx(100 * np.mean(expected), abs=1e-9)


def test_f_fidelity_of_a_linear_model_in_closed_form():
    """One of ten tokens goes: on average the mean weight of those it is drawn from."""
    order = np.argsort(-WEIGHTS)
    explained = attribution(TEN, [0, *WEIGHTS, 0], 1)
    for form, expected in (
        ("plus", [WEIGHTS[order[:k]].mean() for k in range(1, 10)]),
        ("minus", [WEIGHTS[order[k:]].mean() for k in range(1, 10)]),
    ):
        found = answers(LINEAR, FFidelity(form=form, draws=4000)(TEN, explained), batch_tokens=99999)
        assert found.parts == pytest.approx(expected, abs=0.12)
        assert found.value == pytest.approx(np.mean(expected), abs=0.05)


def test_no_more_than_the_share_goes_and_only_of_the_right_tokens():
    one = text([CLS, *range(3, 33), SEP])
    explained = scored(one)
    order = slow_ranking(one, explained.scores)
    for form in ("plus", "minus"):
        gone = FFidelity(form=form)._gone(one, explained.scores).reshape(9, 10, len(one))
        sizes = gone.sum(axis=2)
        assert sizes.max() == 3
        assert (sizes == sizes[:, :1]).all()
        assert sizes[:, 0].tolist() == ([1] + [3] * 8 if form == "plus" else [3] * 8 + [1])
        for i in range(9):
            members = order[: 3 * i + 3] if form == "plus" else order[3 * i + 3 :]
            assert not np.delete(gone[i], members, axis=1).any()
    many = text([CLS, *range(3, 103), SEP])
    assert FFidelity(share=0.29)._gone(many, scored(many).scores).sum(axis=1).max() == 29  # 0.29 · 100 is 28.999…
    assert (FFidelity(seed=1)._gone(one, explained.scores) != FFidelity()._gone(one, explained.scores)).any()


def test_f_fidelity_says_which_way_is_better_and_where_it_is_undefined():
    assert [FFidelity(form=form).higher_is_better for form in ("plus", "minus")] == [True, False]
    single = text([CLS, 5, SEP])
    plus, minus = (answers(LINEAR, FFidelity(form=f)(single, attribution(single, [0, 1, 0], 1))) for f in FORMS)
    assert plus.value > 0
    assert math.isnan(minus.value)


FORMS = ("plus", "minus")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"form": "both"}, "form='both' is not allowed"),
        ({"share": 0.0}, "share=0.0 is not allowed; it must be above 0"),
        ({"share": math.nan}, "share=nan is not allowed"),
        ({"draws": 0}, "draws=0 is not allowed"),
        ({"operator": "blur"}, "operator='blur' is not allowed"),
    ],
)
def test_parameters_of_f_fidelity_are_refused_by_name_and_value(given, words):
    with pytest.raises(ValueError, match=words):
        FFidelity(**given)


def test_other_parameters_are_refused_by_name_and_value():
    with pytest.raises(ValueError, match="randoms=0 is not allowed"):
        RACU(0)
    with pytest.raises(ValueError, match="steps=0 is not allowed"):
        SRG(steps=0)


# The surrogate


def saved(folder: Path, kind="bert", seed=0, **options) -> Path:
    tiny_network(kind, classes=2, seed=seed, **options).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_both_probabilities_are_the_surrogates(tmp_path):
    folder = saved(tmp_path / "other", seed=7)
    classifier = tiny_classifier("bert", dtype=torch.float64)
    surrogate = HuggingFaceClassifier(tiny_network("bert", seed=7), tiny_tokenizer(), dtype=torch.float64)
    (one,), before = random_texts(classifier, (9,)), classifier.fingerprint()
    explained = scored(one)
    found = answers(classifier, FFidelity(str(folder))(one, explained))
    expected = answers(surrogate, FFidelity()(one, explained))
    assert found.parts == pytest.approx(expected.parts, abs=1e-6)
    assert found.value != pytest.approx(answers(classifier, FFidelity()(one, explained)).value, abs=1e-3)
    assert classifier.fingerprint() == before


def test_a_surrogate_of_another_architecture_or_none_is_refused_in_a_sentence(tmp_path):
    classifier = tiny_classifier("bert")
    (one,) = random_texts(classifier, (5,))
    other = saved(tmp_path / "other", kind="distilbert")
    for folder, words in ((other, "is of another architecture"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(RuntimeError, match=rf"the surrogate in {folder} {words}"):
            answers(classifier, FFidelity(str(folder))(one, scored(one)))


def test_few_tokens_are_masked_and_no_special_ones():
    one, draws = text([CLS, *range(3, 33), SEP], mask_id=99), np.random.default_rng(0)
    counts = [int((masked(one, 0.1, draws) != one.ids).sum()) for _ in range(400)]
    assert np.bincount(counts) / 400 == pytest.approx([0.25] * 4, abs=0.08)
    assert set(masked(one, 1.0, draws)) - set(one.ids) == {99}
    assert all((masked(one, 1.0, draws)[[0, -1]] == [CLS, SEP]).all() for _ in range(20))
    short = text([CLS, 3, 4, SEP])
    assert {int((masked(short, 0.1, draws) != short.ids).sum()) for _ in range(50)} == {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize("b", [None, 1.5])
def test_a_surrogate_is_trained_on_masks_and_leaves_the_model_alone(tmp_path, b):
    network = tiny_network("bert", classes=2)
    (faithbench.bcos.convert(network, b) if b else network).save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    data = tmp_path / "data"
    data.mkdir()
    rows = [f"a {word} told at noon,{int(word == 'tale')}" for word in ("tale", "lion", "boat", "tale") * 8]
    for split in ("train", "validation", "test"):
        (data / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    options = {"epochs": 8, "lr": 1e-2, "batch_size": 8, "device": "cpu"}
    folder = faithbench.train_surrogate(str(tmp_path / "model"), data, tmp_path / "surrogate", **options)
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
    again = faithbench.train_surrogate(str(tmp_path / "model"), data, tmp_path / "again", **options)
    assert (folder / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    found = faithbench.attribute(str(folder), ["a tale told at noon", "a lion told at noon"], "random", device="cpu")
    assert [each.target for each in found] == [1, 0]
    plan = faithbench.Plan(
        datasets=(str(data),),
        models=(str(tmp_path / "model"),),
        explainers=("occlusion",),
        metrics=("f_fidelity", f"f_fidelity({str(folder)!r})"),
        limit=4,
    )
    faithbench.run(plan, tmp_path / "run", device="cpu")
    frame = faithbench.table([tmp_path / "run"])
    assert frame["mean"].notna().all()
    assert len(set(frame["mean"])) == 2


def test_what_can_have_no_surrogate_is_said(tmp_path):
    model, bare = saved(tmp_path / "model"), tmp_path / "bare"
    bare.mkdir()
    for split in ("train", "validation", "test"):
        (bare / f"{split}.csv").write_text("text\na tale\na boat\n", encoding="utf-8")
    with pytest.raises(UserError, match="has no texts with labels to train a surrogate on"):
        faithbench.train_surrogate(str(model), bare, tmp_path / "s", device="cpu")
    tiny_network("bert", classes=1).save_pretrained(tmp_path / "value")
    tiny_tokenizer().save_pretrained(tmp_path / "value")
    with pytest.raises(UserError, match="is no classifier of one class for each text, so it can have no surrogate"):
        faithbench.train_surrogate(str(tmp_path / "value"), bare, tmp_path / "s", device="cpu")
    with pytest.raises(UserError, match=r"share=0\.0 is not allowed"):
        faithbench.train_surrogate("conv-tiny", "planted", tmp_path / "s", share=0.0)
    with pytest.raises(UserError, match="epochs=0 is not allowed"):
        faithbench.train_surrogate("conv-tiny", "planted", tmp_path / "s", epochs=0)
    for name, value in (("limit", 0), ("limit", -1), ("limit", "x"), ("lr", "x"), ("share", "x")):
        with pytest.raises(UserError, match=f"{name}={value!r} is not allowed"):
            faithbench.train_surrogate("conv-tiny", "planted", tmp_path / "s", **{name: value})
    with pytest.raises(UserError, match="model is of type BertForSequenceClassification; give a spec"):
        faithbench.train_surrogate(tiny_network("bert"), "planted", tmp_path / "s")
    with pytest.raises(UserError, match="folder is of type NoneType; give a path"):
        faithbench.train_surrogate("conv-tiny", "planted", None)
    assert not (tmp_path / "s").exists()


def test_a_surrogate_replaces_nothing(tmp_path):
    file, folder = tmp_path / "file", saved(tmp_path / "model")
    file.write_text("mine", encoding="utf-8")
    for place in (file, folder):
        with pytest.raises(UserError, match="is there already and holds something; name a folder for the surrogate"):
            faithbench.train_surrogate(str(folder), "planted(train=4, test=4)", place, device="cpu")
    assert file.read_text(encoding="utf-8") == "mine"
    assert (folder / "config.json").is_file()


@pytest.mark.parametrize("metric", ["f_fidelity({})", "normalised(f_fidelity({}))"])
def test_a_surrogate_that_is_not_there_is_said_before_anything_runs(tmp_path, metric):
    named, model = metric.format(repr(str(tmp_path / "none"))), saved(tmp_path / "model")
    data = tmp_path / "test.csv"
    data.write_text("text,label\na tale,0\na boat,1\n", encoding="utf-8")
    plan = faithbench.Plan((str(data),), (str(model),), ("occlusion",), (named,))
    with pytest.raises(UserError, match=r"none is no folder of a surrogate; make it with faithbench\.train_surrogate"):
        faithbench.run(plan, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
