"""What explainers say of themselves and which parameters they take: faults here survived the tests of their scores."""

import numpy as np
import pytest
import torch
from builders import LinearModel, answers, random_texts, shared_classifier, text
from faithbench_explainers.objective import objective
from faithbench_explainers.shap_sampl import ShapSampl

from faithbench.errors import UserError
from faithbench.plugins import spec
from faithbench.types import Target

SUMS = {
    "shap_sampl": "content",
    "shap_sampl(protocol=paper)": "tokens",
    "integrated_gradients": "tokens",
    "bcos": "logit",
    "bcos(aggregation=l2)": "",
    "sig": "",
}
REFUSED = {
    "shap_sampl(baseline=zero)": "baseline='zero' is not allowed; use mask or pad",
    "shap_sampl(protocol=loose)": "protocol='loose' is not allowed; use strict or paper",
    "shap_sampl(n_permutations=0)": "n_permutations=0 is not allowed",
    "shap_sampl(n_permutations=3, antithetic=True)": "n_permutations=3 is not allowed with antithetic",
    "lime(num_features=0)": "num_features=0 is not allowed",
    "lime(feature_selection=best)": "feature_selection='best' is not allowed",
}


@pytest.mark.parametrize("explainer", SUMS)
def test_an_explainer_says_what_its_scores_sum_to(explainer):
    assert spec.build("explainer", explainer).traits.sums_to == SUMS[explainer]


@pytest.mark.parametrize("explainer", REFUSED)
def test_parameters_are_refused_by_name_and_value(explainer):
    with pytest.raises(UserError, match=REFUSED[explainer]):
        spec.build("explainer", explainer)


def test_the_runner_up_of_two_classes_is_the_other_one_and_of_one_there_is_none():
    one, model = text([1, 5, 6, 1]), LinearModel.random(classes=2)
    for target, rival in ((0, 1), (1, 0)):
        assert answers(model, objective(one, Target(target), True)) == Target(target, rival)
    assert answers(model, objective(one, Target(0), False)) == Target(0)
    with pytest.raises(RuntimeError, match="needs another output, and the model has only one"):
        answers(LinearModel.random(classes=1), objective(one, Target(0), True))


def test_standard_errors_are_those_of_the_mean_from_two_orders_on():
    classifier = shared_classifier("bert", dtype=torch.float64)
    (one,) = random_texts(classifier, (5,))
    two = answers(classifier, ShapSampl(n_permutations=2)(one, Target(0)))
    first = answers(classifier, ShapSampl(n_permutations=1)(one, Target(0)))
    np.testing.assert_allclose(two.standard_errors, np.abs(two.scores - first.scores), atol=1e-12)
    assert two.standard_errors.max() > 0


def test_one_order_has_no_standard_errors_and_two_have():
    model, one = LinearModel.random(), text([1, 5, 6, 7, 1])
    alone = answers(model, ShapSampl(n_permutations=1)(one, Target(0)))
    two = answers(model, ShapSampl(n_permutations=2)(one, Target(0)))
    assert alone.standard_errors is None
    np.testing.assert_allclose(two.standard_errors, 0, atol=1e-12)  # in a linear model the order does not matter
    np.testing.assert_allclose(alone.scores, two.scores, atol=1e-12)


@pytest.mark.parametrize("antithetic", [False, True])
def test_every_order_has_every_player_and_backwards_follows_forwards(antithetic):
    one = text([1, 5, 6, 7, 1])
    orders = ShapSampl(n_permutations=6, antithetic=antithetic).orders(one, 3)
    assert orders.shape == (6, 3)
    assert (np.sort(orders, axis=1) == np.arange(3)).all()
    assert (orders[1::2] == orders[::2, ::-1]).all() == antithetic
    if antithetic:
        np.testing.assert_array_equal(orders[::2], ShapSampl(n_permutations=3).orders(one, 3))
