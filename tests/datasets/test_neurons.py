"""Data sets of neurons: documents of another data set, drawn; what is refused."""

import pytest

from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset

SMALL = "planted(train=50, validation=10, test=10)"


def test_the_label_is_short_and_the_identity_has_all():
    data = build_dataset("neurons(planted-grammar, window=8)")
    assert data.label == "neurons(planted-grammar, window=8)"
    inner = build_dataset("planted-grammar")
    assert data.object.dataset == inner.spec
    assert build_dataset(data.spec).identity == data.identity
    assert "per_layer=128" in data.identity
    assert data.traits.unit == "neuron"


def test_documents_are_drawn_from_the_split_that_is_named_whatever_a_plan_says():
    whole = build_dataset(SMALL).object.load("train")
    data = build_dataset(f"neurons({SMALL}, documents=7)").object
    drawn = data.load("test")
    assert drawn == data.load("validation") == [each for each in whole if each in drawn]
    assert len(drawn) == 7
    assert build_dataset(f"neurons({SMALL}, documents=7, seed=1)").object.load("test") != drawn
    assert build_dataset(f"neurons({SMALL}, documents=0)").object.load("test") == whole
    assert len(build_dataset(f"neurons({SMALL}, split=test)").object.load("train")) == 10


def test_texts_of_nothing_but_space_are_no_documents(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text('text,label\n"  ",0\na text,1\n')
    assert [each.text for each in build_dataset(f"neurons({path}, split=test)").object.load("train")] == ["a text"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("neurons(neurons(planted))", "dataset=neurons(planted) is not allowed; it must be a data set of texts"),
        ("neurons(planted, site='(')", "site='(' is not allowed; as a regular expression it is wrong"),
        ("neurons(planted, window=1)", "window=1 is not allowed; it must be a whole number from 2"),
        ("neurons(planted, per_layer=-1)", "per_layer=-1 is not allowed"),
        ("neurons(planted, documents=1.5)", "documents=1.5 is not allowed"),
        ("neurons(planted, split=dev)", "split='dev' is not allowed; use train or validation or test"),
        ("neurons(planted, seed=-1)", "seed=-1 is not allowed"),
        ("neurons(plantd)", "did you mean planted"),
    ],
)
def test_wrong_parameters_are_refused_in_one_sentence(text, words):
    with pytest.raises(UserError) as refusal:
        build_dataset(text)
    assert words in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_a_split_that_is_not_there_is_answered_with_those_that_are():
    data = build_dataset("neurons(ioi(items=20))").object
    with pytest.raises(UserError, match=r"^ioi\(items=20\) has no split 'train' .* it has test: use split=test\.$"):
        data.load("test")
