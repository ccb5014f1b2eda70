"""Tables of tokens: the numbers are those of a loop, and the words are good to read."""

import math
from collections import defaultdict

import neurons
import numpy as np
import pytest
from faithbench_describers.constant import Constant
from faithbench_describers.next_token_table import NextTokenTable
from faithbench_describers.tables import TokenValues
from faithbench_describers.token_table import TokenTable
from faithbench_describers.token_topk import TokenTopK
from writers import recording, windows

from faithbench.activations import NONE, Recording
from faithbench.errors import UserError
from faithbench.plugins import spec

RULES = ("unigram", "next_token", "noise", "gelu", "dense", "dead")
PIECES = (" the", " cat", "\n", "'", "\x1b[0m", "x" * 99)


def looped(recording: Recording, ahead: bool) -> dict[int, tuple[float, int]]:
    """The sum and number of activations at each token, or before it."""
    found: dict[int, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
    for row, values, last in zip(
        recording.windows.ids.tolist(),
        recording.activations.tolist(),
        recording.windows.following.tolist(),
        strict=True,
    ):
        for place, activation in enumerate(values):
            token = row[place] if not ahead else [*row, last][place + 1]
            if token != NONE:
                found[token] = (found[token][0] + activation, found[token][1] + 1)
    return dict(found)


def correlation(neuron, description) -> float:
    """In percent, over all tokens to evaluate."""
    simulated = description.simulate(neuron.evaluate.windows)
    return 100 * float(np.corrcoef(neuron.evaluate.activations.ravel(), simulated.ravel())[0, 1])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("describer", "ahead"), [(TokenTable(), False), (NextTokenTable(), True)])
def test_a_table_is_that_of_a_loop(rule, describer, ahead):
    neuron = neurons.neuron(neurons.RULES[rule])
    table, mean = looped(neuron.fit, ahead), float(neuron.fit.activations.mean())
    description = describer(neuron.fit, neuron.calibrate)
    assert description.bits == neurons.VOCABULARY * 8
    shown = neuron.evaluate.take(np.arange(20))
    simulated = description.simulate(shown.windows)
    for row, ids, last in zip(simulated, shown.windows.ids.tolist(), shown.windows.following.tolist(), strict=True):
        for value, token in zip(row, [*ids[1:], last] if ahead else ids, strict=True):
            total, count = table.get(token, (0.0, 0))
            assert value == pytest.approx((total + mean) / (count + 1), abs=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_the_strongest_tokens_are_those_of_a_loop(rule):
    neuron = neurons.neuron(neurons.RULES[rule])
    means = {t: total / count for t, (total, count) in looped(neuron.fit, False).items() if count >= 5}
    best = sorted((t for t in means if means[t] > 0), key=lambda t: (-means[t], t))[:7]
    description = TokenTopK(7)(neuron.fit, neuron.calibrate)
    assert len(description.tokens) == len(best)
    assert description.values == pytest.approx([means[t] for t in best])
    assert [means[t] for t in description.tokens] == pytest.approx([means[t] for t in best])
    assert description.bits == pytest.approx(len(best) * (math.log2(neurons.VOCABULARY) + 8))
    others = ~np.isin(neuron.evaluate.windows.ids, description.tokens)
    assert not description.simulate(neuron.evaluate.windows)[others].any()


def test_each_table_is_perfect_where_its_kind_of_rule_holds():
    unigram, before = neurons.neuron(neurons.unigram), neurons.neuron(neurons.next_token)
    assert correlation(unigram, TokenTopK()(unigram.fit, unigram.calibrate)) == pytest.approx(100)
    assert correlation(unigram, TokenTable()(unigram.fit, unigram.calibrate)) > 99.5
    assert correlation(before, NextTokenTable()(before.fit, before.calibrate)) > 99.5
    assert abs(correlation(before, TokenTable()(before.fit, before.calibrate))) < 5
    assert abs(correlation(unigram, NextTokenTable()(unigram.fit, unigram.calibrate))) < 5


def test_what_is_before_the_end_is_left_out():
    shown = recording([[0, 1]], [[2.0, 100.0]], PIECES)
    description = NextTokenTable()(shown, shown)
    assert description.simulate(windows([[0, 1]], PIECES)).tolist() == [[(2 + 51) / 2, 51.0]]


def test_a_constant_is_the_mean_and_has_no_length():
    shown = recording([[0, 1]], [[1.0, -4.0]], PIECES)
    described = Constant()(shown, shown)
    assert (described.text, described.bits) == ("the same at every token (-1.5)", 0)
    assert described.simulate(windows([[2, 1, 0]], PIECES)).tolist() == [[-1.5] * 3]


def test_words_are_in_order_in_quotes_and_counted():
    counts = [5, 6, 5, 5, 5, 5]
    ids = [[token for token, count in enumerate(counts) for _ in range(count)]]
    strengths = [2.0, 3.0, 1.0, 4.0, 0.5, 0.25]
    shown = recording(ids, [[strengths[token] for token in ids[0]]], PIECES)
    assert TokenTopK()(shown, shown).text == (
        r"""fires on "'", ' cat', ' the', '\n', '\x1b[0m', '""" + "x" * 26 + "…" + "x" * 12 + "'"
    )
    assert TokenTopK(2)(shown, shown).text == "fires on \"'\", ' cat'"
    many = recording([list(range(20)) * 5], [[1.0 + token for token in range(20)] * 5], tuple(map(chr, range(65, 85))))
    assert TokenTopK(14)(many, many).text.endswith("'J', 'I' and 2 others")
    assert TokenTable()(many, many).text.startswith("mean activation at each token: 'T' (18.4), 'S' (17.6), ")


def test_tokens_that_are_rare_or_not_above_zero_are_not_what_a_neuron_fires_on():
    shown = recording([[0] * 4 + [1] * 5 + [2] * 5], [[9.0] * 4 + [-1.0] * 5 + [0.0] * 5], PIECES)
    assert TokenTopK()(shown, shown) == TokenValues("fires on no token that occurs five times", 0.0)


@pytest.mark.parametrize("text", ["token_topk(0)", "ngram(n=0)", "ngram(nodes=0)", "llm(model=a/b, windows=0)"])
def test_parameters_are_checked(text):
    with pytest.raises(UserError, match="must be a whole number from 1"):
        spec.build("describer", text)
