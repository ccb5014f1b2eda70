"""What a notebook gives to `attribute` and the other functions: taken as it is meant, or refused in one sentence."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders import tiny_classifier, tiny_network, tiny_tokenizer

import faithbench
from faithbench.errors import UserError
from faithbench.plan import Plan
from faithbench.running.arguments import examples_of
from faithbench.types import Target

TEXTS = ["a dull tale", "an old lion"]


def classifier():
    found = tiny_classifier("bert", classes=3)
    found.class_names = ("World", "Sports", "Sci/Tech")
    return found


@pytest.mark.parametrize(
    ("target", "output"),
    [("Sports", 1), ("sports", 1), ("sci tech", 2), ("2", 2), (np.int64(2), 2), (1, 1), (Target(1, 0), 1)],
)
def test_a_class_is_meant_by_name_number_or_target(target, output):
    assert {a.target.output for a in faithbench.attribute(classifier(), TEXTS, "occlusion", target)} == {output}


@pytest.mark.parametrize("texts", [np.array(TEXTS), pd.Series(TEXTS), (text for text in TEXTS), tuple(TEXTS)])
def test_any_list_of_texts_will_do(texts):
    assert [a.text_id for a in faithbench.attribute(classifier(), texts, "random")] == ["0", "1"]


def test_tuples_are_pairs():
    (first, second) = examples_of([("a tale", "an old one"), "a boat"])
    assert (first.text, first.pair, second.text, second.pair) == ("a tale", "an old one", "a boat", None)
    assert [(each.text, each.pair) for each in examples_of(np.array([["a", "b"]]))] == [("a", "b")]
    assert examples_of([]) == []


TYPES = {
    "one text": ({"texts": "warm"}, "texts is one text; give a list: ['warm']"),
    "no texts": ({"texts": None}, "texts is None"),
    "a number": ({"texts": 5}, "texts is an int (5); give a list of texts"),
    "a dictionary": ({"texts": {"a": 1}}, "texts is a dict"),
    "a frame": ({"texts": pd.DataFrame({"a": TEXTS})}, "texts is a DataFrame"),
    "none among texts": ({"texts": ["a", None]}, "texts[1] is None; a text is a str"),
    "a number among texts": ({"texts": [1]}, "texts[0] is an int (1); a text is a str"),
    "bytes among texts": ({"texts": [b"a"]}, "texts[0] is a bytes (b'a')"),
    "half a pair": ({"texts": [("a", None)]}, "texts[0][1] is None"),
    "three of a pair": ({"texts": [("a", "b", "c")]}, "texts[0] has 3 parts"),
    "target that is true": ({"target": True}, "target is True"),
    "target between classes": ({"target": 1.5}, "target is a float (1.5)"),
    "several targets": ({"target": [1]}, "target is a list"),
    "no explainer": ({"explainer": None}, "explainer is None; give its spec"),
    "an object for an explainer": ({"explainer": object()}, "explainer is an object"),
    "no model": ({"model": None}, "model is of type NoneType"),
    "a torch module": ({"model": torch.nn.Linear(1, 1)}, "a torch module must be a classifier of transformers"),
}


@pytest.mark.parametrize("kind", TYPES)
def test_what_is_of_no_use_is_a_user_error_and_a_type_error(kind):
    arguments, sentence = TYPES[kind]
    with pytest.raises(UserError) as error:
        faithbench.attribute(**{"model": classifier(), "texts": TEXTS, "explainer": "random", **arguments})
    assert isinstance(error.value, TypeError)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"target": "sport"}, r"target='sport' is not the name of a class; the model's classes are World, Sports, Sci"),
        ({"target": Target(1, 7)}, "the model has classes 0 to 2"),
        ({"texts": ["a tale", "a \ud83d"]}, r"texts\[1\] cannot be explained: it has half of a character"),
    ],
)
def test_what_the_model_has_not_is_a_user_error(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        faithbench.attribute(**{"model": classifier(), "texts": TEXTS, "explainer": "random", **arguments})


def test_a_tokenizer_must_be_one():
    with pytest.raises(TypeError, match="tokenizer is of type str"):
        faithbench.attribute(tiny_network("bert"), TEXTS, tokenizer="bert")


def test_a_model_without_names_says_so():
    with pytest.raises(UserError, match="the model's classes have no names; they are numbered from 0 to 1"):
        faithbench.attribute(tiny_classifier("bert"), TEXTS, "random", "good")


def test_paths_may_be_texts_or_paths(tmp_path: Path):
    tiny_network("bert").save_pretrained(tmp_path / "m")
    tiny_tokenizer().save_pretrained(tmp_path / "m")
    data = tmp_path / "d.csv"
    data.write_text("text,label\na dull tale,0\nan old lion,1\n")
    assert len(faithbench.attribute(tmp_path / "m", TEXTS, "random", device="cpu")) == 2
    plan = Plan([data], [tmp_path / "m"], ["random"], ["entropy"])
    assert plan.datasets == (str(data),)
    folder = faithbench.run(plan, out=str(tmp_path / "run"), device="cpu").folder
    assert faithbench.table([str(folder)]).equals(faithbench.table([folder]))
    with pytest.raises(TypeError, match="folders is one path; give a list"):
        faithbench.table(str(folder))
    with pytest.raises(UserError, match="folders is one path; give a list"):
        faithbench.render(folder)
    assert faithbench.publish(str(folder), str(tmp_path / "boards" / "mine"))
    assert faithbench.check_boards([str(tmp_path / "boards" / "mine")])[0].problems == ()
    assert faithbench.read_plan(str(folder / "plan.toml")) == plan


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ({"models": "m"}, r"models is one text; give a list: \['m'\]"),
        ({"datasets": None}, "datasets is of type NoneType"),
        ({"explainers": ["random", 3]}, r"explainers\[1\] is of type int; a name is a str"),
    ],
)
def test_a_plan_is_made_of_lists_of_names(plan, sentence):
    with pytest.raises(TypeError, match=sentence):
        Plan(**{"datasets": ["d"], "models": ["m"], **plan})
