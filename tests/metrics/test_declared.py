"""What metrics say of themselves and which parameters they take: faults here survived the tests of their values."""

import math
from dataclasses import replace

import numpy as np
import pytest
from builders import LinearModel, answers, text
from faithbench_metrics.perturbation.operators import Operator, unit
from faithbench_metrics.perturbation.ratios import Protocol
from faithbench_metrics.ranking import spearman

from faithbench.errors import UserError
from faithbench.plugins import finding, spec
from faithbench.types import LINKS

RANGES = {
    "comprehensiveness": (-100, 100),
    "comprehensiveness(protocol=paper)": (-80, 80),
    "sufficiency": (-100, 100),
    "sufficiency(protocol=paper)": (-80, 80),
    "infidelity": (0, 100),
    "infidelity(scaled=False)": (0, math.inf),
    "entropy": (0, math.inf),
    "entropy(normalised=True)": (0, 1),
}


@pytest.mark.parametrize("metric", RANGES)
def test_a_metric_says_the_range_that_its_definition_has(metric):
    assert spec.build("metric", metric).traits.range == RANGES[metric]


@pytest.mark.parametrize("metric", ["comprehensiveness", "sufficiency", "log_odds", "deletion", "insertion"])
def test_metrics_of_the_order_alone_can_be_normalised(metric):
    assert spec.build("metric", metric).traits.by_order
    assert spec.build("metric", f"normalised(metric={metric})").label == f"normalised({metric})"


@pytest.mark.parametrize("metric", ["comprehensiveness", "sufficiency", "deletion", "insertion", "log_odds"])
def test_an_operator_that_there_is_not_is_refused(metric):
    with pytest.raises(UserError, match="operator='burn' is not allowed"):
        spec.build("metric", f"{metric}(operator=burn)")
    with pytest.raises(ValueError, match="operator='burn' is not allowed"):  # when it is made, not when it is asked
        finding.get("metric", metric).load()(operator="burn")


def test_a_summary_is_in_percent_unless_another_unit_is_given():
    drops = np.full(9, 0.5)
    assert Protocol("strict").summary(drops) == pytest.approx(50)
    assert Protocol("paper").summary(drops) == pytest.approx(40)
    assert Protocol("strict").summary(drops, 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize("operator", ["mask", "sample"])
def test_logarithms_of_several_variants_are_those_of_their_chances(operator):
    model, one = LinearModel.random(), text([1, 5, 6, 7, 1], evidence=[2])
    keep = np.array([[True] * 5, [True, False, True, True, True], [True, False, False, True, True]])
    logs = answers(model, Operator(operator).log_chances(one, keep))
    np.testing.assert_allclose(np.exp(logs), answers(model, Operator(operator).chances(one, keep)), rtol=1e-12)


def test_a_value_has_its_own_unit_and_chances_are_in_percent():
    one = text([1, 5, 1])
    assert {link: unit(replace(one, link=link)) for link in LINKS} == {"softmax": 100, "sigmoid": 100, "identity": 1}


def test_rank_correlation_never_leaves_its_range_by_rounding():
    ranks = [np.arange(n, dtype=float) for n in range(2, 200)]
    for one in (*ranks, *(np.minimum(each, 7) for each in ranks)):
        assert 1 - 1e-12 < spearman(one, one) <= 1
        assert -1 <= spearman(one, -one) < -1 + 1e-12
