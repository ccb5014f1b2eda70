"""`faithbench.score`: attributions at hand measured as a run measures them, and what is wrong with them said."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import WORDS, LinearModel, shared_classifier, tiny_network, tiny_tokenizer

import faithbench
from faithbench.errors import UserError
from faithbench.importing.in_memory import _with_targets
from faithbench.plugins import spec
from faithbench.plugins.naming import build_dataset
from faithbench.records.store import Store
from faithbench.running.attribute import texts_of
from faithbench.statistics.intervals import intervals
from faithbench.types import Attribution, Example, Target

TEXTS = ["a dull tale", "an old lion is not a lost boat", "noon"]
METRICS = [
    "comprehensiveness",
    "sufficiency(protocol=paper)",
    "comprehensiveness(operator=sample)",
    "infidelity(n_samples=20)",
    "sensitivity(n_samples=2)",
    "entropy",
]
EXPLAINERS = ["occlusion", "lime(n_samples=30)", "random"]


def classifier():
    return shared_classifier("bert", 1.5, 3, torch.float64)


def data(folder: Path, texts: int = 12) -> Path:
    generator = np.random.default_rng(0)
    lines = [f"{' '.join(generator.choice(WORDS, 1 + n % 9))},{n % 2}" for n in range(texts)]
    (folder / "data.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return folder / "data.csv"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A model's folder, the rows of a data set, and the records of a run on both."""
    folder = tmp_path_factory.mktemp("run")
    tiny_network("bert").save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    file = data(folder)
    plan = faithbench.Plan([file], [folder / "model"], EXPLAINERS, METRICS, dtype="float64")
    run = faithbench.run(plan, folder / "run", device="cpu")
    return folder / "model", build_dataset(str(file)).object.load("test"), Store(run.folder).read("records")


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_scores_are_those_of_a_run(measured, explainer):
    model, rows, records = measured
    given = {"device": "cpu", "dtype": "float64"}
    found = faithbench.attribute(model, rows, explainer, **given)
    for one in faithbench.score(model, found, METRICS, explainer=explainer, **given):
        whole = spec.build("metric", one.metric).identity
        asked = spec.build("explainer", explainer).identity
        own = records[(records["metric"] == whole) & (records["explainer"] == asked)].set_index("unit")
        expected = own.loc[[row.id for row in rows]]
        np.testing.assert_allclose(one.values, expected["value"], rtol=1e-9, atol=1e-12, err_msg=one.metric)
        assert [each.weight for each in one.measurements] == pytest.approx(expected["weight"].tolist())


def test_the_mean_is_weighted_and_has_the_interval_of_tables():
    found = faithbench.attribute(classifier(), TEXTS, "occlusion")
    one = faithbench.score(classifier(), found, "infidelity")
    weights = np.array([each.weight for each in one.measurements])
    assert one.mean == pytest.approx((weights * one.values).sum() / weights.sum())
    bounds = intervals(one.values[:, None], weights[:, None])
    assert (one.low, one.high) == (bounds.low[0], bounds.high[0])
    assert (one.n, one.metric, len(one.measurements)) == (3, "infidelity", 3)


def test_what_is_not_defined_does_not_count():
    scores = Attribution("0", Target(0), np.zeros(5), tokens=("[CLS]", "a", "dull", "tale", "[SEP]"))
    one = faithbench.score(classifier(), [scores], "entropy")
    assert math.isnan(one.mean)
    assert one.n == 0


@pytest.mark.parametrize("explainer", ["occlusion", "bcos"])
def test_tokens_and_scores_alone_will_do(explainer):
    found = faithbench.attribute(classifier(), TEXTS, explainer)
    whole = faithbench.score(classifier(), found, ["comprehensiveness", "entropy"])
    plain = [(one.tokens, one.scores.tolist()) for one in found]
    words = [(text.split(), torch.tensor(one.scores[1:-1])) for text, one in zip(TEXTS, found, strict=True)]
    for pairs in (plain, words):
        for one, other in zip(
            whole, faithbench.score(classifier(), pairs, ["comprehensiveness", "entropy"]), strict=True
        ):
            np.testing.assert_allclose(one.values, other.values, atol=1e-12)
    told = faithbench.score(classifier(), plain, "comprehensiveness", texts=TEXTS, target=found[0].target)
    assert told.values[0] == pytest.approx(whole[0].values[0])


@pytest.mark.parametrize("same", [True, False])
def test_standard_errors_go_with_the_tokens_that_they_are_of(same):
    (found,) = faithbench.attribute(classifier(), TEXTS[:1], "shap_sampl(n_permutations=3)")
    (one,) = texts_of(classifier(), [found.source])
    words = {"scores": found.scores[1:-1], "standard_errors": found.standard_errors[1:-1]}
    whole = found if same else replace(found, tokens=("a", "dull", "tale"), **words)
    (kept,) = _with_targets([(found.scores, found.target, whole)], [one], classifier())
    assert (kept.standard_errors is None) != same


def test_a_class_that_is_given_is_measured():
    pairs = [(TEXTS[0].split(), [3.0, 2.0, 1.0])]
    values = {
        target: faithbench.score(classifier(), pairs, "comprehensiveness", target=target).mean for target in range(3)
    }
    assert len({round(value, 9) for value in values.values()}) == 3
    predicted = faithbench.attribute(classifier(), TEXTS[:1], "random")[0].target.output
    assert faithbench.score(classifier(), pairs, "comprehensiveness").mean == values[predicted]


def test_attributions_say_what_they_explain_even_if_another_class_is_asked_for():
    found = faithbench.attribute(classifier(), TEXTS, "occlusion", target=2)
    one, other = (faithbench.score(classifier(), found, "comprehensiveness", target=target) for target in (None, 0))
    np.testing.assert_array_equal(one.values, other.values)


def test_rows_bring_what_a_metric_needs():
    row = Example("x", "a dull tale", 0, evidence=((2, 6),))
    found = faithbench.attribute(classifier(), [row], "occlusion")
    pairs = [(("a", "dull", "tale"), (0.0, 1.0, 0.5))]
    assert found[0].source is row
    assert faithbench.score(classifier(), pairs, "evidence", texts=[row]).mean == 100
    assert 0 < faithbench.score(classifier(), found, "evidence").mean <= 100


def test_pairs_of_texts_are_measured_as_what_they_are():
    found = faithbench.attribute(classifier(), [("a tale", "an old lion")], "occlusion")
    whole = faithbench.score(classifier(), found, "comprehensiveness")
    plain = [(found[0].tokens, found[0].scores)]
    again = faithbench.score(classifier(), plain, "comprehensiveness", texts=[("a tale", "an old lion")])
    assert whole.values == pytest.approx(again.values)
    with pytest.raises(UserError, match=r"attributions\[0\] is of more than one text; give texts="):
        faithbench.score(classifier(), plain, "comprehensiveness")


def test_a_model_in_memory_and_one_that_knows_no_tokenizer():
    network = tiny_network("roberta").double()
    found = faithbench.attribute(network, TEXTS, "occlusion", tokenizer=tiny_tokenizer(), device="cpu")
    assert faithbench.score(network, found, "sufficiency", tokenizer=tiny_tokenizer(), device="cpu").n == 3
    model = LinearModel.random()
    assert faithbench.score(model, faithbench.attribute(model, ["5 6 7"], "occlusion"), "comprehensiveness").n == 1
    with pytest.raises(UserError, match=r"attributions\[0\] does not say what text it explains; give texts="):
        faithbench.score(model, [(("5",), (1.0,))], "comprehensiveness")


GOOD = (("a", "dull", "tale"), (1.0, 2.0, 3.0))
MISTAKES = {
    "no list": ({"attributions": 5}, "attributions is of type int; give a list of attributions"),
    "one attribution": (
        {"attributions": Attribution("0", Target(0), np.zeros(3))},
        "attributions is of type Attribution; give a list",
    ),
    "none": ({"attributions": []}, "attributions is empty"),
    "something else": (
        {"attributions": [GOOD, 3]},
        r"attributions\[1\] is of type int; give an Attribution, or a pair",
    ),
    "one pair for a list": ({"attributions": ["a", "b"]}, r"attributions\[0\] is of type str"),
    "numbers for tokens": ({"attributions": [((1, 2), (1.0, 2.0))]}, r"attributions\[0\] has tokens that are no texts"),
    "words for scores": ({"attributions": [(("a",), ("b",))]}, r"attributions\[0\] has scores that are no numbers"),
    "no numbers at all": ({"attributions": [(5, 6)]}, r"attributions\[0\] has tokens that are no texts"),
    "nothing": ({"attributions": [(None, None)]}, r"attributions\[0\] has tokens that are no texts"),
    "complex scores": (
        {"attributions": [(("a",), np.array([1j]))]},
        r"attributions\[0\] has scores that are no numbers; give one for each token",
    ),
    "a mapping": ({"attributions": {}}, "attributions is of type dict; give a list"),
    "a metric that is none": ({"metric": None}, "metric is None; give its spec"),
    "a metric that is a number": ({"metric": 3}, "metric is an int"),
    "too few scores": (
        {"attributions": [(("a", "dull"), (1.0,))]},
        r"attributions\[0\] has 2 tokens and scores of shape \(1,\)",
    ),
    "not a number": ({"attributions": [(("a",), (math.nan,))]}, r"attributions\[0\]: gave scores that are not finite"),
    "more texts": ({"texts": TEXTS}, "there are 1 attributions and 3 texts"),
    "an empty text": ({"texts": [""]}, r"texts\[0\] cannot be explained: its text is empty"),
    "an empty text of an attribution": (
        {"attributions": [Attribution("0", Target(0), np.zeros(3), source=Example("0", "", None))]},
        r"attributions\[0\] cannot be explained: its text is empty",
    ),
    "another text": ({"texts": ["an old lion"]}, r"attributions\[0\]: at the beginning the attribution has 'a'"),
    "the same text twice": ({"attributions": [GOOD, GOOD]}, None),
    "no such metric": ({"metric": "comprehension"}, "did you mean comprehensiveness"),
    "no such class": ({"target": 7}, "target=7 is not allowed; the model has classes 0 to 2"),
    "no evidence": ({"metric": "evidence"}, "metric 'evidence' needs evidence, which no text has; give texts="),
    "asks again": ({"metric": "sensitivity"}, r"metric 'sensitivity' failed on attributions\[0\]: .*explainer=…"),
    "a metric that is no text": ({"metric": [3]}, "metric is an int"),
    "only special tokens": ({"attributions": [(("[CLS]", "[SEP]"), (1.0, 1.0))]}, "no tokens but special ones"),
    "a precision": ({"dtype": "float32"}, "with a classifier that is ready, which computes in float64"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_are_one_sentence(kind):
    changed, sentence = MISTAKES[kind]
    arguments = {"attributions": [GOOD], "metric": "comprehensiveness", **changed}
    if sentence is None:
        assert faithbench.score(classifier(), **arguments).n == 2
        return
    with pytest.raises(UserError, match=sentence) as error:
        faithbench.score(classifier(), **arguments)
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


def test_scores_of_half_precision_are_read_as_others_are():
    tokens, scores = ("a", "dull", "tale"), (1.0, -2.0, 0.5)
    half = torch.tensor(scores, dtype=torch.bfloat16, requires_grad=True)
    one, other = (faithbench.score(classifier(), [(tokens, each)], "gini") for each in (half, scores))
    assert one.mean == other.mean


def test_attributions_of_two_explainers_are_not_mixed():
    found = [
        *faithbench.attribute(classifier(), TEXTS, "occlusion"),
        *faithbench.attribute(classifier(), TEXTS, "bcos"),
    ]
    with pytest.raises(UserError, match=r"attributions\[0\] and attributions\[3\] are of one text"):
        faithbench.score(classifier(), found, "comprehensiveness")
    with pytest.raises(UserError, match="texts has two rows with the id 'x'"):
        faithbench.attribute(classifier(), [Example("x", "a", 0), Example("x", "tale", 0)], "occlusion")


def test_attributions_of_a_class_that_the_model_has_not_are_refused():
    found = faithbench.attribute(shared_classifier("bert", None, 4), TEXTS, "occlusion", target=3)
    with pytest.raises(UserError, match="the model has classes 0 to 2"):
        faithbench.score(classifier(), found, "comprehensiveness")
