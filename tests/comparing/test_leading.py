"""The leading differences of runs: who is compared, on which texts, and of what nothing can be said."""

import math
from pathlib import Path

import numpy as np
import pytest
from records import COMP, ENTROPY, SUFF, column, run_of

from faithbench.comparing.leading import Leading, leading
from faithbench.records.results import panels, read
from faithbench.statistics.sequential import Watch

ONCE = Watch((60,), 60, (), 0.1)  # one look, that has all of 5 %
NOISE = np.random.default_rng(0).normal(0, 5, (60, 4))


def found(folder: Path, *columns_) -> list[Leading]:
    run_of(folder, [record for each in columns_ for record in each])
    (panel,) = panels(read([folder]))
    return list(leading(panel, ONCE))


def test_the_best_is_set_against_each_other_one_by_each_metric(tmp_path):
    means = {"occlusion": 50, "random": 10, "saliency": 48}
    high = [column(m + NOISE[:, i], explainer=name) for i, (name, m) in enumerate(means.items())]
    low = [column(m + NOISE[:, i], explainer=name, metric=SUFF) for i, (name, m) in enumerate(means.items())]
    comp, suff = found(tmp_path, *high, *low)[:2], found(tmp_path / "2", *high, *low)[2:]
    assert [(each.metric, each.leader, each.other, each.is_near) for each in comp] == [
        (COMP, "occlusion", "saliency", True),
        (COMP, "occlusion", "random", False),
    ]
    assert [(each.leader, each.other) for each in suff] == [("random", "saliency"), ("random", "occlusion")]
    assert comp[0].mean == pytest.approx(2 + (NOISE[:, 0] - NOISE[:, 2]).mean(), abs=1e-4)
    assert comp[0].low < comp[0].mean < comp[0].high
    assert comp[0].width == comp[0].high - comp[0].low


def test_equal_explainers_count_once(tmp_path):
    values = [column(50 + NOISE[:, i], explainer=name) for i, name in ((0, "bcos"), (0, "decompx"), (1, "random"))]
    assert [(each.leader, each.other) for each in found(tmp_path, *values)] in (
        [("bcos", "random")],
        [("random", "bcos")],
    )


def test_degraded_copies_are_not_compared(tmp_path):
    copy = column(90 + NOISE[:, 1], explainer="degraded(explainer=occlusion, share=0.5)")
    (only,) = found(tmp_path, column(50 + NOISE[:, 0]), copy)
    assert (only.leader, only.other) == ("occlusion", None)


def test_of_one_explainer_it_is_the_mean(tmp_path):
    (only,) = found(tmp_path, column(50 + NOISE[:, 0]))
    assert (only.leader, only.other, only.is_near) == ("occlusion", None, True)
    assert only.mean == pytest.approx(50 + NOISE[:, 0].mean(), abs=1e-4)
    assert only.width == pytest.approx(2 * 2.0 * NOISE[:, 0].std(ddof=1) / math.sqrt(60), rel=0.02)


def test_a_metric_without_better_or_worse_leads_nowhere(tmp_path):
    several = [column(NOISE[:, i], explainer=name, metric=ENTROPY) for i, name in enumerate(("occlusion", "random"))]
    assert found(tmp_path, *several) == []


def test_a_metric_without_any_value_is_passed_over(tmp_path):
    nothing = [column([math.nan] * 60, explainer=name, metric=SUFF) for name in ("occlusion", "random")]
    values = [column(NOISE[:, i], explainer=name) for i, name in enumerate(("occlusion", "random"))]
    assert {each.metric for each in found(tmp_path, *nothing, *values)} == {COMP}


def test_of_a_metric_with_too_few_values_nothing_is_known_yet(tmp_path):
    few = [
        column(np.where(np.arange(60) < 3, NOISE[:, i], np.nan), explainer=name, metric=SUFF)
        for i, name in enumerate(("occlusion", "random"))
    ]
    (only,) = found(tmp_path, *few)
    assert only.is_near
    assert only.width == math.inf


def test_columns_that_are_level_everywhere_by_this_metric_alone_are_not_known_to_be_equal(tmp_path):
    names = ("occlusion", "random")
    level = [column(np.full(60, 100.0), explainer=name) for name in names]
    apart = [column(NOISE[:, i], explainer=name, metric=SUFF) for i, name in enumerate(names)]
    comp = next(each for each in found(tmp_path, *level, *apart) if each.metric == COMP)
    assert comp.mean == 0
    assert comp.width > 5  # of 60 texts none differs, of others some may
