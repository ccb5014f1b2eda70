"""What is said where a ground truth is not the model's; the thresholds are tried beside the checks themselves."""

import pytest

from faithbench.statistics.ground_truth import AGREES, AGREES_CHANGED, WITH, WITHOUT, truth_doubts

SOUND = {WITH: 100.0, WITHOUT: 50.0}


@pytest.mark.parametrize(
    "checks",
    [
        {},
        SOUND,
        SOUND | {"accuracy without the first word": 52.0},
        {AGREES: 100.0, AGREES_CHANGED: 99.95},
        {WITH: 30.0},
        {WITH: [30.0, 20.0], WITHOUT: [30.0, 20.0]},  # as a manifest of another version may have it
    ],
)
def test_nothing_is_said_where_it_holds_or_nothing_is_known(checks):
    assert list(truth_doubts(checks)) == []


def test_a_part_that_is_not_needed_is_named():
    parts = {"accuracy without the first word": 1.0, "accuracy without the second word": 100.0}
    assert list(truth_doubts(SOUND | parts)) == [
        "the ground truth does not hold, since the model does not rely on all that was planted: accuracy 100.0 % "
        "with it, 50.0 % without it, 1.0 % without the first word, 100.0 % without the second word."
    ]


def test_a_program_that_is_nearly_computed_is_not_rounded_up():
    (told,) = truth_doubts({AGREES: 99.899, AGREES_CHANGED: 100.0})
    assert "agrees with it on 99.89 % of the texts and 100.00 % of their changes" in told
