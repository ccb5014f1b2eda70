"""Which texts a limit takes: the same share of each label, nested, in the order of the split; and a run goes on so."""

import itertools
from collections import Counter

import numpy as np
import pytest

from faithbench.plan import Plan
from faithbench.plugins.naming import build_dataset
from faithbench.running.grid import load_examples, select_components
from faithbench.running.sampling import sampled
from faithbench.types import Example

DATA = "planted(train=10, validation=10, test=60)"
RARE = [Example(str(i), "a text", 0 if i % 10 else 1) for i in range(400)]
KNOWN = {"label": DATA, "fingerprint": ""}


def ids(examples: tuple[Example, ...]) -> list[str]:
    return [each.id for each in examples]


@pytest.mark.parametrize("limit", [1, 7, 20, 50, 80, 150, 399])
def test_each_label_has_its_share(limit: int):
    labels = Counter(each.label for each in sampled(RARE, limit))
    assert sum(labels.values()) == limit
    assert abs(labels[1] - limit / 10) < 1 + 1e-9
    if limit % 10 == 0:
        assert labels[1] == limit // 10


def test_a_larger_limit_takes_the_texts_of_a_smaller_one_too_and_keeps_their_order():
    chosen = [ids(sampled(RARE, limit)) for limit in range(1, 200, 13)]
    for small, large in itertools.pairwise(chosen):
        assert set(small) < set(large)
        assert large == sorted(large, key=int)


def test_a_limit_that_reaches_takes_all():
    for limit in (None, 400, 500):
        assert sampled(RARE, limit) == tuple(RARE)


def test_in_the_mean_rare_labels_have_their_share_too():
    labels = [label for label in range(200) for _ in range(2)] + [-1] * 400
    examples = [Example(str(i), "a text", label) for i, label in enumerate(labels)]
    rare = sum(each.label >= 0 for each in sampled(examples, 200))
    assert 80 <= rare <= 120  # of a rule without chance: 200 or 0


def test_without_labels_texts_are_drawn_as_they_always_were():
    bare = [Example(str(i), "a text", None) for i in range(90)]
    first = sorted(np.random.default_rng(0).permutation(90)[:30])
    assert ids(sampled(bare, 30)) == ids(sampled(bare, 30, "random")) == [str(i) for i in first]


def test_several_labels_are_a_stratum_of_their_own():
    several = [Example(str(i), "a text", None, labels=(0, 1) if i % 4 else (1,)) for i in range(80)]
    assert Counter(each.labels for each in sampled(several, 20)) == {(0, 1): 15, (1,): 5}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, "stratified"),
        ({"texts": 20, "split_texts": 60}, "random"),
        ({"texts": 20}, "random"),
        ({"texts": 60, "split_texts": 60}, "stratified"),
        ({"texts": 20, "split_texts": 60, "sampling": "stratified"}, "stratified"),
        ({"texts": 20, "split_texts": 60, "fingerprint": "another"}, "stratified"),
    ],
)
def test_a_run_draws_on_as_it_began(entry: dict, expected: str):
    selection = select_components(Plan((DATA,), ("conv-tiny",), ("random",), ("entropy",)))
    fresh = load_examples(build_dataset(DATA), selection, "test", 20)
    earlier = {**KNOWN, "fingerprint": fresh.fingerprint, **entry} if entry else None
    found = load_examples(build_dataset(DATA), selection, "test", 20, earlier)
    assert (found.sampling, len(found.examples)) == (expected, 20)
    assert (found.examples == fresh.examples) == (expected == "stratified")
    assert load_examples(build_dataset(DATA), selection, "test", None, earlier).sampling == "all"
