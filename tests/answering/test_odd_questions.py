"""Questions that make no sense, models and components that do not keep to themselves: each fails alone."""

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import time
import numpy as np
from builders import LinearModel, text
from faithbench.answering.engine import Engine
from faithbench.conversations import attempt, together
from faithbench.questions import *
from faithbench.types import Target

ONE = text([1, 5, 6, 7, 1], name="one")
KEEP = np.ones((1, 5), dtype=bool)

def sound(t=ONE):
    return (yield Logits(t, KEEP))

def odd(make):
    yield make()

def run(model, **askings):
    ((outcomes,),) = [list(Engine(model).run([together(askings)]))]
    return outcomes
"""


def run(body: str) -> str:
    """Runs a program without the type checks of tests, as users do."""
    source = PROGRAM + textwrap.dedent(body)
    ended = subprocess.run([sys.executable, "-c", source], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.fixture(autouse=True)
def support(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))


def test_questions_that_make_no_sense_are_refused_and_others_answered():
    assert (
        run("""
        ODD = [
            lambda: OnVariant(Variant("m:C", (("a", [1]),)), Logits(ONE, KEEP)),
            lambda: Gradients(ONE, 0, rules=["a"]),
            lambda: Logits(ONE, KEEP, fill="a"),
            lambda: Logits(ONE, KEEP, fill=float("nan")),
            lambda: Attentions(None),
            lambda: Inside(ONE, "os:getcwd", None),
            lambda: Inside(ONE, "os:getcwd", {1: 2, "a": 3}),
            lambda: Gradients(ONE, Target("a")),
            lambda: Logits(ONE, np.array([[0, 1, 1, 1, 0.5]]), fill=GONE),
            lambda: Embeddings(ONE, np.array([[True] * 5, [True] * 4 + [False]]), fill=GONE),
            lambda: Inside(ONE, 5),
            lambda: Logits(ONE, [[True] * 5]),
        ]
        for make in ODD:
            found = run(LinearModel.random(), odd=odd(make), sound=sound())
            assert found["odd"].error is not None, make
            assert found["sound"].error is None, found["sound"].error
            assert found["sound"].value.shape == (1, 3)
        print("fine")
    """)
        == "fine"
    )


def test_errors_that_cannot_be_stored_or_said_are_told_all_the_same():
    assert (
        run(r"""
        class Leaving(Exception):
            def __str__(self):
                raise SystemExit(0)

        def fails(error):
            raise error
            yield

        found = run(LinearModel.random(), a=fails(ValueError("\udcff")), b=fails(Leaving()), c=sound())
        found["a"].error.encode()
        print(found["a"].error, found["b"].error, found["c"].error, sep="|")
    """)
        == r"ValueError: \udcff|Leaving|None"
    )


def test_a_model_that_gives_the_same_array_again_changes_nothing_that_was_answered():
    assert (
        run("""
        class Reusing:
            def __init__(self):
                self.inner, self.buffer = LinearModel.random(), np.zeros((1, 3))
            def __getattr__(self, name):
                return getattr(self.inner, name)
            batch_tokens = 5
            def logits(self, rows):
                self.buffer[:] = self.inner.logits(rows)
                return self.buffer

        def twice():
            keep = KEEP.copy()
            keep[0, 1] = False
            first = yield Logits(ONE, KEEP)
            before = first.copy()
            yield Logits(ONE, keep)
            again = yield Logits(ONE, KEEP)
            return np.array_equal(before, again)

        print(run(Reusing(), it=twice())["it"].value)
    """)
        == "True"
    )


def test_a_model_that_leaves_the_process_changed_is_put_right():
    assert (
        run("""
        import torch

        class Messy:
            def __init__(self):
                self.inner = LinearModel.random()
            def __getattr__(self, name):
                return getattr(self.inner, name)
            def logits(self, rows):
                found = self.inner.logits(rows)
                torch.set_grad_enabled(False)
                np.seterr(all="raise")
                return found

        run(Messy(), it=sound())
        print(torch.is_grad_enabled(), np.geterr()["over"])
    """)
        == "True warn"
    )


def test_the_cost_of_rows_that_are_tried_again_is_charged_and_a_generator_over_time_is_closed():
    assert (
        run("""
        class Failing:
            def __init__(self):
                self.inner = LinearModel.random()
            def __getattr__(self, name):
                return getattr(self.inner, name)
            def logits(self, rows):
                time.sleep(0.02)
                if any(6 in row.ids for row in rows):
                    raise RuntimeError("not this one")
                return self.inner.logits(rows)

        other = text([1, 3, 8, 4, 1], name="other")
        found = dict(Engine(Failing()).run([attempt("bad", sound()), attempt("good", sound(other))]))
        assert found["good"].error is None and found["good"].seconds >= 0.02
        assert "not this one" in found["bad"].error

        closed = []

        def slow():
            try:
                while True:
                    time.sleep(0.05)
                    yield Logits(ONE, KEEP)
            finally:
                closed.append(1)

        asking = slow()
        (found,) = Engine(LinearModel.random()).run([together({"slow": asking}, 0.1)])
        print(found["slow"].error, closed)
    """)
        == "OverTimeError: it took longer than 0.1 seconds [1]"
    )
