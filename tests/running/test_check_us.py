"""The examples of docs/check-us.md, which are doctests, on a tiny converted model."""

import doctest
from pathlib import Path

from builders import tiny_network, tiny_tokenizer

import faithbench

PAGE = Path(__file__).parents[2] / "docs" / "check-us.md"
TEXTS = ["a dull tale", "an old lion is not a lost boat", "toil and tears at noon"]


def test_the_examples_do_what_the_page_says():
    model = faithbench.bcos.convert(tiny_network("bert"), b=1.5)
    names = {"model": model, "tokenizer": tiny_tokenizer(), "texts": TEXTS}
    found = doctest.testfile(str(PAGE), module_relative=False, globs=names)
    assert found.attempted > 12
    assert found.failed == 0
