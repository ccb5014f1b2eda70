"""Labels of data as classes of a model: by name, by number, by order, or an error that lists both sides."""

import pytest

from faithbench.errors import UserError
from faithbench.labels import class_number, labels_of, match_labels, relabelled, valued
from faithbench.types import Example

STARS = ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")
FIVE = ("1", "2", "3", "4", "5")
NONE: tuple[str, ...] = ()

MATCHED = {
    "exactly": (("bad", "good"), ("good", "bad"), 2, {0: 1, 1: 0}),
    "whatever the case": (("Sci/Tech", "WORLD"), ("world", "sci-tech"), 2, {0: 1, 1: 0}),
    "whatever the space": (("not entailment",), ("entailment", "not_entailment"), 2, {0: 1}),
    "exactly before alike": (("C", "c"), ("c", "C"), 2, {0: 1, 1: 0}),
    "numbers that are names": (("0", "1"), ("1", "0"), 2, {0: 1, 1: 0}),
    "numbers that names begin with": (FIVE, STARS, 5, {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}),
    "numbers as class numbers": (("0", "1"), ("good", "bad"), 2, {0: 0, 1: 1}),
    "from 0 although names begin with 1": (("0", "1", "2", "3", "4"), STARS, 5, {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}),
    "a class that does not occur": (("0", "1"), NONE, 3, {0: 0, 1: 1}),
    "one class": (("1",), NONE, 2, {0: 1}),
    "booleans by name": (("false", "true"), ("True", "False"), 2, {0: 1, 1: 0}),
    "booleans by number": (("false", "true"), ("good", "bad"), 2, {0: 0, 1: 1}),
    "names that models have without any": (("LABEL_1", "LABEL_2"), NONE, 3, {0: 1, 1: 2}),
}


@pytest.mark.parametrize("kind", MATCHED)
def test_labels_that_need_no_word(kind):
    names, own, outputs, expected = MATCHED[kind]
    found = match_labels(names, range(len(names)), own, outputs)
    assert found.classes == expected
    assert found.said == ""


SAID = {
    "one to five": (
        FIVE,
        range(5),
        NONE,
        5,
        {i: i for i in range(5)},
        "labels 1 to 5 are read as the model's classes 0",
    ),
    "some of one to five": (FIVE, [0, 4], NONE, 5, {0: 0, 4: 4}, "labels 1 to 5 are"),
    "stars of names without numbers": (FIVE, [0, 4], tuple("abcde"), 5, {0: 0, 4: 4}, "labels 1 to 5 are"),
    "minus one and one": (
        ("-1", "0", "1"),
        [0, 2],
        NONE,
        2,
        {0: 0, 2: 1},
        "labels -1 and 1 are read as the model's classes 0 and 1",
    ),
    "minus one, none and one": (("-1", "0", "1"), [0, 2], NONE, 3, {0: 0, 2: 2}, "labels -1 to 1 are read as"),
    "nothing but minus one": (("-1", "0", "1"), [0], NONE, 2, {0: 0}, "labels -1 and 1 are read as"),
    "in their order": (("bad", "good"), [0, 1], NONE, 2, {0: 0, 1: 1}, "bad = 0, good = 1"),
}


@pytest.mark.parametrize("kind", SAID)
def test_what_is_assumed_is_said(kind):
    names, occurring, own, outputs, expected, words = SAID[kind]
    found = match_labels(names, occurring, own, outputs)
    assert found.classes == expected
    assert words in found.said


REFUSED = {
    "other names": (("politics", "sports"), [0, 1], ("good", "bad"), 2, ["data: politics, sports", "model: good, bad"]),
    "one other name": (("good", "ugly"), [0, 1], ("good", "bad"), 2, ["data: good, ugly", "model: good, bad"]),
    "gaps": (("2", "3", "4"), [0, 2], NONE, 2, ["data: 2, 4", "0 to 1"]),
    "fewer names than classes": (("bad", "good"), [0, 1], NONE, 3, ["bad, good", "LABEL_0 to LABEL_2"]),
    "numbers beyond": (("0", "1", "2"), [0, 2], NONE, 2, ["data: 0, 2", "0 to 1"]),
    "signs are no punctuation": (("-1", "1"), [0, 1], ("1", "2", "3"), 3, ["-1, 1"]),
    "alike twice": (("Good",), [0], ("good", "GOOD"), 2, ["Good", "good, GOOD"]),
    "nothing but punctuation": (("+",), [0], ("-", "*"), 2, ["data: +", "model: -, *"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_names_that_the_model_does_not_have_are_an_error_that_lists_both_sides(kind):
    names, occurring, own, outputs, words = REFUSED[kind]
    with pytest.raises(UserError) as error:
        match_labels(names, occurring, own, outputs)
    for word in words:
        assert word in str(error.value)


def test_names_that_do_not_occur_need_no_class():
    assert match_labels(("good", "neutral"), [0], ("good", "bad"), 2).classes == {0: 0}
    assert match_labels(("a", "b"), [], ("good", "bad"), 2).classes == {}


def test_a_class_is_named_by_name_or_number():
    assert class_number("sports", ("World", "Sports"), 2) == 1
    assert class_number("1", ("World", "Sports"), 2) == 1
    assert class_number("label_1", (), 2) == 1
    assert class_number("good", (), 2) is None
    assert class_number("2", (), 2) is None


def test_labels_of_texts_and_segments_change_together():
    example = Example("a", "warm soup", 0, segments=((0, 4, 0), (5, 9, 1)), labels=(1, 0))
    assert labels_of([example]) == {0, 1}
    found = relabelled(example, {0: 2, 1: 1})
    assert (found.label, found.labels, found.segments) == (2, (1, 2), ((0, 4, 2), (5, 9, 1)))


def test_for_a_value_a_number_is_a_value_and_a_name_is_nothing():
    assert valued(Example("a", "warm", 1), ("0", "4")).value == 4.0
    assert valued(Example("a", "warm", 1), ("bad", "good")).value is None
    assert valued(Example("a", "warm", None, value=0.5), ()).value == 0.5


@pytest.mark.parametrize(
    ("example", "softmax", "sigmoid"),
    [
        (Example("a", "warm", 1), (1,), (1,)),
        (Example("a", "warm", None), None, None),
        (Example("a", "warm", None, labels=()), None, ()),  # none of the labels is true, which is known
        (Example("a", "warm", 0, labels=(0, 2)), (0,), (0, 2)),
        (Example("a", "warm soup", 0, segments=((0, 4, 1), (5, 9, 1))), (0,), (0,)),
        (Example("a", "warm soup", 0, segments=((0, 4, 0), (5, 9, 1))), None, None),
    ],
)
def test_what_is_true_of_an_example(example: Example, softmax: object, sigmoid: object):
    assert (example.true_outputs("softmax"), example.true_outputs("sigmoid")) == (softmax, sigmoid)
