"""`faithbench check`: sound components pass, broken ones fail by name with the clause they break and what to do."""

import sys
from pathlib import Path

import pytest
from fixtures_run import add_distribution, call

import faithbench
from faithbench.conformance.checking import CURES
from faithbench.conformance.describers import DESCRIBER_CLAUSES
from faithbench.conformance.explainers import EXPLAINER_CLAUSES
from faithbench.conformance.metrics import METRIC_CLAUSES
from faithbench.conformance.scores import SCORE_CLAUSES
from faithbench.errors import UserError

COMPONENTS = '''
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.questions import Logits
from faithbench.types import Attribution, Measurement


@dataclass(frozen=True)
class Sound:
    """What each token says alone."""

    def __call__(self, text, target):
        logits = yield Logits(text, np.eye(len(text), dtype=bool))
        return Attribution(text.id, target, logits[:, target.output])


@dataclass(frozen=True)
class Short:
    """A score too few."""

    def __call__(self, text, target):
        return Attribution(text.id, target, np.ones(len(text) - 1))


@dataclass(frozen=True)
class Forgetful:
    """Other scores each time."""

    def __call__(self, text, target):
        return Attribution(text.id, target, np.random.default_rng().normal(size=len(text)))


@dataclass(frozen=True)
class Blind:
    """The same for every class, and does not say so."""

    def __call__(self, text, target):
        return Attribution(text.id, target, np.arange(len(text), dtype=float))


@dataclass(frozen=True)
class Quitting:
    """Ends the program."""

    def __call__(self, text, target):
        raise SystemExit(3)


@dataclass(frozen=True)
class Sized:
    """Cannot be made without a size."""

    size: int

    def __call__(self, text, target):
        return Attribution(text.id, target, self.size + np.arange(len(text)) * (1.0 + target.output))


@dataclass(frozen=True)
class Boundless:
    """Says that it lies between 0 and 1, and does not."""

    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __call__(self, text, attribution):
        return Measurement(5.0)
'''
EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin" / "src"
NAMES = {"sound": "Sound", "short": "Short", "forgetful": "Forgetful", "blind": "Blind", "quitting": "Quitting"}


@pytest.fixture(autouse=True)
def _acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution of explainers and a metric, most of them broken."""
    entries = {
        "explainers": {name: f"acme_explainers:{kind}" for name, kind in NAMES.items()}
        | {"sized": "acme_explainers:Sized", "absent": "acme_explainers:Nothing"},
        "metrics": {"boundless": "acme_explainers:Boundless"},
    }
    monkeypatch.syspath_prepend(add_distribution(tmp_path, "acme-lab", entries, {"acme_explainers": COMPONENTS}))
    monkeypatch.delitem(sys.modules, "acme_explainers", raising=False)


def test_a_sound_explainer_passes_every_clause(capsys):
    ended = call(capsys, "check", "sound")
    assert ended.status == 0
    assert ended.out.startswith("explainer sound, of acme-lab 1.0: passed\n")
    assert ended.out.count("  passed  ") == len(EXPLAINER_CLAUSES)
    assert "FAILED" not in ended.out


@pytest.mark.parametrize(
    ("name", "problem", "cure"),
    [
        ("short", "explainer short gives 9 tokens scores of shape (8,).", "a score a token"),
        (
            "forgetful",
            "explainer forgetful gives text 'text 1' other scores when it is asked again.",
            "draws.generator",
        ),
        ("blind", "explainer blind gives classes 0 and 1 the same scores", "class_sensitive"),
        ("quitting", "SystemExit: 3", "a score a token"),
        ("boundless", "metric boundless says range", "class attribute"),
    ],
)
def test_a_broken_component_is_named_with_its_clause_and_what_to_do(name, problem, cure, capsys):
    ended = call(capsys, "check", name)
    assert ended.status == 1
    assert "Traceback" not in ended.out + ended.err
    lines = ended.out.splitlines()
    (place,) = [i for i, line in enumerate(lines) if problem in line]
    assert lines[place - 1].startswith("  FAILED  ")
    assert lines[place + 1].strip().startswith("To do: ")
    assert cure in lines[place + 1]
    assert lines[-1].endswith(f"failed: {'metric' if name == 'boundless' else 'explainer'} {name}.")


SLEEPY = """
import time

class Sleepy:
    def __call__(self, text, target):
        time.sleep(600)
"""


def test_one_that_does_not_answer_is_left_after_a_while(tmp_path: Path, monkeypatch, capsys):
    entries = {"explainers": {"sleepy": "sleepy_explainers:Sleepy"}}
    folder = add_distribution(tmp_path / "sleepy", "sleepy-lab", entries, {"sleepy_explainers": SLEEPY})
    monkeypatch.syspath_prepend(folder)
    ended = call(capsys, "check", "sleepy", "--timeout", "0.5")
    assert ended.status == 1
    lines = [line.strip() for line in ended.out.splitlines()]
    place = lines.index("explainer sleepy took longer than 0.5 seconds.")
    assert lines[place + 1].startswith("To do: answer faster")
    assert "passed  " not in ended.out
    assert ended.out.count("FAILED  ") == 1  # nothing else is tried


def test_it_may_take_any_time():
    assert faithbench.check("sound", timeout=None).passed


def test_a_time_that_is_none_is_refused(capsys):
    ended = call(capsys, "check", "sound", "--timeout", "0")
    assert (ended.status, ended.complaints) == (
        2,
        ["faithbench: timeout=0.0 is not allowed; it must be a number of seconds above 0."],
    )


@pytest.mark.parametrize("name", ["acme-lab", "acme_lab", "acme_explainers"])
def test_all_that_a_package_brings_is_checked(name):
    checked = faithbench.check(name)
    passed = {each.name: each.passed for each in checked.components}
    broken = ("short", "forgetful", "blind", "quitting", "boundless", "absent")
    assert passed == {"sound": True, "sized": True, **dict.fromkeys(broken, False)}
    said = {each.name: each for each in checked.components}
    assert "cannot be loaded" in said["absent"].problem
    assert "check sized(size=…)" in said["sized"].note


def test_a_component_with_parameters_is_checked_by_its_spec(capsys):
    assert call(capsys, "check", "sized(size=2)").status == 0


def test_what_is_unknown_is_answered_with_near_misses(capsys):
    ended = call(capsys, "check", "acme-leb")
    assert ended.status == 2
    assert "did you mean acme-lab?" in ended.complaints[0]
    with pytest.raises(UserError, match="not a known explainer"):
        faithbench.check("no such thing/at all")


def test_the_example_of_a_package_passes(tmp_path, monkeypatch, capsys):
    entries = {
        "explainers": {"kept_alone": "faithbench_example.kept_alone:KeptAlone"},
        "metrics": {"sign_agreement": "faithbench_example.sign_agreement:SignAgreement"},
    }
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.syspath_prepend(add_distribution(tmp_path / "example", "faithbench-example", entries, {}))
    ended = call(capsys, "check", "faithbench-example")
    assert ended.status == 0
    assert ended.out.splitlines()[-1] == "All 2 that were tried keep it."


def test_every_clause_has_a_cure():
    assert set(CURES) == {*EXPLAINER_CLAUSES, *METRIC_CLAUSES, *DESCRIBER_CLAUSES, *SCORE_CLAUSES}
    assert all(clause.__doc__ for clause in CURES)
