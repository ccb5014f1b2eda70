"""Degraded explanations: which scores change places, and whose traits they have."""

import numpy as np
import pytest
from builders import LinearModel, answers, text
from faithbench_explainers.degraded import Degraded
from faithbench_explainers.occlusion import Occlusion

from faithbench.errors import UserError
from faithbench.plugins import spec

MODEL = LinearModel.random(vocabulary=20)


def one(name="text", n=12):
    return text([1, *range(2, 2 + n), 1], name=name)


def scores(explainer, of):
    return answers(MODEL, explainer(of, 1)).scores


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_share_of_the_scores_change_places_among_themselves(share):
    whole = scores(Occlusion(), one())
    found = scores(Degraded("occlusion", share), one())
    assert sorted(found) == sorted(whole)
    assert found[[0, -1]].tolist() == whole[[0, -1]].tolist()
    moved = found != whole
    assert 2 <= moved.sum() <= round(share * 12)


def test_none_changes_nothing_and_more_holds_the_tokens_of_less():
    whole = scores(Occlusion(), one())
    assert scores(Degraded("occlusion", 0.0), one()).tolist() == whole.tolist()
    for name in map(str, range(20)):
        moved = [scores(Degraded("occlusion", share), one(name)) != whole for share in (0.5, 1.0)]
        assert moved[0].sum() <= 6
    places = [scores(Degraded("occlusion", 0.5), one(str(name))) != whole for name in range(60)]
    assert np.all(np.sum(places, axis=0)[1:-1] > 5)  # any token


def test_draws_are_of_seed_and_text():
    found = [
        scores(Degraded("occlusion", 1.0, seed), one(name)).tolist() for seed, name in ((0, "a"), (1, "a"), (0, "b"))
    ]
    assert len({tuple(each) for each in found}) == 3
    assert scores(Degraded("occlusion", 1.0), one("a")).tolist() == found[0]


def test_all_scores_come_to_stand_anywhere():
    whole = scores(Occlusion(), one(n=3))
    orders = {tuple(scores(Degraded("occlusion"), one(str(name), 3))) for name in range(60)}
    assert len(orders) == 6
    assert tuple(whole) in orders


def test_standard_errors_move_with_their_scores():
    explainer = "shap_sampl(n_permutations=4)"
    model = LinearModel.random(vocabulary=20, classes=2)
    whole = answers(model, spec.build("explainer", explainer).object(one(), 1))
    found = answers(model, Degraded(explainer)(one(), 1))
    pairs = [sorted(zip(each.scores, each.standard_errors, strict=True)) for each in (whole, found)]
    assert pairs[0] == pairs[1]


def test_a_copy_says_whose_it_is_and_has_its_traits():
    built = spec.build("explainer", "degraded(lime(n_samples=50), share=0.5)")
    inner = spec.build("explainer", "lime(n_samples=50)").identity
    assert built.traits.degrades == (inner, 0.5)
    assert built.identity == f"degraded(explainer={inner!r}, share=0.5, seed=0)"
    assert spec.build("explainer", built.identity).identity == built.identity
    assert spec.build("explainer", "occlusion").traits.degrades is None
    assert [Degraded(each).class_sensitive for each in ("occlusion", "attention")] == [True, False]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("degraded(occlusion, share=1.5)", "share=1.5 is not allowed; it must be from 0 to 1"),
        ("degraded(occlusion, seed=-1)", "seed=-1 is not allowed"),
        ("degraded(imported(name=mine, content=abc))", "imported attributions never run"),
        ("degraded(nobody)", "nobody"),
    ],
)
def test_mistakes_are_refused(written, words):
    with pytest.raises(UserError, match=words):
        spec.build("explainer", written)
