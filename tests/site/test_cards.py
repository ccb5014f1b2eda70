"""Every metric and explainer that faithbench brings has a card that says what its class says."""

import re

import pytest
from places import ROOT

from faithbench.plugins.finding import find

pytest.importorskip("griffe", reason="the docs' extra is not installed")

from cards import Card, card_pages, linked, page, shown_range


@pytest.mark.parametrize("kind", ["metric", "explainer"])
def test_all_have_one(kind: str) -> None:
    names = re.findall(r"^## `(.+)`$", page(kind), re.MULTILINE)
    assert names == [name for name, plugin in find(kind).items() if plugin.origin.startswith("faithbench ")]
    assert len(names) > 15


def test_a_card_says_what_the_class_says() -> None:
    text = Card.of(find("metric")["comprehensiveness"]).markdown()
    assert "How much the target's probability falls" in text
    assert "- better: higher\n- range: -100 to 100\n" in text
    assert "[arXiv 1911.03429](https://arxiv.org/abs/1911.03429)" in text
    assert "| `protocol` | `strict` | `strict` or `paper`, see docs/protocols.md. |" in text


def test_a_component_that_needs_parameters_is_described_without_them() -> None:
    text = Card.of(find("metric")["normalised"]).markdown()
    assert "| `metric` | needed |" in text
    assert "- about: as its parameters say" in text


def test_no_card_has_an_empty_fact_or_a_parameter_that_is_not_told() -> None:
    for text in card_pages().values():
        assert not re.findall(r"^- [a-z ]+: *$", text, re.MULTILINE)
        assert not re.findall(r"^\|.*\| +\|$", text, re.MULTILINE)


def test_ranges_and_papers_in_words() -> None:
    assert shown_range((0.0, float("inf"))) == "0 to no limit"
    assert shown_range(None) == "not known"
    assert linked("(Chockler & Halpern, cs/0312038)").endswith("[cs/0312038](https://arxiv.org/abs/cs/0312038))")


@pytest.mark.parametrize("kind", ["metric", "explainer"])
def test_the_page_of_use_names_all(kind: str) -> None:
    told = set(re.findall(r"`(\w+)(?:\(.*?\))?`", (ROOT / "docs/use.md").read_text()))
    assert [
        name for name, plugin in find(kind).items() if plugin.origin.startswith("faithbench ") and name not in told
    ] == []
