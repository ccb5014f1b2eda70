"""Krippendorff's α beside the published example and the library."""

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faithbench.studies.reliability import alpha, alpha_interval

X = np.nan
PUBLISHED = np.array(  # Krippendorff 2011, section C: four observers, twelve units
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, X, X, X],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, X, 3],
        [X, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, X],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, X],
    ]
)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_published_example(level, published):
    assert alpha(PUBLISHED, level) == pytest.approx(published, abs=5e-4)


@given(
    st.integers(2, 5).flatmap(
        lambda raters: st.lists(
            st.lists(st.sampled_from([1, 2, 3, 4, 5, None]), min_size=raters, max_size=raters), min_size=2, max_size=12
        )
    ),
    st.sampled_from(["ordinal", "interval", "nominal"]),
)
def test_as_the_library(units, level):
    ratings = np.array(units, dtype=float).T
    several = (np.isfinite(ratings).sum(axis=0) > 1)[None] & np.isfinite(ratings)
    if len(set(ratings[several])) < 2:
        assert np.isnan(alpha(ratings, level))
        return
    theirs = krippendorff.alpha(ratings, level_of_measurement=level)
    assert alpha(ratings, level) == pytest.approx(theirs, abs=1e-9)


def test_an_interval_holds_the_estimate_and_shrinks_with_texts():
    generator = np.random.default_rng(0)
    truth = generator.integers(1, 6, (40, 3))
    ratings = np.clip(truth + generator.integers(-1, 2, (4, 40, 3)), 1, 5).astype(float)
    low, high = alpha_interval(ratings)
    assert low < alpha(ratings.reshape(4, -1)) < high
    few = alpha_interval(ratings[:, :8])
    assert high - low < few[1] - few[0]
    assert all(np.isnan(alpha_interval(ratings[:, :1])))
