"""The describer that docs/neurons.md writes keeps the contract, and says what it says there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from faithbench.conformance import check_describer
from faithbench.conformance.recordings import recordings

PAGE = Path(__file__).parents[2] / "docs" / "neurons.md"
EXAMPLE = re.compile(r"<!-- tested: tests/describers/test_documented.py -->\n```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (code,) = EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))
    assert len(code.splitlines()) <= 25
    module = ModuleType("documented")
    monkeypatch.setitem(sys.modules, "documented", module)
    exec(code, vars(module))
    return module


def test_the_example_keeps_the_contract(example):
    check_describer(example.ByPlace())


def test_the_example_says_where_a_neuron_is_strongest(example):
    shown = recordings()["a neuron that fires once"]
    found = example.ByPlace()(shown.fit, shown.calibrate)
    assert found.text == "most at place 0"
    assert np.allclose(found.simulate(shown.unseen)[:, 0], 7 / len(shown.fit.windows))
