"""Models that say several labels, or a value: every explainer and metric gives finite numbers, or says why not."""

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
from builders import LinearModel, all_answers, answers, attribution, random_texts, text, tiny_network, tiny_tokenizer

from faithbench.conversations import answering, ask
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import finding, spec
from faithbench.questions import Explain
from faithbench.tasks import MultiLabel, Regression, Task, logits_of
from faithbench.types import Attribution, Target, Text

TASKS: dict[str, tuple[Task, int]] = {"sigmoid": (MultiLabel(), 3), "identity": (Regression(), 1)}
TOLD = {  # what those need that must be told something
    "captum": "captum(IntegratedGradients(n_steps=4))",
    "shap": "shap(Permutation)",
    "degraded": "degraded(occlusion)",
    "permuted": "permuted(occlusion)",
    "words": "words(occlusion)",
    "normalised": "normalised(comprehensiveness)",
}
CHEAP = {"lime": "lime(n_samples=60)", "kernel_shap": "kernel_shap(n_samples=40)", "lime_package": "lime_package(60)"}
MORE = (
    "captum(KernelShap(n_samples=20))",
    "captum(FeatureAblation)",
    "captum(Lime(n_samples=20))",
    "shap(Exact)",
    "shap(Partition)",
)
ELSEWHERE = ("imported", "callable")  # they need a function or a file
EXPLAINERS = sorted({*(TOLD.get(n, CHEAP.get(n, n)) for n in finding.find("explainer") if n not in ELSEWHERE), *MORE})
METRICS = sorted(TOLD.get(name, name) for name in finding.find("metric"))
CONTRASTIVE = sorted(
    name for name in EXPLAINERS if "(" not in name and "contrastive" in str(spec.build("explainer", name))
)


@functools.cache
def classifier(link: str) -> HuggingFaceClassifier:
    task, outputs = TASKS[link]
    return HuggingFaceClassifier(tiny_network("bert", outputs), tiny_tokenizer(), task=task)


def explained(name: str, link: str, target: Target) -> Attribution:
    (one,) = random_texts(classifier(link), lengths=(5,))
    return answers(classifier(link), ask(spec.build("explainer", name).object, one, target))


@pytest.mark.parametrize("link", TASKS)
@pytest.mark.parametrize("name", EXPLAINERS)
def test_every_explainer_explains_any_output(name, link):
    target = Target(TASKS[link][1] - 1)
    found = explained(name, link, target)
    assert found.target == target
    assert np.isfinite(found.scores).all()
    assert np.abs(found.scores).max() > 1e-6


@pytest.mark.parametrize("name", CONTRASTIVE)
def test_one_output_has_no_contrast(name):
    with pytest.raises(RuntimeError, match="QuestionError: a contrastive explanation needs another output"):
        explained(f"{name}(contrastive=True)", "identity", Target(0))
    assert np.isfinite(explained(f"{name}(contrastive=True)", "sigmoid", Target(0)).scores).all()


@pytest.mark.parametrize("link", TASKS)
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_measures_the_models_that_it_names(name, link):
    metric, explainer = spec.build("metric", name), spec.build("explainer", "occlusion")
    if link not in metric.traits.links:
        return

    def again(question: Explain):
        return (yield from ask(explainer.object, question.text, question.target))

    def measured(one: Text):
        logits = yield from logits_of(one)
        found = yield from ask(explainer.object, one, Target(int(logits.argmax())))
        return (yield from answering(ask(metric.object, one, found), again))

    found = all_answers(classifier(link), map(measured, random_texts(classifier(link), lengths=(6, 7, 8, 9))))
    values = [measurement.value for measurement in found]
    assert any(map(math.isfinite, values)), "it is not defined for any text"
    assert not any(map(math.isinf, values))


def test_metrics_of_decisions_do_not_speak_of_values_and_labels():
    links = {name: spec.build("metric", name).traits.links for name in METRICS}
    assert links["decision_flip"] == links["positive_rate"] == ("softmax",)
    for name in ("log_odds", "seqpg", "pointing_accuracy", "soft_comprehensiveness", "soft_sufficiency", "racu"):
        assert links[name] == ("softmax", "sigmoid")
    assert spec.build("metric", "normalised(log_odds)").traits.links == ("softmax", "sigmoid")


# A linear model of one output, value = Σ weights: what taking tokens away does to it is known.

WEIGHTS = (0.0, 0.0, 4.0, -2.0, 1.0)  # of token ids; 0 is the mask, 1 a special token


def measured(name: str, link: str) -> float:
    """Of the best ranking of a text of the tokens 2, 3 and 4."""
    model = LinearModel.one_hot([(weight,) for weight in WEIGHTS], (0.5,))
    one = replace(text([1, 2, 3, 4, 1]), link=link)
    return answers(model, ask(spec.build("metric", name).object, one, attribution(one, [0, 4, -2, 1, 0]))).value


def test_deletion_metrics_of_a_value_are_differences_in_its_own_unit():
    # taken away first: token 2 (4), then 4 (1), then 3 (−2); ratios 0.1 … 0.9 of three tokens take 1×6, 2×3
    assert measured("comprehensiveness", "identity") == pytest.approx((6 * 4 + 3 * 5) / 9)
    assert measured("sufficiency", "identity") == pytest.approx((6 * (3 - 4) + 3 * (3 - 5)) / 9)
    # values without the first k tokens: 3.5, −0.5, −1.5, 0.5
    assert measured("deletion", "identity") == pytest.approx(
        ((3.5 - 0.5) / 2 + (-0.5 - 1.5) / 2 + (-1.5 + 0.5) / 2) / 3
    )
    assert measured("insertion", "identity") == pytest.approx(((0.5 + 4.5) / 2 + (4.5 + 5.5) / 2 + (5.5 + 3.5) / 2) / 3)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_deletion_metrics_of_a_label_are_falls_of_its_own_probability_in_percent():
    falls = [sigmoid(3.5) - sigmoid(-0.5)] * 6 + [sigmoid(3.5) - sigmoid(-1.5)] * 3
    assert measured("comprehensiveness", "sigmoid") == pytest.approx(100 * sum(falls) / 9)
    logs = [math.log(sigmoid(-0.5)) - math.log(sigmoid(3.5))] * 6 + [
        math.log(sigmoid(-1.5)) - math.log(sigmoid(3.5))
    ] * 3
    assert measured("log_odds", "sigmoid") == pytest.approx(sum(logs) / 9)
