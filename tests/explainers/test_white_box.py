"""Explainers on CRATE and its baseline, which are causal language models like any other; and how rows are read."""

import functools

import numpy as np
import pytest
import torch
from builders import answers
from language_models import questions, tokenizer
from white_box import crate, gpt_relu

from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.models.points import LayerInput
from faithbench.models.white_box_layers import Ista, ReluMLP
from faithbench.plugins.spec import build
from faithbench.questions import Row
from faithbench.types import Target

MADE = {"crate": crate, "gpt-relu": gpt_relu, "residual": functools.partial(crate, residual=True)}
EVERY = pytest.mark.parametrize("kind", MADE)
EXPLAINERS = (
    *("bcos", "input_x_gradient", "saliency", "attn_lrp", "integrated_gradients(n_steps=3)", "random", "sig"),
    *("occlusion", "shap_sampl(n_permutations=2)", "kernel_shap(n_samples=20)", "lime(n_samples=12)"),
    *("attention", "attention(variant=rollout)", "attention(variant=flow)", "attention(variant=max_path)"),
)


@functools.cache
def model_of(kind, attention="sdpa"):
    words = tokenizer("GPT2")
    network = MADE[kind](attention, vocab_size=len(words), max_position_embeddings=48)
    return HuggingFaceLanguageModel(network, words, dtype=torch.float64)


def explained(model, spec, text):
    return answers(model, build("explainer", spec).object(text, Target(0)))


@EVERY
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_everything_can_be_asked_of_them(kind, attention):
    can = model_of(kind, attention).can
    assert isinstance(can.point, LayerInput)
    assert isinstance(can.cut, ReluMLP if kind == "gpt-relu" else Ista)
    assert can.pads
    assert can.hides
    assert can.attention == ("caught" if attention == "sdpa" else "told")


@EVERY
@pytest.mark.parametrize("spec", EXPLAINERS)
def test_every_explainer_explains_them(kind, spec):
    model = model_of(kind)
    found = explained(model, spec, questions(model)[0])
    assert np.isfinite(found.scores).all()
    assert np.abs(found.scores).max() > 0


@EVERY
def test_decompx_names_what_it_does_not_know(kind):
    model, name = model_of(kind), "gpt-relu" if kind == "gpt-relu" else "crate"
    with pytest.raises(RuntimeError, match=f"the architecture '{name}'"):
        explained(model, "decompx", questions(model)[0])


@EVERY
def test_frozen_weights_say_what_thresholds_and_biases_leave(kind):
    model = model_of(kind)
    for text in questions(model):
        found = explained(model, "bcos", text)
        gap, ids = found.notes["completeness_gap"], torch.tensor(text.ids.copy())[None]
        logit = float(model.forward(ids, candidates=torch.tensor([text.candidates]))[0, 0])
        assert logit == pytest.approx(float(found.scores.sum()) + gap, abs=1e-9)
        assert (abs(gap) < 1e-9) == (kind == "gpt-relu")
        assert found.notes["token"] + found.notes["position"] == pytest.approx(float(found.scores.sum()))


@EVERY
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_has_layers_heads_and_tokens(kind, attention):
    model = model_of(kind, attention)
    rows = [Row(text.ids) for text in questions(model)]
    for row, found in zip(rows, model.attentions(rows), strict=True):
        n = len(row.ids)
        assert found.shape == (2, 4, n, n)
        np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-6)
        assert not found[..., np.triu(np.ones((n, n), dtype=bool), 1)].any()


@EVERY
def test_a_text_says_the_same_alone_and_among_others(kind):
    model = model_of(kind)
    texts = questions(model)
    rows = [Row(text.ids, outputs=None) for text in texts]
    ids, types, visible = model._batch(rows)
    candidates = torch.tensor([text.candidates for text in texts])
    together = model.forward(ids, types, visible, candidates=candidates)
    for place, text in enumerate(texts):
        alone = model.forward(torch.tensor(text.ids.copy())[None], candidates=candidates[place : place + 1])
        torch.testing.assert_close(together[place : place + 1], alone, rtol=0, atol=1e-12)
