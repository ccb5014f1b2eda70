"""Explainers on next-token questions: what each says of d = z_t − z_f, and of z_t alone."""

import importlib.util
import os
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from builders import answers
from faithbench_explainers.attention import Attention
from faithbench_explainers.attn_lrp import AttnLRP
from faithbench_explainers.bcos import Bcos
from faithbench_explainers.input_x_gradient import InputXGradient
from faithbench_explainers.integrated_gradients import IntegratedGradients
from faithbench_explainers.kernel_shap import KernelShap
from faithbench_explainers.lime import LIME
from faithbench_explainers.occlusion import Occlusion
from faithbench_explainers.saliency import Saliency
from faithbench_explainers.shap_sampl import ShapSampl
from faithbench_explainers.sig import SIG
from language_models import language_model, network, questions, shared_language_model
from networks import SENTENCES, end_of_text_pairs, shared_generic

from faithbench.bcos import convert
from faithbench.conversations import on_variant
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.models.places import place_part
from faithbench.models.variants import Randomised
from faithbench.plugins.spec import build
from faithbench.questions import GONE, HIDDEN, NOISE, RANDOMISED, Gradients, Inside, Logits, OnVariant, Row, Variant
from faithbench.types import Attribution, Example, Target, Text

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # shap's loops take longer to compile than to run, for so few tokens
MODELS = [("GPT2", None), ("GPT2", 1.1), ("Llama", None), ("Llama", 1.1)]
OTHERS = [("Gemma", 1.1), ("GPT2", None), ("GPTNeoX", None), ("Qwen3", None), ("Bloom", None), ("Gemma2", None)]
EVERY = (
    *("bcos", "input_x_gradient", "saliency", "attn_lrp", "integrated_gradients(n_steps=3)", "random"),
    *("sig", "sig(n_steps=2)", "occlusion", "occlusion(window=2)", "shap_sampl(n_permutations=2)"),
    *("kernel_shap(n_samples=20)", "lime(n_samples=12)", "attention", "attention(variant=rollout)"),
    *("attention(variant=flow)", "attention(variant=max_path)", "words(bcos)", "degraded(occlusion)"),
    *("permuted(bcos)", "captum(IntegratedGradients(n_steps=3))", "captum(FeatureAblation)"),
    *("captum(FeatureAblation, over=embeddings)", "captum(Saliency)", "shap(Permutation)", "shap(Partition)"),
    "lime_package(num_samples=12)",
)
PACKAGES = {"captum": "captum", "shap": "shap", "lime_package": "lime"}


def explained(model: HuggingFaceClassifier, spec: str, text: Text) -> Attribution:
    package = PACKAGES.get(spec.partition("(")[0])
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    return answers(model, build("explainer", spec).object(text, Target(0)))


def largest(values: np.ndarray) -> float:
    return float(np.abs(values).max())


def difference(model: HuggingFaceLanguageModel, ids: np.ndarray, candidates: tuple[int, ...]) -> float:
    """z_t − z_f, from what transformers says of its whole vocabulary."""
    with torch.no_grad():
        logits = model.model(input_ids=torch.tensor(np.array(ids))[None]).logits[0, -1].double()
    return float(logits[candidates[0]] - logits[candidates[1]])


def occluded(model: HuggingFaceLanguageModel, text: Text) -> np.ndarray:
    """d of the text, then of the text with each token of content replaced."""
    rows = [text.ids, *(np.where(np.arange(len(text)) == place, text.mask_id, text.ids) for place in text.content)]
    return np.array([difference(model, row, text.candidates or ()) for row in rows])


@pytest.mark.parametrize("spec", EVERY)
def test_every_explainer_runs_on_language_models(spec: str):
    model = shared_language_model("Llama", 1.1)
    text = questions(model)[1]
    found = explained(model, spec, text)
    assert found.scores.shape == (len(text),)
    assert np.isfinite(found.scores).all()
    assert largest(found.scores) > 0


@pytest.mark.parametrize(("kind", "b"), OTHERS)
def test_the_same_on_other_types(kind: str, b: float | None):
    model = shared_language_model(kind, b)
    text = questions(model)[0]
    for spec in ("bcos", "attn_lrp", "saliency", "sig", "occlusion", "attention", "attention(variant=rollout)"):
        found = explained(model, spec, text)
        assert np.isfinite(found.scores).all()
        assert largest(found.scores) > 0


@pytest.mark.parametrize(("kind", "b"), [("GPT2", 1.1), ("GPT2", 2.0), ("Llama", 1.1), ("Gemma", 1.1), ("OPT", 1.5)])
def test_frozen_weights_complete_to_half_the_difference_on_bcos_models(kind: str, b: float):
    model = shared_language_model(kind, b)
    for text in questions(model):
        found = answers(model, Bcos()(text, 0))
        half = difference(model, text.ids, text.candidates) / 2
        near = (
            1e-9 if kind in ("GPT2", "GPTNeoX", "OPT") else 1e-6
        )  # norms and rotations that transformers has in float32
        assert abs(found.scores.sum() - half) <= near * max(1.0, np.abs(found.scores).sum())
        assert abs(found.notes["completeness_gap"]) <= 1e-9 * max(1.0, np.abs(found.scores).sum())
        for against in (Bcos()(text, Target(0, 1)), Bcos(contrastive=True)(text, 0)):
            scores = answers(model, against).scores
            np.testing.assert_allclose(scores, 2 * found.scores, rtol=1e-9, atol=1e-12)  # d/2 less −d/2


def test_conventional_models_say_what_biases_leave():
    model = shared_language_model("GPT2")
    gaps = [answers(model, Bcos()(text, 0)).notes["completeness_gap"] for text in questions(model)]
    assert max(map(abs, gaps)) > 1e-3


@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
@pytest.mark.parametrize("explainer", [Bcos(), InputXGradient(), IntegratedGradients(5), SIG(), Occlusion()])
def test_without_contrast_the_first_candidate_is_explained_alone(kind: str, explainer):
    """d/2 is half of z_t less half of z_f, and these are all linear in what they explain."""
    contrast, alone = shared_language_model(kind), shared_language_model(kind, None, contrast=False)
    for text in questions(contrast):
        half, own, other = (
            np.asarray(answers(model, explainer(text, target)).scores)
            for model, target in ((contrast, 0), (alone, 0), (alone, 1))
        )
        assert largest(half - (own - other) / 2) <= 1e-6 * largest(own)
        assert largest(half - own) > 1e-3 * largest(own)


def test_without_contrast_frozen_weights_complete_to_the_logit():
    model = shared_language_model("GPT2", 1.1, contrast=False)
    for text in questions(model):
        found = answers(model, Bcos()(text, 0))
        with torch.no_grad():
            logit = float(model.model(input_ids=torch.tensor(text.ids.copy())[None]).logits[0, -1, text.candidates[0]])
        assert found.scores.sum() == pytest.approx(logit, abs=1e-9 * max(1.0, np.abs(found.scores).sum()))


@pytest.mark.parametrize(("kind", "b"), [("GPT2", None), ("Llama", 1.1)])
def test_occlusion_and_its_like_are_differences_of_half_of_d(kind: str, b: float | None):
    model = shared_language_model(kind, b)
    for text in questions(model):
        values = occluded(model, text) / 2
        found = answers(model, Occlusion()(text, 0)).scores
        np.testing.assert_allclose(found[text.content], values[0] - values[1:], atol=1e-6)
        assert not np.asarray(found)[text.special].any()
        sig = answers(model, SIG()(text, 0)).scores
        np.testing.assert_allclose(sig[text.content], values[0] - values[1:], atol=1e-6)


def test_shapley_values_sum_to_half_of_d_less_that_of_no_content():
    model = shared_language_model("GPT2")
    text = questions(model)[2]
    whole = difference(model, text.ids, text.candidates) / 2
    nothing = difference(model, np.where(text.special, text.ids, text.mask_id), text.candidates) / 2
    for explainer in (KernelShap(30), ShapSampl(2)):
        assert answers(model, explainer(text, 0)).scores.sum() == pytest.approx(whole - nothing, abs=1e-9)


def test_lime_explains_the_probability_among_the_two():
    """σ(d) of each mask, in a regression of our own."""
    model = shared_language_model("GPT2")
    text, explainer = questions(model)[1], LIME(40)
    masks = np.concatenate([np.ones((1, len(text.content)), dtype=bool), explainer.masks(text)])
    values = []
    for mask in masks:
        row = text.ids.copy()
        row[text.content[~mask]] = text.mask_id
        values.append(1 / (1 + np.exp(-difference(model, row, text.candidates))))
    inputs, weights = masks.astype(float), explainer.weights(masks, 1.0)
    share = weights / weights.sum()
    x, y = inputs - share @ inputs, np.array(values) - share @ np.array(values)
    expected = np.linalg.solve((x * weights[:, None]).T @ x + np.eye(x.shape[1]), (x * weights[:, None]).T @ y)
    np.testing.assert_allclose(answers(model, explainer(text, 0)).scores[text.content], expected, atol=1e-9)


@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
def test_libraries_explain_the_same_as_our_own(kind: str):
    model = shared_language_model(kind)
    text = questions(model)[0]
    pairs = [
        ("captum(FeatureAblation)", Occlusion(), 1e-9),
        ("captum(FeatureAblation, over=embeddings)", Occlusion(), 1e-9),
        ("captum(Saliency)", Saliency(), 1e-9),
        ("captum(InputXGradient)", InputXGradient(), 1e-9),
        ("captum(IntegratedGradients(n_steps=20))", IntegratedGradients(20), 1e-6),
    ]
    for spec, explainer, near in pairs:
        expected = np.asarray(answers(model, explainer(text, 0)).scores)
        assert largest(explained(model, spec, text).scores - expected) <= near * largest(expected), spec


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "Bloom"])
def test_attention_is_causal_and_read_from_the_last_token(kind: str):
    model = shared_language_model(kind)
    text = questions(model)[0]
    with torch.no_grad():
        eager = network(kind, "eager")
        told = eager(input_ids=torch.tensor(text.ids.copy())[None], output_attentions=True).attentions
    layers = torch.stack(told)[:, 0].double().numpy()
    caught = model.attentions([Row(text.ids)])[0]
    np.testing.assert_allclose(caught, layers, atol=1e-6)
    assert not caught[..., np.triu(np.ones((len(text), len(text)), dtype=bool), 1)].any()
    assert text.read == len(text) - 1
    np.testing.assert_allclose(answers(model, Attention()(text, 0)).scores, layers.mean((0, 1))[-1], atol=1e-6)
    residual = [(layer.mean(0) + np.eye(len(text))) / 2 for layer in layers]
    expected = (residual[1] @ residual[0])[-1]
    np.testing.assert_allclose(answers(model, Attention("rollout")(text, 0)).scores, expected, atol=1e-6)


@pytest.mark.parametrize(("kind", "b"), [("GPT2", None), ("GPT2", 1.1), ("OPT", 1.5)])
def test_notes_part_the_scores_between_tokens_and_places(kind: str, b: float | None):
    model = language_model(kind, b)
    text = questions(model)[0]
    found = answers(model, Bcos()(text, 0))
    gradient = answers(model, asked(Gradients(text, 0, "faithbench.models.frozen:FrozenWeights")))
    table = model.model.get_input_embeddings().weight.detach()
    words = table[torch.from_numpy(text.ids)].numpy()
    assert found.notes["token"] == pytest.approx((words * gradient.gradient).sum(), abs=1e-9)
    assert found.notes["token"] + found.notes["position"] == pytest.approx(found.scores.sum(), abs=1e-9)
    assert abs(found.notes["position"]) > 1e-3  # what a sum over token embeddings alone misses


def test_places_are_the_position_embeddings_themselves():
    gpt2, opt = language_model("GPT2"), language_model("OPT")
    own = gpt2.model.transformer.wpe.weight.detach()[:9]
    torch.testing.assert_close(place_part(gpt2, 9, (40, 50)), own, rtol=0, atol=1e-9)
    table = opt.model.model.decoder.embed_positions.weight.detach()[2:11]  # two rows are for padding
    torch.testing.assert_close(place_part(opt, 9, (40, 50)), table, rtol=0, atol=1e-9)
    with torch.no_grad():
        opt.model.model.decoder.embed_positions.weight.zero_()
    assert not place_part(opt, 9, (40, 50)).any()


@pytest.mark.parametrize("kind", ["Llama", "Gemma", "Gemma3Text", "Bloom", "GPTNeoX"])
def test_where_positions_are_no_embeddings_all_is_the_tokens(kind: str):
    """Gemma's factor √d is of the tokens, too."""
    model = shared_language_model(kind)
    found = answers(model, Bcos()(questions(model)[0], 0))
    assert found.notes["position"] == 0
    assert found.notes["token"] == pytest.approx(found.scores.sum(), abs=1e-9)


def test_classifiers_have_no_such_notes():
    model = shared_generic("GPT2")
    assert set(explained(model, "bcos", model.encode(Example("0", SENTENCES[0], None))).notes) == {"completeness_gap"}


def test_scores_do_not_depend_on_the_batch():
    model = shared_language_model("Llama", 1.1)
    for explainer in (Bcos(), Occlusion(), Attention()):
        alone = [answers(model, explainer(text, 0)).scores for text in questions(model)]
        fresh = [answers(model, explainer(text, 0), batch_tokens=10).scores for text in questions(model)]
        for one, other in zip(alone, fresh, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-9)


def asked(question: object):
    return (yield question)


@pytest.mark.parametrize(("kind", "b"), MODELS)
def test_cascading_randomisation_goes_from_the_head_over_the_layers_to_the_embeddings(kind: str, b: float | None):
    model = language_model(kind, b)
    text, print_before = questions(model)[0], model.fingerprint()
    learnt = {name: weight.clone() for name, weight in model.model.named_parameters()}
    stages = answers(model, asked(Inside(text, "faithbench.models.variants:count_parts")))
    changed = []
    for part in range(stages):
        with Randomised(model, part, cascade=True, seed=0):
            now = dict(model.model.named_parameters())
            changed.append({name for name, weight in learnt.items() if not torch.equal(now[name], weight)})
    places = "transformer.h." if kind == "GPT2" else "model.layers."
    layers = [{name for name in learnt if name.startswith(f"{places}{number}.")} for number in range(2)]
    embeddings = {"transformer.wte.weight", "transformer.wpe.weight"} & set(learnt) or {"model.embed_tokens.weight"}
    head = set(learnt) - layers[0] - layers[1] - embeddings
    assert stages == 4
    assert changed == [head, head | layers[1], head | layers[1] | layers[0], set(learnt)]
    assert model.fingerprint() == print_before


@pytest.mark.parametrize(("kind", "b"), [("GPT2", None), ("Llama", 1.1)])
@pytest.mark.parametrize("change", [(RANDOMISED, ("part", 1), ("cascade", True)), (NOISE, ("radius", 0.3))])
def test_explanations_of_variants_are_those_of_a_model_that_is_so(kind: str, b: float | None, change: tuple):
    model = language_model(kind, b)
    text, (name, *arguments) = questions(model)[0], change
    arguments = (*arguments, ("seed", 5))
    keep = np.ones((1, len(text)), dtype=bool)
    before = answers(model, Bcos()(text, 0))
    for explainer in (Bcos(), AttnLRP(), InputXGradient(), Occlusion(), Attention()):
        found = answers(model, on_variant(Variant(name, arguments), explainer(text, 0)))
        with resolve_name(name)(model, **dict(arguments)):
            expected = answers(model, explainer(text, 0))
            logit = answers(model, asked(Logits(text, keep)))[0, 0]
        np.testing.assert_array_equal(found.scores, expected.scores)
        if explainer == Bcos():
            assert found.scores.sum() + found.notes["completeness_gap"] == pytest.approx(logit, abs=1e-6)
            assert found.notes["token"] + found.notes["position"] == pytest.approx(found.scores.sum(), abs=1e-9)
            assert largest(found.scores - before.scores) > 1e-3
    after = answers(model, Bcos()(text, 0))
    np.testing.assert_array_equal(after.scores, before.scores)
    assert after.notes == before.notes


def test_noise_is_drawn_for_the_places_that_there_are():
    model = language_model("Llama")
    model.max_length = 10**12  # as many as no memory has
    text = questions(model)[0]
    keep = np.ones((1, len(text)), dtype=bool)
    noise = Variant(NOISE, (("radius", 0.1), ("seed", 0)))
    assert np.isfinite(answers(model, asked(OnVariant(noise, Logits(text, keep))))).all()


@pytest.mark.parametrize(("kind", "b"), MODELS)
def test_tokens_that_are_gone_or_hidden(kind: str, b: float | None):
    model = shared_language_model(kind, b)
    text = questions(model)[1]
    keep = np.ones((len(text.content) - 1, len(text)), dtype=bool)
    keep[np.arange(len(keep)), text.content[:-1]] = False
    gone, hidden = (answers(model, asked(Logits(text, keep, fill)))[:, 0] for fill in (GONE, HIDDEN))
    for number, row in enumerate(keep):
        assert 2 * gone[number] == pytest.approx(difference(model, text.ids[row], text.candidates), abs=1e-6)
        with torch.no_grad():
            inputs = {"attention_mask": torch.from_numpy(row[None].astype(np.int64))}
            inputs["position_ids"] = torch.arange(len(text))[None]
            logits = model.model(input_ids=torch.tensor(text.ids.copy())[None], **inputs).logits[0, -1].double()
        assert 2 * hidden[number] == pytest.approx(
            float(logits[text.candidates[0]] - logits[text.candidates[1]]), abs=1e-6
        )
    last = np.ones((1, len(text)), dtype=bool)
    last[0, -1] = False  # it reads, and so is filled
    filled = np.where(last[0], text.ids, text.mask_id)
    expected = difference(model, filled, text.candidates)
    assert 2 * answers(model, asked(Logits(text, last, HIDDEN)))[0, 0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
@pytest.mark.parametrize("b", [None, 1.5])
def test_decoders_that_classify_have_all_of_this_too(kind: str, b: float | None):
    model = shared_generic(kind)
    if b is not None:
        model = HuggingFaceClassifier(convert(model.model, b), end_of_text_pairs(), dtype=torch.float64)
    text = model.encode(Example("0", SENTENCES[0], None))
    for spec in ("bcos", "attn_lrp", "integrated_gradients(n_steps=3)", "captum(Saliency)", "occlusion", "attention"):
        assert largest(explained(model, spec, text).scores) > 0
    if b is not None:
        assert abs(explained(model, "bcos", text).notes["completeness_gap"]) < 1e-9
