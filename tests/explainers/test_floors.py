"""Explanations that say nothing: uniform noise, several times over, and another explainer's scores in random places."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import LinearModel, answers, random_texts, shared_classifier, text, tiny_network, tiny_tokenizer
from faithbench_explainers.permuted import Permuted, places
from faithbench_explainers.place import Place
from faithbench_explainers.random import Random
from faithbench_explainers.words import by_word
from faithbench_metrics.entropy import Entropy
from faithbench_metrics.gini import Gini
from faithbench_metrics.sufficiency import Sufficiency

import faithbench
from faithbench.answering.explaining import repeats_of
from faithbench.conformance import check_explainer
from faithbench.conversations import ask
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import spec
from faithbench.records.store import Store
from faithbench.types import Attribution, Example, Measurement, Target

TEXTS = ("a dull tale told in", "an old lion is not a lost boat", "noon", "said an old lion at noon")


def test_draws_of_random_are_others_and_the_first_is_what_it_was():
    one = text([1, *range(2, 12), 1])
    draws = [Random(seed=3), *Random(seed=3).repeats()]
    scores = [draw(one, 0).scores for draw in draws]
    assert len(draws) == 5
    assert len({tuple(each) for each in scores}) == 5
    np.testing.assert_array_equal(scores[0], Random(seed=3, draws=1)(one, 1).scores)
    np.testing.assert_array_equal(scores[1], Random(seed=3, draws=2).repeats()[0](one, 1).scores)
    assert not set(scores[1]) & set(Random(seed=4).repeats()[0](one, 0).scores)
    assert list(Random(draws=1).repeats()) == []
    assert not spec.build("explainer", "occlusion").traits.repeats
    assert spec.build("explainer", "random").version == 2
    with pytest.raises(ValueError, match=r"^draws=0 is not allowed; it must be a whole number from 1 to"):
        Random(draws=0)


def test_draws_of_random_summed_over_words_are_draws_too():
    one, model = replace(text([1, *range(2, 8), 1]), words=np.array([-1, 0, 0, 1, 2, 2, 2, -1])), LinearModel.random()
    draws = Random(draws=3).repeats()
    others = spec.build("explainer", "words(random(draws=3))").object.repeats()
    for draw, other in zip(draws, others, strict=True):
        expected = by_word(one, draw(one, 0).scores)
        np.testing.assert_array_equal(answers(model, ask(other, one, 0)).scores, expected)
    assert spec.build("explainer", "words(occlusion)").object.repeats() == ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model and a data file."""
    place = tmp_path_factory.mktemp("floors")
    tiny_network("bert", classes=2).save_pretrained(place / "model")
    tiny_tokenizer().save_pretrained(place / "model")
    rows = [f"{words},{number % 2}" for number, words in enumerate(TEXTS)]
    (place / "data.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return place


def values(folder: Path, out: Path, explainers: tuple[str, ...], metrics: tuple[str, ...]):
    plan = faithbench.Plan(
        datasets=(f"file({folder / 'data.csv'})",),
        models=(f"classifier({folder / 'model'})",),
        explainers=explainers,
        metrics=metrics,
        dtype="float64",
    )
    faithbench.run(plan, out, device="cpu")
    return Store(out).read("records"), Store(out).read("attributions")


def test_a_metric_of_random_is_the_mean_over_its_draws(folder, tmp_path):
    records, attributions = values(folder, tmp_path / "run", ("random(draws=4)",), ("sufficiency", "entropy"))
    classifier = HuggingFaceClassifier(tiny_network("bert", classes=2), tiny_tokenizer(), dtype=torch.float64)
    assert records["error"].isna().all()
    for row in records.itertuples():
        number = int(attributions.index[attributions["text_id"] == row.unit][0])
        words = next(words for words in TEXTS if len(words.split()) + 2 == len(attributions["scores"][number]))
        one = classifier.encode(Example(row.unit, words, 0))
        metric = Sufficiency() if row.metric.startswith("sufficiency") else Entropy()
        draws = [Random(), *Random(draws=4).repeats()]
        every = [answers(classifier, ask(metric, one, draw(one, row.target))).value for draw in draws]
        assert row.value == pytest.approx(np.mean(every), abs=1e-9)
        assert (len(set(every)) > 1) == (len(one) > 3)


def test_what_a_metric_asks_of_a_draw_is_answered_by_that_draw(folder, tmp_path):
    """Each draw keeps its scores whatever the model: a draw answered by another would be a change."""
    records, _ = values(folder, tmp_path / "run", ("random",), ("sensitivity(n_samples=2)", "randomisation"))
    assert len(records) == 8
    assert records["error"].isna().all()
    assert set(records[records["metric"].str.startswith("sensitivity")]["value"]) == {0.0}
    assert set(records[records["metric"].str.startswith("randomisation")]["value"].dropna()) == {100.0}


def test_repeated_measurements_are_pooled_as_texts_are():
    pooled = Measurement.pooled([Measurement(10.0, (1.0, 2.0), 1.0), Measurement(40.0, (3.0, math.nan), 2.0)])
    assert (pooled.value, pooled.parts, pooled.weight) == (30.0, (2.0, 2.0), 1.5)
    undefined = Measurement(math.nan, (math.nan, 4.0), 0.0)
    pooled = Measurement.pooled([Measurement(10.0, (1.0, 2.0), 3.0), undefined, Measurement(math.nan, (), 1.0)])
    assert (pooled.value, pooled.parts, pooled.weight) == (10.0, (), 1.0)
    nothing = Measurement.pooled([undefined, undefined])
    assert math.isnan(nothing.value)
    assert nothing.weight == 0
    assert Measurement.pooled([undefined]) is undefined


@dataclass(frozen=True)
class Careless:
    """An explainer with repeats that are none."""

    answer: object

    def repeats(self) -> object:
        return self.answer


def test_repeats_that_are_no_sequence_are_refused():
    component = spec.Component("careless", "careless", Careless(7), spec.Traits(repeats=True))
    with pytest.raises(ValueError, match=r"^repeats\(\) gives a int, not a sequence of explainers$"):
        repeats_of(component)


def test_permuted_scores_are_the_same_values_elsewhere():
    model, one = LinearModel.random(), text([1, *range(2, 12), 1])
    own = answers(model, ask(spec.build("explainer", "input_x_gradient").object, one, 1)).scores
    found = answers(model, Permuted("input_x_gradient")(one, 1)).scores
    assert (found[[0, -1]] == own[[0, -1]]).all()
    assert sorted(found) == sorted(own)
    assert (found[1:-1] != own[1:-1]).sum() > 5
    assert (found == own[places(one, 0)]).all()
    assert (answers(model, Permuted("input_x_gradient", seed=1)(one, 1)).scores != found).any()
    for metric in (Entropy(), Gini()):
        both = [metric(one, Attribution(one.id, 1, scores)).value for scores in (own, found)]
        assert both[0] == pytest.approx(both[1], rel=1e-12)


def test_the_places_belong_to_text_and_seed_and_are_all_reached():
    seen = np.array([places(text([1, 3, 4, 5, 1], name=f"{number}"), 0) for number in range(300)])
    assert (seen[:, [0, 4]] == [0, 4]).all()
    for place in (1, 2, 3):
        assert np.bincount(seen[:, place], minlength=4)[1:] == pytest.approx([100] * 3, abs=35)


def test_standard_errors_go_with_their_scores():
    model, one = LinearModel.random(), text([1, *range(2, 8), 1])
    own = answers(model, ask(spec.build("explainer", "shap_sampl(n_permutations=3)").object, one, 1))
    found = answers(model, Permuted("shap_sampl(n_permutations=3)")(one, 1))
    pairs = zip(own.scores, own.standard_errors, strict=True), zip(found.scores, found.standard_errors, strict=True)
    assert set(map(tuple, pairs[0])) == set(map(tuple, pairs[1]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["permuted(occlusion)", "permuted(attention)", "random(draws=2)", "words(random)"])
def test_floors_keep_the_contract(name):
    classifier = shared_classifier("bert", 1.5, classes=3, dtype=torch.float64)
    assert (
        check_explainer(spec.build("explainer", name).object, classifier, random_texts(classifier, (6, 1, 3))) is None
    )


def test_permuted_takes_over_what_the_explainer_says_and_refuses_what_never_runs():
    built = spec.build("explainer", "permuted(attention, seed=2)")
    assert built.identity.endswith(", seed=2)")
    assert not built.traits.class_sensitive
    assert spec.build("explainer", "permuted(occlusion)").traits.class_sensitive
    with pytest.raises(UserError, match="imported attributions never run"):
        spec.build("explainer", "permuted(imported(mine))")
    with pytest.raises(UserError, match="seed=-1 is not allowed"):
        spec.build("explainer", "permuted(occlusion, seed=-1)")


@pytest.mark.parametrize(("begin", "best"), [("first", 0), ("last", 4)])
def test_places_are_ranked_from_one_end_whatever_the_tokens_are(begin, best):
    scores = Place(begin)(text([1, 7, 7, 3, 1]), Target(0)).scores
    assert scores[best] == 1
    assert np.array_equal(np.argsort(-scores), np.arange(5) if begin == "first" else np.arange(5)[::-1])


def test_an_end_that_a_text_lacks_is_named():
    with pytest.raises(ValueError, match="begin='middle' is not allowed"):
        Place("middle")
