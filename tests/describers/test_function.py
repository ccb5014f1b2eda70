"""A function in the place of a language model: what it is asked, and how its replies are read."""

import numpy as np
import pytest
from completing import asked
from faithbench_describers.function import Function, Reply, parsed
from writers import recording, windows

from faithbench.conformance import check_describer
from faithbench.plugins import spec

PIECES = (" the", " cat", "\n", "5")
SHOWN = recording([[0, 1], [2, 3]], [[0.0, 1.0], [4.5, 0.0]], PIECES)
HERE = "completing"


def test_what_a_function_says_is_a_description():
    described = spec.build("describer", f"function({HERE}:animals)").object(SHOWN, SHOWN)
    assert described == Reply("names of animals", 128.0, f"{HERE}:animals")
    assert described.simulate(windows([[0, 1, 2], [1, 1, 3]], PIECES)).tolist() == [[0, 9, 0], [9, 9, 0]]


def test_the_prompt_that_asks_for_a_list_is_this_one():
    asked.clear()
    Reply("cats", 32.0, f"{HERE}:animals").simulate(windows([[0, 2]], PIECES))
    assert asked == [
        "A neuron of a language model reads a text token by token. Behind each token stands how strongly the neuron is "
        "active at it, from 0 (not at all) to 9 (most strongly). Write the activations of neuron 2: a line for each "
        "token, in order, with the token as it stands, a tab and a number from 0 to 9, and nothing else.\n\n"
        "Neuron 1 is active at: words for animals\n"
        "Tokens:\nthe\n cat\n saw\n a\n big\n dog\n run\n"
        "Activations:\nthe\t0\n cat\t9\n saw\t0\n a\t0\n big\t1\n dog\t8\n run\t0\n\n"
        "Neuron 2 is active at: cats\nTokens:\n the\n\\n\nActivations:\n"
    ]


def test_a_function_keeps_the_contract():
    check_describer(Function(f"{HERE}:fenced"))


@pytest.mark.parametrize(
    ("reply", "numbers"),
    [
        (" the\t3\n cat\t9", [3, 9]),
        ("the\t3\ncat\t8.5\n\n", [3, 8.5]),
        ("```text\n the\t3\r\n cat\t 9 \n```", [3, 9]),
    ],
)
def test_replies_are_read(reply, numbers):
    assert parsed(reply, [" the", " cat"]).tolist() == numbers


def test_tokens_that_look_like_fences_or_like_nothing_are_read():
    assert parsed("```\t1\n\t2\n \t3", ["```", "", " "]).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("", "0 lines for 2 tokens"),
        (" the\t3", "1 lines for 2 tokens"),
        ("Sure!\n the\t3\n cat\t9", "3 lines for 2 tokens"),
        (" the\t3\n dog\t9", "a line of the reply is"),
        (" the 3\n cat 9", "a line of the reply is"),
        (" the\t3\n cat\tten", "a line of the reply is"),
        (" the\t3\n cat\t10", "a line of the reply is"),
        (" the\t3\n cat\t-1", "a line of the reply is"),
        (" the\t3\n cat\tnan", "a line of the reply is"),
        (f" the\t3\n {'cat' * 9999}\t9", "a line of the reply is"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(reply, said):
    with pytest.raises(ValueError, match=said) as caught:
        parsed(reply, [" the", " cat"])
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("no_such_module_at_all:f", "cannot be imported"),
        (f"{HERE}:no_function", "is not a function"),
    ],
)
def test_a_function_that_is_not_there_is_a_sentence(reference, said):
    with pytest.raises(ValueError, match=said):
        Function(reference).resolve()


def test_a_reference_is_checked_and_not_imported_when_it_is_named():
    with pytest.raises(ValueError, match=r"must be package\.module:function"):
        Function("os.system")
    Function("no_such_module_at_all:f")


@pytest.mark.parametrize(("name", "said"), [("silent", "says nothing"), ("number", "gave a int, not a text")])
def test_functions_that_say_nothing_are_a_sentence(name, said):
    with pytest.raises(ValueError, match=said):
        Function(f"{HERE}:{name}")(SHOWN, SHOWN)


def test_simulated_numbers_are_floats():
    assert parsed(" the\t3", [" the"]).dtype == np.float64
