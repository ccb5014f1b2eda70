"""The trie of suffixes: what stays is decided exactly, what it costs is in bits, and it says what tables cannot."""

import itertools
import math
from dataclasses import replace

import neurons
import numpy as np
import pytest
from faithbench_describers.ngram import NGram, affordable, pruned
from faithbench_describers.suffixes import levels_of
from faithbench_describers.sums import FINEST
from faithbench_describers.token_table import TokenTable
from writers import recording, windows

from faithbench.activations import NONE, Recording, Windows

LETTERS = ("a", "b", "c")
PRICE = math.log2(3) + 10
FIRST, SECOND = (0, 1), (2, 3, 4)  # a bigram fires where one of these is behind one of those


def drawn(seed: int, letters: int = 3, rows: int = 60, tokens: int = 12) -> Windows:
    ids = np.random.default_rng(seed).integers(letters, size=(rows, tokens))
    return Windows(ids, np.arange(rows), np.full(rows, NONE), tuple(map(chr, range(97, 97 + letters))))


def activity(windows: Windows, noise: float, seed: int) -> Recording:
    """High on `b` behind `a`, a little on `c`, and noise."""
    before = np.concatenate([np.full((len(windows), 1), NONE), windows.ids[:, :-1]], axis=1)
    values = 3.0 * ((windows.ids == 1) & (before == 0)) + 0.8 * (windows.ids == 2)
    return Recording(windows, values + noise * np.random.default_rng(seed).normal(size=values.shape))


def closed_tries() -> list[frozenset[tuple[int, ...]]]:
    """All sets of suffixes over three letters that hold, with each, those that it ends with."""
    singles, pairs = range(3), list(itertools.product(range(3), repeat=2))
    tries = []
    for tops in itertools.chain.from_iterable(itertools.combinations(singles, k) for k in range(4)):
        below = [pair for pair in pairs if pair[1] in tops]
        for k in range(len(below) + 1):
            tries += [frozenset([*((top,) for top in tops), *some]) for some in itertools.combinations(below, k)]
    return tries


def by_context(recording: Recording) -> dict[tuple[int, ...], np.ndarray]:
    """Number, sum and sum of squares of activations after each pair of tokens, and at a window's first token."""
    found: dict[tuple[int, ...], np.ndarray] = {}
    for row, values in zip(recording.windows.ids.tolist(), recording.activations.tolist(), strict=True):
        for place, value in enumerate(values):
            context = tuple(row[max(0, place - 1) : place + 1])
            found[context] = found.get(context, np.zeros(3)) + np.array([1, value, value**2])
    return found


def covered(trie: frozenset[tuple[int, ...]], context: tuple[int, ...]) -> tuple[int, ...]:
    """The longest suffix of a trie that a context ends with."""
    return next(end for end in (context, context[1:], ()) if not end or end in trie)


def code_length(trie: frozenset[tuple[int, ...]], fit: dict, calibrate: dict, least: float) -> float:
    """Bits of errors and nodes."""
    kept = {suffix: np.zeros(3) for suffix in ((), *trie)}
    for context, sums in fit.items():
        kept[covered(trie, context)] += sums
    whole = sum(fit.values())
    numbers = {(): (kept[()][1] + whole[1] / whole[0]) / (kept[()][0] + 1)}
    for suffix in sorted(trie, key=len):
        numbers[suffix] = (kept[suffix][1] + numbers[suffix[1:]]) / (kept[suffix][0] + 1)
    squares = 0.0
    for context, (count, total, square) in calibrate.items():
        number = numbers[covered(trie, context)]
        squares += square - 2 * number * total + count * number**2
    tokens = sum(calibrate.values())[0]
    return tokens / 2 * math.log2(max(squares / tokens, least)) + PRICE * len(trie)


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0, 3.0])
def test_hardly_any_other_trie_is_shorter_to_write_down(noise):
    fit, calibrate = activity(drawn(0), noise, 2), activity(drawn(1), noise, 3)
    found = NGram(2)(fit, calibrate)
    one, other, least = by_context(fit), by_context(calibrate), FINEST * calibrate.activations.var()
    lengths = {trie: code_length(trie, one, other, least) for trie in closed_tries()}
    assert len(lengths) == (1 + 2**3) ** 3
    own = frozenset(node.suffix for node in found.nodes)
    assert lengths[own] <= min(lengths.values()) + (0 if noise else PRICE) + 1e-6
    leaves = [suffix for suffix in own if not any(other[1:] == suffix for other in own)]
    assert all(lengths[own - {leaf}] > lengths[own] for leaf in leaves)
    assert found.bits == pytest.approx(PRICE * len(own))
    assert {(0, 1), (1,)} <= own


def test_what_stays_is_the_best_of_all_subtrees():
    levels = levels_of(drawn(0), drawn(1), 2)
    draws = np.random.default_rng(4)
    for _ in range(20):
        savings = [draws.normal(0, 3, len(level.tokens)) for level in levels]
        threshold = float(draws.uniform(0, 2))
        kept = pruned(levels, savings, threshold)
        gained = sum(float((saving - threshold)[stay].sum()) for saving, stay in zip(savings, kept, strict=True))
        tops, parents = len(savings[0]), levels[1].parents
        best = sum(
            max(0.0, savings[0][top] - threshold + np.maximum(savings[1][parents == top] - threshold, 0).sum())
            for top in range(tops)
        )
        assert gained == pytest.approx(best)
        assert not (kept[1] & ~kept[0][parents]).any()


def test_no_more_nodes_than_allowed_stay_and_no_fewer_than_need_be():
    levels = levels_of(drawn(0, 5), drawn(1, 5), 1)
    savings = [np.array([5.0, 1.0, 3.0, 2.0, 4.0])]
    for most in range(6):
        threshold = affordable(levels, savings, 0.0, most)
        assert int(pruned(levels, savings, threshold)[0].sum()) == most
    fit, calibrate = activity(drawn(0), 0.1, 2), activity(drawn(1), 0.1, 3)
    assert all(len(NGram(2, most)(fit, calibrate).nodes) <= most for most in (1, 2, 3))
    assert len(NGram(2, 3)(fit, calibrate).nodes) == 3


def bigram(seed: int) -> Recording:
    """Fires on a few words behind a few others that make up a quarter of the tokens."""
    draws = np.random.default_rng(seed)
    shares = np.concatenate([[0.115] * 2, [0.08] * 3, np.full(60, 0.53 / 60)])
    ids = draws.choice(len(shares), size=(400, 32), p=shares / shares.sum())
    there = Windows(ids, np.arange(len(ids)), np.full(len(ids), NONE), tuple(f" w{word}" for word in range(65)))
    before = np.concatenate([np.full((len(ids), 1), NONE), ids[:, :-1]], axis=1)
    values = 1.0 * (np.isin(before, FIRST) & np.isin(ids, SECOND)) + 0.07 * draws.normal(size=ids.shape)
    return Recording(there, values)


def test_a_bigram_neuron_is_told_by_the_trie_and_not_by_a_table():
    fit, calibrate, unseen = bigram(0), bigram(1), bigram(2)
    scores = {}
    for describer in (TokenTable(), NGram()):
        simulated = describer(fit, calibrate).simulate(unseen.windows)
        scores[type(describer)] = float(np.corrcoef(simulated.ravel(), unseen.activations.ravel())[0, 1])
    chance = sum([0.115] * 2)  # of a first word
    power = 0.24 * chance * (1 - 0.24 * chance)  # variance of the rule
    explained = chance**2 * 0.24 * (1 - 0.24)
    assert scores[TokenTable] == pytest.approx(math.sqrt(explained / (power + 0.07**2)), abs=0.03)
    assert scores[NGram] == pytest.approx(math.sqrt(power / (power + 0.07**2)), abs=0.03)
    found = NGram()(fit, calibrate)
    pairs = {(one, other) for one in FIRST for other in SECOND}
    assert {node.suffix for node in found.nodes} == pairs | {(word,) for word in SECOND}
    assert found.text.startswith("fires on ' w")


def test_a_unigram_neuron_has_its_words_and_nothing_else():
    neuron = neurons.neuron(neurons.unigram)
    found = NGram()(neuron.fit, neuron.calibrate)
    assert sorted(node.suffix for node in found.nodes) == [(int(word),) for word in neurons.UNIGRAM]
    assert found.bits == pytest.approx(20 * (math.log2(neurons.VOCABULARY) + 10))


@pytest.mark.parametrize("rule", ["noise", "dead", "position", "next_token"])
def test_what_n_grams_cannot_tell_has_no_nodes(rule):
    neuron = neurons.neuron(neurons.RULES[rule])
    found = NGram()(neuron.fit, neuron.calibrate)
    assert (found.nodes, found.bits) == ((), 0)
    assert not np.ptp(found.simulate(neuron.evaluate.windows))


def test_the_longest_n_gram_that_begins_in_the_window_counts():
    fit, calibrate = activity(drawn(0), 0.0, 2), activity(drawn(1), 0.0, 3)
    found = NGram(2)(fit, calibrate)
    assert (0, 1) in [node.suffix for node in found.nodes]
    b, a_b, c = found.simulate(windows([[1, 0, 1, 2]], LETTERS))[0][[0, 2, 3]]
    assert (b, a_b, c) == pytest.approx((0, 3, 0.8), abs=0.1)
    assert found.simulate(windows([[1]], LETTERS)).tolist() == [[b]]


def test_words_say_where_it_does_more_and_where_less():
    ids = np.tile([0, 1, 2, 1, 1, 0], (40, 1))
    values = np.tile([5.0, 5.0, 0.0, 9.0, 5.0, 5.0], (40, 1))
    shown = recording(ids.tolist(), values.tolist(), ("x\n", " y", "z"))
    found = NGram(2)(shown, shown)
    assert found.text == r"fires on 'z' ' y' (8.9), ' y' (5); less on 'z' (0.122)"


def test_suffixes_are_looked_up_once_for_windows_in_the_same_memory():
    fit, calibrate = drawn(0), drawn(1)
    again, other = fit.between(0, len(fit)), fit.between(0, len(fit) - 1)
    assert again is not fit
    assert levels_of(again, calibrate.between(0, len(calibrate)), 2) is levels_of(fit, calibrate, 2)
    assert levels_of(other, calibrate, 2) is not levels_of(fit, calibrate, 2)
    copied = replace(fit, ids=fit.ids.copy())
    assert levels_of(copied, calibrate, 2)[0].tokens.tolist() == levels_of(fit, calibrate, 2)[0].tokens.tolist()
