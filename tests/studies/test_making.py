"""What is drawn for a study, what its files hold, and what raters cannot learn from them."""

import json
import re
from collections import Counter
from dataclasses import replace

import pytest
from studies import DATA, a_text, run_with_texts

import faithbench
from faithbench.studies.items import draw, pool
from faithbench.studies.key import digest, read_key
from faithbench.studies.questionnaire import orders

TEXTS = [a_text(f"t{i}", f"the club from town {i} won the cup".split(), i % 2) for i in range(12)]
AGREED = [i % 2 for i in range(12)]
WRONG = [*AGREED[:3], 0, *AGREED[4:]]  # of text 3


def a_run(folder, bcos=WRONG, **how):
    return run_with_texts(folder / "run", TEXTS, {"conv-x": AGREED, "bcos-x": bcos}, **how)


def test_the_texts_are_those_on_which_all_models_agree_drawn_evenly_from_the_classes(tmp_path):
    found = pool([a_run(tmp_path)])
    assert {item.text_id for item in found.items} == {f"t{i}" for i in range(12)} - {"t3"}
    drawn = draw(found.items, 6, 0)
    assert Counter(item.predicted for item in drawn) == {"World": 3, "Sports": 3}
    assert [item.text_id for item in drawn] == [item.text_id for item in draw(found.items[::-1], 6, 0)]
    assert {item.text_id for item in drawn} != {item.text_id for item in draw(found.items, 6, 1)}


def test_a_bcos_model_explains_itself_and_is_explained_by_others_on_request(tmp_path):
    run = a_run(tmp_path)
    assert [method.label for method in pool([run]).methods] == [
        "bcos of bcos-x",
        "occlusion of conv-x",
        "random of conv-x",
    ]
    assert len(pool([run], every_pair=True).methods) == 5
    chosen = pool([run], explainers=["bcos", "occlusion"])
    assert [method.label for method in chosen.methods] == ["bcos of bcos-x", "occlusion of conv-x"]
    alone = pool([run], models=["conv-x"])
    assert [method.label for method in alone.methods] == ["bcos", "occlusion", "random"]
    assert "one model" in alone.notes[0]
    named = pool([run], methods=["occl of bcos", "bcos of conv-x"])
    assert [method.label for method in named.methods] == ["occlusion of bcos-x", "bcos of conv-x"]


def test_only_texts_whose_label_is_predicted_where_that_is_asked_for(tmp_path):
    both_wrong = [1 - AGREED[0], *AGREED[1:]]
    run = run_with_texts(tmp_path / "run", TEXTS, {"conv-x": both_wrong, "bcos-x": both_wrong})
    assert {item.text_id for item in pool([run]).items} == {text.id for text in TEXTS}
    assert {item.text_id for item in pool([run], correct=True).items} == {text.id for text in TEXTS[1:]}


def test_a_study_needs_a_folder(tmp_path):
    run, taken = a_run(tmp_path), tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(faithbench.UserError, match="is no folder, which a study needs"):
        faithbench.make_study([run], out=taken, items=4)
    assert taken.read_text() == "mine"


def test_the_same_seed_makes_the_same_study_and_another_one_is_not_written_over_it(tmp_path):
    run = a_run(tmp_path)
    first = faithbench.make_study([run], items=4)
    page = first.page.read_text()
    assert faithbench.make_study([run], items=4) == first
    assert first.page.read_text() == page
    with pytest.raises(faithbench.UserError, match="holds another study"):
        faithbench.make_study([run], items=4, seed=1)
    assert first.page.parent == tmp_path / "run-study"
    assert first.ratings == 4 * 3 * 2


def test_fewer_texts_than_asked_for_is_said(tmp_path):
    made = faithbench.make_study([a_run(tmp_path)], items=40)
    assert made.texts == 11
    assert any("40 texts were asked for, and 11 are shown" in note for note in made.notes)


def test_the_questionnaire_does_not_say_whose_an_explanation_is(tmp_path):
    made = faithbench.make_study([a_run(tmp_path)], items=6, raters=4)
    page, key = made.page.read_text(), read_key(made.page.parent)
    about_people = page.split("</style>")[1]
    for word in ("occlusion", "conv-x", "bcos", "random", "w-conv", "w-bcos", *(text.id for text in TEXTS)):
        assert not re.search(rf"\b{word}\b", about_people)
    for item in key["items"]:
        article = page.split(f'id="t{item["item"]}"')[1].split("</article>")[0]
        names = re.findall(r'id="e([0-9a-f]{12})"', article)
        assert names == sorted(item["explanations"])
        for line in re.findall(r'<div class="fb-line"[^>]*>(.*?)</div>', article):
            assert max(abs(float(score)) for score in re.findall(r'title="([^"]+)"', line)) == 1


def test_each_rater_has_an_order_of_texts_and_methods_of_their_own(tmp_path):
    key = read_key(faithbench.make_study([a_run(tmp_path)], items=8, raters=4).page.parent)
    found = orders(key)
    assert len({json.dumps(own) for own in found}) == 4
    for own in found:
        assert sorted((name, *sorted(rest)) for name, *rest in own) == sorted(
            (item["item"], *sorted(item["explanations"])) for item in key["items"]
        )
    method = {name: i for item in key["items"] for i, name in enumerate(item["explanations"])}
    places = Counter((place, method[name]) for own in found for _, *rest in own for place, name in enumerate(rest))
    assert len(places) == 9  # every method in every place


def test_a_key_that_was_changed_is_refused(tmp_path):
    made = faithbench.make_study([a_run(tmp_path)], items=2)
    key = json.loads(made.key.read_text())
    assert digest(key) == key["study"] == made.name
    key["methods"][0], key["methods"][1] = key["methods"][1], key["methods"][0]
    made.key.write_text(json.dumps(key))
    with pytest.raises(faithbench.UserError, match="has been changed"):
        faithbench.read_study(made.page.parent)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"items": 0}, "items=0 is not allowed"),
        ({"raters": 101}, "raters=101 is not allowed"),
        ({"seed": -1}, "seed=-1 is not allowed"),
        ({"items": True}, "items=True is not allowed"),
        ({"models": ["bert"]}, "'bert' is not a known model"),
        ({"explainers": ["random"]}, "at least two methods"),
        ({"methods": ["random"]}, "write EXPLAINER of MODEL"),
        ({"methods": ["lime of conv-x"]}, "'lime' is not a known explainer"),
        ({"methods": "bcos of bcos-x"}, "give a list"),
        ({"dataset": "imdb"}, "'imdb' is not a known dataset"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(tmp_path, how, sentence):
    with pytest.raises(faithbench.UserError, match=sentence):
        faithbench.make_study([a_run(tmp_path)], **how)


def test_a_run_without_texts_and_models_that_never_agree(tmp_path):
    with pytest.raises(faithbench.UserError, match="are not kept in the run"):
        faithbench.make_study([a_run(tmp_path / "old", kept=False)])
    with pytest.raises(faithbench.UserError, match="no text of"):
        faithbench.make_study([a_run(tmp_path / "apart", bcos=[1 - one for one in AGREED])])
    with pytest.raises(faithbench.UserError, match="is not a run"):
        faithbench.make_study([tmp_path])
    several = [replace(text, link="sigmoid") for text in TEXTS]
    with pytest.raises(faithbench.UserError, match="says labels or values"):
        faithbench.make_study([run_with_texts(tmp_path / "labels", several, {"conv-x": AGREED, "bcos-x": AGREED})])


def test_models_that_number_the_same_classes_otherwise_agree_by_name(tmp_path):
    one = run_with_texts(tmp_path / "one", TEXTS, {"conv-x": AGREED}, models={"conv-x": {"occlusion()": 1.0}})
    turned = [1 - number for number in AGREED]
    other = run_with_texts(
        tmp_path / "other", TEXTS, {"bcos-x": turned}, ("Sports", "World"), models={"bcos-x": {"bcos()": 1.0}}
    )
    found = pool([one, other])
    assert len(found.items) == 12
    assert {(item.text_id, item.predicted) for item in found.items} >= {("t0", "World"), ("t1", "Sports")}
    assert found.dataset == DATA["dataset"]
