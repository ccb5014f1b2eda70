"""Planted sentences: their evidence is all that tells the class."""

from collections import Counter

import numpy as np
from scipy.stats import chi2_contingency

from faithbench.datasets.planted import CUES, DISTRACTORS, Planted
from faithbench.types import Example


def marked(example: Example) -> list[str]:
    """The words under the evidence."""
    return [example.text[start:end] for start, end in example.evidence or ()]


def test_planted_evidence_is_exactly_the_cue_words():
    for example in Planted().load("test"):
        cues = [word for word in example.text.split() if word in CUES[0] + CUES[1]]
        assert marked(example) == cues
        assert len(cues) == 2
        assert set(cues) <= set(CUES[example.label])


def test_planted_without_its_cues_is_the_same_but_for_them():
    data = Planted(test=50)
    for whole, bare in zip(data.load("test"), data.without("test"), strict=True):
        assert (bare.id, bare.label, bare.evidence) == (whole.id, whole.label, ())
        cues = Counter(marked(whole))
        assert Counter(bare.text.split()) + cues == Counter(whole.text.split())
        rest = iter(whole.text.split())
        assert all(word in rest for word in bare.text.split())  # in the same order


def test_planted_cues_and_distractors_are_different_words():
    words = [*CUES[0], *CUES[1], *DISTRACTORS]
    assert len(set(words)) == len(words)


def test_planted_distractors_say_nothing_of_the_class():
    counts = {0: Counter(), 1: Counter()}
    lengths = {0: Counter(), 1: Counter()}
    for example in Planted(train=8000).load("train"):
        others = [word for word in example.text.split() if word in DISTRACTORS]
        counts[example.label].update(others)
        lengths[example.label][len(others)] += 1
    for table in (counts, lengths):
        names = sorted(table[0] | table[1])
        frequencies = [[table[label][name] for name in names] for label in (0, 1)]
        assert min(map(min, frequencies)) > 20
        assert chi2_contingency(frequencies).pvalue > 0.01
    assert set(counts[0]) == set(DISTRACTORS)


def test_planted_cues_stand_anywhere():
    places = Counter()
    for example in Planted(test=2000).load("test"):
        words = example.text.split()
        places.update(round(4 * i / (len(words) - 1)) for i, word in enumerate(words) if word not in DISTRACTORS)
    shares = np.array([places[i] for i in range(5)]) / sum(places.values())
    np.testing.assert_allclose(shares, [1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8], atol=0.05)


def test_planted_sizes_lengths_and_labels():
    data = Planted(train=7, validation=5, test=6, cues=3, distractors=8)
    for split, size in (("train", 7), ("validation", 5), ("test", 6)):
        examples = data.load(split)
        assert [e.label for e in examples] == [i % 2 for i in range(size)]
        assert len({e.id for e in examples}) == size
        assert all(7 <= len(e.text.split()) <= 11 for e in examples)
        assert all(len(e.evidence or ()) == 3 for e in examples)
    assert not {e.id for e in data.load("train")} & {e.id for e in data.load("test")}


def test_planted_is_drawn_by_its_seed_and_split_alone():
    assert Planted().load("test") == Planted(train=50, validation=3).load("test")
    assert Planted(test=300).load("test")[:200] == Planted().load("test")
    assert Planted(seed=1).load("test") != Planted().load("test")
    assert [e.text for e in Planted(test=200, validation=200).load("validation")] != [
        e.text for e in Planted().load("test")
    ]
