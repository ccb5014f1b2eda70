"""Controls, and the numbers that the specification gives for neurons whose rule is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from faithbench_scores.fitted import Fitted
from faithbench_scores.full import Full
from faithbench_scores.permuted import Permuted, across_documents, elsewhere
from hypothesis import given, settings
from hypothesis import strategies as st
from neurons import (
    Said,
    bigram,
    bigram_by_table,
    corpus,
    fitted_noise,
    gelu,
    neuron,
    next_token,
    noise,
    position,
    token_table,
    topic,
    unigram,
)

from faithbench.activations import Recording, reason
from faithbench.plugins import spec

EVERY = "top_and_random random_only quantile full full(spearman) full(r2)".split()


def by_table(rule, score):
    unit = neuron(rule)
    return score(unit, token_table(unit.fit)).value


def test_a_table_of_tokens_describes_a_unigram_neuron_wholly():
    assert by_table(unigram, Full()) == pytest.approx(100, abs=0.5)


def test_a_table_of_tokens_describes_of_a_bigram_neuron_what_closed_form_says():
    """The specification has 48, and so has this corpus, but for the first tokens of windows."""
    assert bigram_by_table() == pytest.approx(46, abs=1)
    assert by_table(bigram, Full()) == pytest.approx(bigram_by_table(), abs=3)


@pytest.mark.parametrize("rule", [next_token, noise, position])
def test_a_table_of_tokens_says_nothing_of_what_does_not_depend_on_the_token(rule):
    assert abs(by_table(rule, Full())) < 3


def test_noise_that_was_fitted_is_known_by_heart():
    """The leak test: 28 to 35 in percent on what was fitted, 0 on what is scored. Which it is depends on the corpus."""
    due = fitted_noise(neuron(noise).fit)
    assert 28 < due < 35
    assert by_table(noise, Fitted("full")) == pytest.approx(due, abs=2)
    assert abs(by_table(noise, Full())) < 2
    assert Fitted("full")(neuron(noise), Said(noise)).value == pytest.approx(100)


def test_fitted_is_the_same_score_of_the_documents_to_fit():
    unit = neuron(gelu)
    assert set(unit.fit.windows.documents).isdisjoint(unit.evaluate.windows.documents)
    for name in EVERY:
        inner = spec.build("score", name).object
        due = inner(replace(unit, evaluate=unit.fit), token_table(unit.fit))
        assert Fitted(name)(unit, token_table(unit.fit)) == due


@pytest.mark.parametrize("rule", [unigram, topic, position, gelu])
def test_permuted_activations_are_described_by_nothing(rule):
    """Also where what is left of a window's order or of a document's topic would give a perfect description away."""
    unit = neuron(rule)
    values = [Permuted("full", seed)(unit, Said(rule)).value for seed in range(8)]
    assert np.abs(values).max() < 400 / math.sqrt(unit.evaluate.windows.ids.size)
    assert abs(np.mean(values)) < 2
    assert Full()(unit, Said(rule)).value == pytest.approx(100)


@pytest.mark.parametrize("name", EVERY)
def test_every_score_can_be_permuted(name):
    inner, unit = spec.build("score", name).object, neuron(unigram)
    value = Permuted(name)(unit, Said(unigram)).value
    assert inner(unit, Said(unigram)).value == pytest.approx(100)
    assert abs(value) < 20  # 320 tokens in the smallest
    assert Permuted(name)(unit, Said(unigram)).value == value != Permuted(name, seed=1)(unit, Said(unigram)).value


def test_permuted_activations_are_the_same_ones_in_other_documents():
    windows = corpus()
    unit = neuron(lambda windows: 1.0 + windows.documents[:, None] + np.linspace(0, 0.5, windows.ids.shape[1]))
    moved = across_documents(unit.evaluate, np.random.default_rng(0))
    assert not (np.floor(moved.activations) == 1.0 + moved.windows.documents[:, None]).any()
    assert np.array_equal(np.sort(moved.activations.ravel()), np.sort(unit.evaluate.activations.ravel()))
    assert np.array_equal(moved.windows.ids, unit.evaluate.windows.ids)
    assert windows.ids.shape[1] == 32


@settings(max_examples=30)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=8), st.integers(0, 1000))
def test_no_token_meets_one_of_its_document(sizes, seed):
    sizes = [min(size, sum(sizes) - size) for size in sizes]  # none has more than half
    sizes[int(np.argmax(sizes))] -= max(0, 2 * max(sizes) - sum(sizes))
    owners = np.repeat(np.arange(len(sizes)), sizes)
    order = elsewhere(owners, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(owners)))
    assert not (owners[order] == owners).any()


def test_all_permutations_without_a_meeting_are_drawn():
    """Of the four tokens of two documents, each of the four orders in a quarter of the draws."""
    owners = np.array([0, 0, 1, 1])
    found = [tuple(elsewhere(owners, np.random.default_rng(seed))) for seed in range(400)]
    counts = {order: found.count(order) for order in set(found)}
    assert set(counts) == {(a, b, c, d) for a, b in ((2, 3), (3, 2)) for c, d in ((0, 1), (1, 0))}
    assert all(count == pytest.approx(100, abs=40) for count in counts.values())


def test_a_document_with_more_than_half_of_the_windows_is_thinned():
    unit = neuron(gelu)
    few = np.flatnonzero(np.isin(unit.evaluate.windows.documents, unit.evaluate.windows.documents[:5]))
    most = replace(unit.evaluate.windows.take(few), documents=np.array([7] * (len(few) - 2) + [8, 9]))
    recording = replace(unit.evaluate.take(few), windows=most)
    moved = across_documents(recording, np.random.default_rng(0))
    assert sorted(moved.windows.documents) == [7, 7, 8, 9]
    assert np.array_equal(moved.windows.ids[-2:], most.ids[-2:])


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("windows", [0, 1, 2])
def test_one_document_alone_cannot_be_permuted(name, windows):
    unit = neuron(gelu)  # whose documents have two windows each
    unit = replace(unit, evaluate=unit.evaluate.take(np.arange(windows)))
    found = Permuted(name)(unit, Said(gelu))
    assert math.isnan(found.value)
    assert reason(found.parts) == "no windows"


@pytest.mark.parametrize("documents", [4, 10])
def test_what_tells_few_documents_apart_is_as_far_below_0_as_is_said(documents):
    draws = np.random.default_rng(0)
    windows = corpus(documents=documents, each=20, tokens=8)
    recording = Recording(windows, np.repeat(draws.normal(size=documents)[windows.documents][:, None], 8, axis=1))
    moved = [across_documents(recording, draws).activations.ravel() for _ in range(50)]
    found = [100 * np.corrcoef(recording.activations.ravel(), each)[0, 1] for each in moved]
    assert np.mean(found) == pytest.approx(-100 / (documents - 1), abs=2)
