"""Does a model compute the program that made the labels? Only then it is accepted."""

import io
import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from builders import LinearModel
from fixtures_run import use_cache
from rich.console import Console

import faithbench
from faithbench.running import ground_truth
from faithbench.running.ground_truth import program_agreement
from faithbench.statistics.ground_truth import AGREES, AGREES_CHANGED, program_holds
from faithbench.types import Example

CLASSES = {0: 0, 1: 1}


def says(words):
    """At least two words 5."""
    return int(words.count("5") >= 2)


def model(weight: float):
    """Class 1 where words 5 weigh more than 3, each this much."""
    return LinearModel.binary([0, 0, 0, 0, 0, weight, 0, 0], bias=-3.0)


def texts(*sources: str):
    linear = model(2.0)
    return [replace(linear.encode(Example(s, s, None)), source=s) for s in sources]


def test_a_model_that_computes_the_program_agrees_on_all_changes():
    found = program_agreement(model(2.0), says, CLASSES, texts("5 5 6", "5 7", "5 5 5 7", "6"))
    assert found == {AGREES: 100, AGREES_CHANGED: 100}
    assert program_holds(found)


def test_a_model_that_is_right_of_texts_and_wrong_of_changes_is_found_out():
    given = ["5 5 5 6", "6 7"]
    found = program_agreement(model(1.2), says, CLASSES, texts(*given))  # needs three
    assert found[AGREES] == 100
    right = []
    for source in given:
        words = source.split()
        for size in (1, 2):
            for gone in combinations(range(len(words)), size):
                left = [w for i, w in enumerate(words) if i not in gone]
                right.append(says(left) == (left.count("5") >= 3))
    assert found[AGREES_CHANGED] == pytest.approx(100 * np.mean(right))
    assert found[AGREES_CHANGED] < 100
    assert not program_holds(found)


def test_texts_count_too_classes_may_be_swapped_and_what_is_cut_is_left_out(monkeypatch):
    found = program_agreement(model(2.0), says, {0: 1, 1: 0}, texts("5 5 6", "6"))
    assert found[AGREES] == found[AGREES_CHANGED] == 0
    cut = [replace(text, truncated=True) for text in texts("5 5")]
    assert program_agreement(model(2.0), says, CLASSES, cut) == {}
    monkeypatch.setattr(ground_truth, "CHANGED", 1)
    found = program_agreement(model(1.2), says, CLASSES, texts("6 6", "5 5"))  # changes of the first alone
    assert found == {AGREES: 50, AGREES_CHANGED: 100}
    assert not program_holds(found)


@pytest.mark.parametrize(
    ("on_texts", "on_changes", "holds"), [(100, 99.9, True), (99.8, 100, False), (100, 99.8, False)]
)
def test_both_must_be_high(on_texts, on_changes, holds):
    assert program_holds({AGREES: on_texts, AGREES_CHANGED: on_changes}) is holds


def test_a_run_says_that_a_model_is_not_accepted(tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path / "cache")
    console = Console(file=io.StringIO(), width=10_000)
    training = faithbench.Training(epochs=1, limit=40)
    data = "program(count, train=40, validation=10, test=6, distractors=4)"
    metrics = ("truth_ap", "truth_ndcg", "truth_tau")
    plan = faithbench.Plan((data,), ("conv-tiny",), ("random", "occlusion"), metrics, training=training)
    result = faithbench.run(plan, tmp_path / "run", device="cpu", console=console)
    (entry,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["models"].values()
    assert 0 <= entry["checks"][AGREES] < 99.9
    words = console.file.getvalue()
    assert "is not accepted as the program" in words
    assert f"agrees with it on {entry['checks'][AGREES]:.2f} % of the texts" in words
    shown = faithbench.render([result.folder])
    assert "is not accepted as the program" in shown
    assert AGREES in shown
    assert AGREES_CHANGED in shown
    assert "truth_ndcg" in shown
    assert result.failed == 0
