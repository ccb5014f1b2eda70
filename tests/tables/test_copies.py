"""Degraded copies of explainers stand in no ranking: they are there to judge metrics by."""

import pytest
from records import column, run_of

from faithbench import comparison
from faithbench.tables.table import render, table

COPY = "degraded(explainer='occlusion', share=0.1, seed=0)"


@pytest.fixture
def run(tmp_path):
    better, worse = [40.0 + n for n in range(12)], [10.0 + n % 3 for n in range(12)]
    copied = [value + (-1) ** n for n, value in enumerate(better)]
    return run_of(
        tmp_path / "run",
        [
            *column(worse, explainer="random(seed=0)"),
            *column(better, explainer="occlusion"),
            *column(copied, explainer=COPY),
        ],
    )


def test_a_copy_has_no_rank_and_is_in_no_correction(run):
    frame = table([run]).set_index("explainer")
    assert frame["rank_group"].isna()[COPY]
    assert frame["rank_group"]["occlusion"] == 1
    assert frame["tied_with_best"].isna()[COPY] or not frame["tied_with_best"][COPY]
    assert frame["texts_needed"]["occlusion"] == 6


def test_a_copy_is_not_said_to_have_too_few_texts(run):
    assert "too few texts" not in render([run], "markdown")


def test_compare_corrects_over_as_many_pairs_as_the_table_and_still_compares_copies(run):
    assert comparison("occlusion", "random", [run]).table()["tests"].tolist() == [1]
    assert len(comparison("occlusion", "degraded(occlusion, share=0.1)", [run]).table()) == 1
