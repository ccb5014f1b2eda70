"""Known evidence by place or word alone: the rules of benchmarks/places.py on questions made by hand."""

import re
import runpy
from pathlib import Path

import pytest

from faithbench.types import Example

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "places.py"
BACK = ("a b X c", "d e f X g", "h X i", "j k X l")


@pytest.fixture(scope="module")
def places():
    return runpy.run_path(str(SCRIPT))


def asked(places, *texts):
    """Questions in which the words in capitals are evidence."""
    spans = [tuple(found.span() for found in re.finditer("[A-Z]+", text)) for text in texts]
    examples = [Example("0", text, 0, evidence=marks) for text, marks in zip(texts, spans, strict=True)]
    return [places["Question"].of(example) for example in examples]


def test_evidence_that_is_last_but_one_is_found_by_place_alone(places):
    some, mean = asked(places, *BACK), places["mean"]
    assert mean(some, places["by_place"](some)) == places["learnt"](some, places["by_place"]) == 100
    assert mean(some, places["first"]) == pytest.approx(100 * (1 / 3 + 1 / 4 + 1 / 2 + 1 / 3) / 4)
    assert mean(some, places["last"]) == 50


def test_evidence_that_is_one_word_is_found_by_word_alone(places):
    some = asked(places, "X a b", "a X c", "c d X", "b X")
    learnt = [places["learnt"](some, places[rule]) for rule in ("by_word", "common", "by_place")]
    assert learnt[:2] == [100, 100]
    assert learnt[2] < 100


def test_words_that_were_not_seen_are_all_alike(places):
    rule = places["by_word"](asked(places, "X a"))
    assert places["mean"](asked(places, "b Y c"), rule) == pytest.approx(100 * (1 + 1 / 2 + 1 / 3) / 3)
