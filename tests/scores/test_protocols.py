"""Which windows are scored: how many, whose, and what is done where there are fewer."""

import math
from dataclasses import replace

import numpy as np
import pytest
from faithbench_scores.full import Full
from faithbench_scores.quantile import Quantile, bins, choose, pieces
from faithbench_scores.random_only import RandomOnly
from faithbench_scores.top_and_random import TopAndRandom
from neurons import Said, corpus, dead, dense, gelu, neuron, next_token, noise, rare, token_table, unigram

from faithbench.activations import Recording, Windows, reason
from faithbench.errors import UserError
from faithbench.plugins import spec

PROTOCOLS = (TopAndRandom(), RandomOnly(), RandomOnly(5), Quantile(), Full())
SEEN = []


def watched(rule):
    """A description that notes which windows it is asked about."""
    SEEN.clear()

    def simulate(windows):
        SEEN.append(windows)
        return rule(windows)

    return Said(simulate)


def some(unit, windows):
    return replace(unit, evaluate=unit.evaluate.take(np.arange(windows)))


def draws(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("rule", [unigram, next_token, gelu, dense, rare])
@pytest.mark.parametrize("form", ["pearson", "spearman", "r2"])
def test_a_perfect_simulation_has_100_and_its_opposite_the_least(rule, form):
    unit = neuron(rule)
    for score in (TopAndRandom(form=form), RandomOnly(form=form), Quantile(form), Full(form)):
        assert score(unit, Said(rule)).value == pytest.approx(100)
        opposite = score(unit, Said(lambda windows: -rule(windows))).value
        assert opposite == pytest.approx(100 if form == "r2" else -100)  # a line puts that right


@pytest.mark.parametrize(
    ("score", "tokens"),
    [
        (TopAndRandom(), 10 * 32),
        (TopAndRandom(3, 0), 3 * 32),
        (RandomOnly(), 200 * 32),
        (RandomOnly(5), 5 * 32),
        (Full(), 240 * 32),
        (Quantile(), 278),  # of 326: no words of this unit have a peak in some of the bins
    ],
)
def test_each_protocol_scores_so_many_tokens_of_what_was_not_fitted(score, tokens):
    unit = neuron(gelu)
    found = score(unit, watched(gelu))
    assert found.parts[2] == tokens == sum(windows.ids.size for windows in SEEN)
    documents = np.concatenate([windows.documents for windows in SEEN])
    assert not set(documents) & {*unit.fit.windows.documents, *unit.calibrate.windows.documents}


def test_top_windows_have_the_largest_activations_and_are_of_different_documents():
    unit = neuron(gelu)
    places = unit.evaluate.top(40, draws())
    documents, peaks = unit.evaluate.windows.documents, unit.evaluate.activations.max(axis=1)
    best = {document: peaks[documents == document].max() for document in documents}
    assert list(peaks[places]) == sorted(best.values(), reverse=True)[:40]
    assert len(set(documents[places])) == 40
    assert len(unit.evaluate.top(10**6, draws())) == len(best)
    TopAndRandom(5, 0)(unit, watched(gelu))
    assert set(SEEN[0].documents) <= set(documents[places])


def test_of_equal_peaks_the_lot_decides_and_decides_alike_for_a_neuron():
    first, second = neuron(dead, unit="a:1"), neuron(dead, unit="a:2")

    def tops(unit, seed=0):
        return tuple(unit.evaluate.top(5, unit.generator("top", seed)))

    assert tops(first) == tops(first)
    assert len({tops(first), tops(first, 1), tops(second)}) == 3
    assert len({place for seed in range(60) for place in tops(first, seed)}) > 150  # of 240: not always the first


def test_random_windows_are_drawn_without_regard_to_the_top_ones():
    """As in Bills et al. 2023: where all are drawn, the top ones are among them and count twice."""
    unit = some(neuron(gelu), 12)
    found = TopAndRandom(5, 12)(unit, watched(gelu))
    assert found.parts[2] == 17 * 32
    rows = [row.tobytes() for row in SEEN[0].ids]
    assert len(set(rows)) == 12
    assert set(rows[:5]) <= set(rows[5:])


@pytest.mark.parametrize("score", PROTOCOLS, ids=str)
def test_a_score_depends_on_the_neuron_alone_to_the_last_bit(score):
    def value(rule, unit=""):
        made = neuron(rule, unit=unit)
        found = score(made, token_table(made.fit))
        return np.array([found.value, *found.parts]).tobytes()

    rules = (unigram, noise, dead)
    first = [value(rule) for rule in rules]
    assert [value(rule) for rule in rules[::-1]] == first[::-1]
    assert value(gelu, "a:1") == value(gelu, "a:1")
    if not isinstance(score, Full):
        assert value(gelu, "a:1") != value(gelu, "a:2")  # other windows
        other = replace(score, seed=1)(neuron(gelu), Said(noise))
        assert other.value != score(neuron(gelu), Said(noise)).value


@pytest.mark.parametrize("score", PROTOCOLS, ids=str)
@pytest.mark.parametrize("windows", [0, 1, 2, 3, 9])
def test_fewer_windows_than_wanted_are_all_used(score, windows):
    for rule in (unigram, dead, gelu):
        found = score(some(neuron(rule), windows), Said(rule))
        assert math.isnan(found.value) == (rule is dead or windows == 0)
        assert reason(found.parts) == ("" if windows and rule is not dead else reason(found.parts))
        assert found.parts[2] > 0 or not windows
    assert reason(score(some(neuron(unigram), 0), Said(unigram)).parts) == "no windows"


@pytest.mark.parametrize("score", PROTOCOLS, ids=str)
@pytest.mark.parametrize("tokens", [1, 2, 5, 8, 11])
def test_windows_of_any_length_are_scored(score, tokens):
    windows = corpus(tokens=tokens)
    assert score(neuron(gelu, windows), Said(gelu)).value == pytest.approx(100)


@pytest.mark.parametrize("score", PROTOCOLS, ids=str)
def test_a_unit_that_never_fires_is_not_defined_and_the_reason_is_told(score):
    found = score(neuron(dead), Said(noise))
    assert math.isnan(found.value)
    assert reason(found.parts) == "activations constant"
    found = score(neuron(gelu), Said(dead))
    assert math.isnan(found.value)
    assert reason(found.parts) == "simulation constant"


def test_five_random_windows_are_silent_most_of_the_time():
    """A unit that fires on 0.1 % of tokens is silent in 5 windows of 64 in 0.999^320 = 72.6 % of cases."""
    due = (1 - 0.001) ** (5 * 64)
    assert due == pytest.approx(0.726, abs=5e-4)
    generator = draws()
    windows = Windows(np.zeros((3000, 64), dtype=int), np.arange(3000), np.zeros(3000, dtype=int), ("a", "b"))
    unit, silent = neuron(unigram), 0
    fired = (generator.random(windows.ids.shape) < 0.001).astype(float)
    recording = Recording(windows, fired)
    density = fired.mean()
    for number in range(300):
        one = replace(unit, unit=f"a:{number}", evaluate=recording)
        silent += (
            reason(RandomOnly(5)(one, Said(lambda windows: np.arange(windows.ids.size).reshape(-1, 64))).parts) != ""
        )
    assert silent / 300 == pytest.approx((1 - density) ** 320, abs=4 * math.sqrt(due * (1 - due) / 300))


def test_bins_are_of_one_width_from_0_to_the_largest_peak():
    peaks = np.array([-1.0, 0.0, 0.5, 1.0, 1.001, 5.5, 10.001, 11.0])
    found = bins(peaks)
    assert len(found) == 11
    assert [list(np.flatnonzero(one)) for one in found] == [[2, 3], [4], [], [], [], [5], [], [], [], [], [6, 7]]
    assert bins(-np.ones(3)) == bins(np.zeros(3)) == bins(np.empty(0)) == []


def test_quantile_takes_no_piece_twice_and_two_of_each_bin():
    generator = draws(3)
    peaks, documents = generator.random(4000), np.repeat(np.arange(400), 10)
    chosen, others = choose(peaks, documents, draws())
    assert len(chosen) == len(set(chosen)) == 10 + 22 + 5
    assert len(others) == 10
    assert not set(chosen) & set(others)
    highest = np.sort(peaks.reshape(400, 10).max(axis=1))[::-1]
    assert list(peaks[chosen[:10]]) == list(highest[:10])
    number = np.minimum(np.floor(peaks[chosen[10:32]] / peaks.max() * 11), 10)
    assert list(number) == list(np.repeat(np.arange(11), 2))
    assert set(peaks[others]) <= set(highest[10:])
    assert len({*documents[chosen[:10]], *documents[others]}) == 20  # one a document


def test_pieces_are_what_stands_in_the_windows_and_others_are_around_their_peak():
    whole = neuron(gelu).evaluate
    short, around = pieces(whole, draws())
    texts = {
        (int(document), row[start : start + length].tobytes())
        for document, row in zip(whole.windows.documents, whole.windows.ids, strict=True)
        for length in (8, 3)
        for start in range(33 - length)
    }
    for part in (short, around):
        for document, row in zip(part.windows.documents, part.windows.ids, strict=True):
            assert (int(document), row.tobytes()) in texts
        assert np.array_equal(part.activations, gelu(part.windows))
    assert around.windows.ids.shape == (10, 3)
    assert (around.activations.max(axis=1) > 0).all()
    assert np.array_equal(next_token(around.windows)[:, :2], unigram(around.windows)[:, 1:] > 0)


def test_a_peak_at_the_end_of_a_window_is_at_an_end_of_its_three_tokens():
    ids = np.arange(60 * 8).reshape(60, 8)
    windows = Windows(ids, np.arange(60), ids[:, -1] + 1, tuple("w" * 2 for _ in range(500)))
    activations = np.zeros(ids.shape)
    activations[::2, 0] = 1 + np.arange(30)
    activations[1::2, 7] = 1.5 + np.arange(30)
    _, around = pieces(Recording(windows, activations), draws())
    assert len(around.activations)
    for row, values in zip(around.windows.ids, around.activations, strict=True):
        assert values.max() > 0
        assert (row[values.argmax()] % 8, int(values.argmax())) in {(0, 0), (7, 2)}


def test_a_unit_that_fires_in_few_documents_has_fewer_pieces():
    windows = corpus().take(np.arange(0, 800, 2))
    activations = np.zeros(windows.ids.shape)
    activations[:3, 9] = [1, 2, 3]
    short, around = pieces(Recording(windows, activations), draws())
    assert len(around.windows) == 0
    assert len(short.windows) == 10 + 5
    assert np.sort(short.activations.max(axis=1))[-3:] == pytest.approx([1, 2, 3])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("random_only(windows=0)", "windows=0 is not allowed; it must be a whole number from 1"),
        ("random_only(form=kendall)", "form='kendall' is not allowed; use pearson or spearman or r2."),
        ("random_only(seed=-1)", "seed=-1 is not allowed"),
        ("top_and_random(top=0)", "top=0 is not allowed"),
        ("top_and_random(random=-1)", "random=-1 is not allowed"),
        ("quantile(form=tau)", "form='tau' is not allowed"),
        ("quantile(bins=3)", "'bins' is not a known parameter of score 'quantile'"),
        ("full(form=R2)", "form='R2' is not allowed"),
        ("full(windows=3)", "'windows' is not a known parameter of score 'full'"),
        ("ablation(windows=2.5)", "windows=2.5 is not allowed"),
        ("ablation(form=r2)", "'form' is not a known parameter of score 'ablation'"),
        ("permuted", "missing a required argument: 'score'"),
        ("permuted(occlusion)", "'occlusion' is not a known score"),
        ("permuted(full(form=x))", "form='x' is not allowed"),
        ("permuted(full, seed=-3)", "seed=-3 is not allowed"),
        ("fitted(comprehensiveness)", "'comprehensiveness' is not a known score"),
    ],
)
def test_parameters_are_refused_in_one_sentence(text, words):
    with pytest.raises(UserError) as refused:
        spec.build("score", text)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_score_is_named_by_all_its_parameters_and_shown_without_defaults():
    built = spec.build("metric", "permuted(random_only(5))")
    assert built.identity == "permuted(score='random_only(windows=5, form=pearson, seed=0)', seed=0)"
    assert built.label == "permuted(random_only(windows=5))"
    assert built.traits.kind == "control"
    assert built.traits.direction == 0
    assert built.traits.range == (-100, 100)
    assert spec.build("score", "fitted(full(r2))").traits.range == (-math.inf, 100)
    assert spec.build("score", built.identity).identity == built.identity
