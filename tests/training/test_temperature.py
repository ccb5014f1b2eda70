"""Classifiers at a temperature: where it is found, what it changes, and what it leaves as it is."""

import numpy as np
import pytest
import torch
from builders import tiny_classifier
from fixtures_run import use_cache
from networks import generic
from rich.console import Console

import faithbench
from faithbench.answering.engine import Engine
from faithbench.conversations import ask, attempt
from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset, refer
from faithbench.plugins.spec import build
from faithbench.probability import probabilities
from faithbench.training.prepare import load_model, prepare
from faithbench.training.setup import Setup
from faithbench.training.temperature import fitted, nll
from faithbench.types import Example, Target

DATA = "planted(train=64, validation=60, test=5)"
INNER = "bcos-tiny(seed=3)"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache with a model that is not always right."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        use_cache(patch, folder)
        faithbench.train(INNER, DATA, faithbench.Training(epochs=1, lr=1e-3), device="cpu")
        yield folder


def made(text, **options):
    return prepare(text, build_dataset(DATA), Setup(**options))


def one_hot(labels, outputs):
    return np.asarray(labels)[:, None] == np.arange(outputs)


def test_logits_of_twice_the_log_odds_have_the_temperature_2():
    """Two classes of binary cross-entropy: each logit is the log-odds of its class, a and -a, read by a softmax."""
    draws = np.random.default_rng(0)
    margin = draws.normal(size=200_000)
    labels = draws.random(len(margin)) < 1 / (1 + np.exp(-margin))
    found = fitted(np.stack([-margin, margin], axis=1), one_hot(labels, 2), "softmax")
    assert found == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_at_its_temperature_a_model_expects_the_logits_that_the_labels_have(link):
    """Where the likelihood has its peak, the mean logit of what is true is the one that the model expects."""
    draws = np.random.default_rng(1)
    logits = 3 * draws.normal(size=(400, 4))
    truth = one_hot(draws.integers(4, size=400) * (draws.random(400) < 0.5) + 0, 4)
    truth[:200] = one_hot(logits[:200].argmax(axis=1), 4)
    found = fitted(logits, truth, link)
    chances = probabilities(logits / found, link)
    assert 0.1 < found < 10
    assert (chances * logits).sum() == pytest.approx((truth * logits).sum(), rel=0.02)
    assert nll(logits / found, truth, link) < min(nll(logits / (found * each), truth, link) for each in (0.9, 1.1))


def test_the_likelihood_is_what_torch_has_for_it():
    draws = np.random.default_rng(2)
    logits, labels = draws.normal(size=(50, 3)), draws.integers(3, size=50)
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels))
    assert nll(logits, one_hot(labels, 3), "softmax") == pytest.approx(float(expected))
    truth = draws.random((50, 3)) < 0.5
    each = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(logits), torch.tensor(truth).double())
    assert nll(logits, truth, "sigmoid") == pytest.approx(3 * float(each))


@pytest.mark.parametrize("kind", ["bert", "distilbert", "GPT2"])
def test_logits_and_what_explains_them_are_divided(kind):
    decoder = kind == "GPT2"
    classifier = generic(kind) if decoder else tiny_classifier(kind, 1.5, dtype=torch.float64)
    at = classifier.at(4.0)
    text = classifier.encode(Example("one", "the good cat sat on a bad mat", 1))
    np.testing.assert_allclose(4 * at.logits([text.ids]), classifier.logits([text.ids]))
    assert (classifier.temperature, at.at(2.0).temperature) == (1, 8)
    assert len({each.fingerprint() for each in (classifier, at, at.at(1.0), classifier.at(3.0))}) == 3
    assert at.remade(classifier.model).fingerprint() == at.fingerprint()
    for name in ("bcos", "input_x_gradient", "decompx", "sig", "shap_sampl(n_permutations=2)"):
        once, less = (scores_of(each, name, text) for each in (classifier, at))
        np.testing.assert_allclose(4 * less.scores, once.scores, atol=1e-9, err_msg=name)
        if "completeness_gap" in once.notes:
            assert 4 * less.notes["completeness_gap"] == pytest.approx(once.notes["completeness_gap"], abs=1e-6)


def scores_of(classifier, name, text):
    explainer = build("explainer", name).object
    ((_, outcome),) = Engine(classifier).run([attempt(0, ask(explainer, text, Target(1)))])
    assert outcome.error is None
    return outcome.value


def test_it_is_found_on_validation_texts_and_said(cache, capsys):
    inner, found = made(INNER), made(f"calibrated({INNER})", console=Console(width=200))
    told = found.report["calibration"]
    assert f"temperature {told['temperature']:g}, found on 60 validation texts" in capsys.readouterr().out
    assert told["texts"] == 60
    assert told["after"]["nll"] < told["before"]["nll"]
    assert found.report["made_of"]["fingerprint"] == inner.fingerprint != found.fingerprint
    rows = build_dataset(DATA).object.load("validation")
    logits = np.concatenate([inner.classifier.logits([inner.classifier.encode(row).ids]) for row in rows])
    assert told["temperature"] == fitted(logits.astype(float), one_hot([row.label for row in rows], 2), "softmax")
    said = made(f"calibrated({INNER}, temperature={told['temperature']})")
    assert said.fingerprint == found.fingerprint
    assert said.report["calibration"] == {"temperature": told["temperature"]}


def test_a_worker_makes_the_same(cache):
    prepared = made(f"calibrated({INNER})")
    assert prepared.origin.load("cpu", "float32").fingerprint() == prepared.fingerprint


def test_a_run_says_the_same_less_surely(cache, tmp_path):
    names, at = (INNER, f"calibrated({INNER}, temperature=3.0)"), ("bcos",)
    plan = faithbench.Plan((DATA,), names, at, ("comprehensiveness",), training=faithbench.Training(epochs=1, lr=1e-3))
    faithbench.run(plan, tmp_path / "run", device="cpu")
    found = faithbench.table([tmp_path / "run"]).set_index("model")["mean"].abs()
    assert found[refer(names[1]).identity] < found[refer(names[0]).identity]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("calibrated(conv-tiny, temperature=-1.0)", "temperature=-1.0 is not allowed"),
        ("calibrated(no-such-model)", "no-such-model"),
    ],
)
def test_what_it_cannot_be_is_said_when_it_is_named(text, words):
    with pytest.raises(UserError, match=words):
        refer(text)


def test_what_has_no_temperature_is_refused_in_a_sentence(cache, tmp_path):
    classifier = tiny_classifier("bert")
    classifier.model.save_pretrained(tmp_path)
    classifier.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="none is named; say it with temperature="):
        load_model(f"calibrated({tmp_path})", Setup())
    assert load_model(f"calibrated({tmp_path}, temperature=2.0)", Setup()).classifier.temperature == 2


@pytest.mark.parametrize(("right", "words"), [(True, "always right"), (False, "nothing to do with the labels")])
def test_labels_that_give_none_are_told(cache, monkeypatch, right, words):
    sign = 1 if right else -1
    monkeypatch.setattr(
        "faithbench.training.temperature._labelled",
        lambda *_: (sign * np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([[True, False], [False, True]])),
    )
    with pytest.raises(UserError, match=words):
        made(f"calibrated({INNER})")
