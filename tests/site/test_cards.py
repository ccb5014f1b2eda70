"""Every metric and explainer that faithbench brings has a card that says what its class says."""

import functools
import re

import pytest
from cards import card, linked, names, page
from places import ROOT

KINDS = ["metric", "explainer"]
page = functools.cache(page)


@pytest.mark.slow  # costs are counted
@pytest.mark.parametrize("kind", KINDS)
def test_all_have_one(kind: str) -> None:
    assert re.findall(r"^## `(.+)`$", page(kind), re.MULTILINE) == names(kind)
    assert len(names(kind)) > 15


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_fact_is_empty_and_every_parameter_is_told(kind: str) -> None:
    assert re.findall(r"^- [a-z ]+: *$", page(kind), re.MULTILINE) == []
    assert re.findall(r"^\|.*\| +\|$", page(kind), re.MULTILINE) == []


def test_a_card_says_what_the_class_says() -> None:
    text = card("metric", "comprehensiveness")
    assert "\n\nHow much the target's probability falls" in text
    assert "(`strict`)" in text  # code in docstrings is code
    assert "\n- reads as: higher is better; from -100 to 100" in text
    assert "[arXiv 1911.03429](https://arxiv.org/abs/1911.03429)" in text
    assert "\n- cost: 10 rows of the model for a text of 20 tokens" in text
    assert "| protocol | str | strict | `strict` or `paper`, see docs/protocols.md. |" in text


def test_a_component_that_needs_parameters_is_described_without_them() -> None:
    text = card("metric", "normalised")
    assert "| metric | str | needed |" in text
    assert "- cost: depends on its parameters" in text


def test_a_name_of_two_kinds_has_a_card_for_each() -> None:
    assert "Metric of " in card("metric", "seqpg")
    assert "Dataset" in card("dataset", "seqpg")


def test_papers_are_links() -> None:
    assert linked("(Chockler & Halpern, cs/0312038)").endswith("[cs/0312038](https://arxiv.org/abs/cs/0312038))")


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_use_names_all(kind: str) -> None:
    told = set(re.findall(r"`(\w+)(?:\(.*?\))?`", (ROOT / "docs/use.md").read_text()))
    assert [name for name in names(kind) if name not in told] == []
