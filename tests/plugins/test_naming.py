"""What a model's name that is none is answered with."""

import pytest

from faithbench.errors import UserError
from faithbench.plugins.naming import refer

HUB = r"a model of the hub is named lm\({}\), if it is a language model, or owner/name"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("gpt2", "did you mean conv-gpt2 or bcos-gpt2"),
        ("gpt2-medium", "did you mean gpt-relu-"),
        ("bert-base-uncased", "known: bcos-bert, "),
        ("x" * 40, "known: bcos-bert, "),
    ],
)
def test_a_bare_name_of_the_hub_is_told_how_it_is_written(name, near):
    with pytest.raises(UserError, match=rf"^'{name}' is not a known model \({HUB.format(name)}\); ") as caught:
        refer(name)
    assert len(str(caught.value)) < 400
    assert f"; {near}" in str(caught.value)


@pytest.mark.parametrize("name", ["conv-minlm", "bcos-gtp2", "gpt2(b=2)", "x" * 41, "two words"])
def test_what_the_hub_could_not_mean_is_not(name):
    with pytest.raises(UserError) as caught:
        refer(name)
    assert "hub" not in str(caught.value)


@pytest.mark.parametrize("name", ["conv-gpt2", "lm(gpt2)", "owner/name", "conv-gpt2-tiny(seed=3)"])
def test_names_that_are_known_are_let_through(name):
    assert refer(name).text == name
