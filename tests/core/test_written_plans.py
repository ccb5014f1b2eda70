"""A plan that is written is read as what it was, whatever stands in it."""

import math
import tempfile
from pathlib import Path

import pytest
from hostile_words import TEXTS, WORDS
from hypothesis import given
from hypothesis import strategies as st

from faithbench.errors import UserError
from faithbench.plan import DTYPES, OPEN, TABLES_OF_PAPER, Plan, Training, read_plan, write_plan
from faithbench.shown import is_unicode
from faithbench.types import SPLITS

NAMES = st.one_of(TEXTS, st.just(OPEN)).filter(lambda text: text.strip() and is_unicode(text))
LISTS, COUNTS = st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.none() | st.integers(1, 2**63 - 1)
RATES = st.floats(0, exclude_min=True, allow_infinity=False) | st.integers(1, 10**30)
PLANS = st.builds(
    Plan,
    datasets=LISTS,
    models=LISTS,
    explainers=LISTS,
    metrics=LISTS,
    protocol=st.sampled_from([None, "strict", "paper"]),
    split=st.sampled_from(SPLITS),
    limit=COUNTS,
    dtype=st.sampled_from(DTYPES),
    training=st.builds(Training, COUNTS, COUNTS, st.none() | RATES, COUNTS.filter(bool), COUNTS.filter(bool), COUNTS),
    like=st.lists(st.sampled_from(TABLES_OF_PAPER), max_size=2).map(tuple),
)


def reread(plan: Plan) -> Plan:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.toml"
        path.write_text(write_plan(plan), encoding="utf-8")
        return read_plan(path)


@given(PLANS)
def test_a_plan_is_read_as_what_was_written(plan: Plan):
    assert reread(plan) == plan


@pytest.mark.parametrize("lr", [1e-05, 5e-324, 1.7e308, 1, 0.1 + 0.2, math.nextafter(0, 1)])
def test_rates_keep_every_digit(lr: float):
    assert reread(Plan(("a",), ("b",), training=Training(lr=lr))).training.lr == lr


def test_usual_plans_are_written_as_people_write_them():
    plan = Plan(("planted",), ("bcos-tiny(seed=1)",), limit=5, training=Training(epochs=2, lr=2e-5))
    assert write_plan(plan) == (
        'datasets = [\n    "planted",\n]\nmodels = [\n    "bcos-tiny(seed=1)",\n]\nlimit = 5\n\n'
        "[training]\nepochs = 2\nlr = 2e-05\n"
    )


def test_what_no_file_can_hold_is_refused_in_a_sentence():
    with pytest.raises(UserError, match=r"'a\\udc9b31mb\\ud800' is not allowed in a plan: it is not in UTF-8"):
        Plan((WORDS["half"],), ("b",))
    for limit in (2**63, 10**5000):
        with pytest.raises(UserError, match="limit is not allowed to be larger than 9,223,372,036,854,775,807"):
            Plan(("a",), ("b",), limit=limit)
