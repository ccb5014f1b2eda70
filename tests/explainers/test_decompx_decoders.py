"""DecompX on decoders against a slow propagation, token by token, and against B-cos explanations."""

from itertools import product
from math import sqrt

import numpy as np
import pytest
import torch
from builders import answers
from faithbench_explainers.bcos import Bcos
from faithbench_explainers.decomposition.propagation import table
from faithbench_explainers.decompx import BIAS_SPLITS, VALUE_BIASES, DecompX
from language_models import language_model, questions, shared_language_model
from networks import SENTENCES, generic
from torch import nn
from torch.nn.functional import gelu

from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.questions import Row
from faithbench.types import Example, Text

Rows = list[list[np.ndarray]]
HEADS, WIDTH = 4, 32


class SlowGPT2:
    """Hidden states as lists: states[i][k] is what token k has at position i."""

    def __init__(self, model: HuggingFaceLanguageModel, bias_split: str) -> None:
        self.model, self.bias_split = model, bias_split
        self.numbers = {name: weight.numpy() for name, weight in model.model.state_dict().items()}

    def scores(self, text: Text, value_bias: str) -> np.ndarray:
        own = self.model.embed([Row(text.ids)])[0]
        n = len(own)
        states = [[own[i] if i == k else np.zeros(WIDTH) for k in range(n)] for i in range(n)]
        for layer in range(2):
            at, attended = (
                f"transformer.h.{layer}.",
                value_bias == "attended" or (value_bias != "shared" and layer == 0),
            )
            states = self.attention([self.norm(row, f"{at}ln_1") for row in states], states, f"{at}attn.", attended)
            inner = [self.linear(self.norm(row, f"{at}ln_2"), f"{at}mlp.c_fc") for row in states]
            outer = [self.linear(self.activated(row), f"{at}mlp.c_proj") for row in inner]
            states = [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(states, outer, strict=True)]
        head = self.numbers["lm_head.weight"]
        good, bad = (head[candidate] for candidate in text.candidates or ())
        return np.array([(good - bad) @ x / 2 for x in self.norm(states[-1], "transformer.ln_f")])

    def attention(self, normed: Rows, states: Rows, at: str, attended: bool) -> Rows:
        weight, bias = self.numbers[f"{at}c_attn.weight"].T, self.numbers[f"{at}c_attn.bias"]
        query, key = ([weight[p : p + WIDTH] @ sum(row) + bias[p : p + WIDTH] for row in normed] for p in (0, WIDTH))
        value, own, mix = weight[2 * WIDTH :], bias[2 * WIDTH :], self.numbers[f"{at}c_proj.weight"].T
        n, size = len(states), WIDTH // HEADS
        out = [[x.copy() for x in row] for row in states]
        for head, i in product(range(HEADS), range(n)):
            part = slice(size * head, size * head + size)
            scores = np.exp([query[i][part] @ key[j][part] / sqrt(size) for j in range(i + 1)])
            for j, k in product(range(i + 1), range(n)):
                brought = value[part] @ normed[j][k] + (own[part] if attended and j == k else 0)
                out[i][k] += scores[j] / scores.sum() * mix[:, part] @ brought
        left = self.numbers[f"{at}c_proj.bias"] + (0 if attended else mix @ own)
        return [self.share(row, left) for row in out]

    def linear(self, row: list[np.ndarray], name: str) -> list[np.ndarray]:
        return self.share([x @ self.numbers[f"{name}.weight"] for x in row], self.numbers[f"{name}.bias"])

    def norm(self, row: list[np.ndarray], name: str) -> list[np.ndarray]:
        std = sqrt(np.var(sum(row)) + 1e-5)
        gain = self.numbers[f"{name}.weight"]
        return self.share([gain * (x - x.mean()) / std for x in row], self.numbers[f"{name}.bias"])

    def activated(self, row: list[np.ndarray]) -> list[np.ndarray]:
        total = torch.from_numpy(sum(row))
        slope = (gelu(total, approximate="tanh") / total).numpy()
        return [slope * x for x in row]

    def share(self, row: list[np.ndarray], bias: np.ndarray) -> list[np.ndarray]:
        sizes = np.array([abs(bias @ x) if self.bias_split == "dot" else np.abs(x) for x in row])
        return [x + size / sizes.sum(0) * bias for x, size in zip(row, sizes, strict=True)]


@pytest.mark.parametrize(
    ("bias_split", "value_bias"), [("dot", "attended_first"), ("dot", "shared"), ("dimension", "attended")]
)
def test_scores_are_the_slow_propagation(bias_split: str, value_bias: str):
    model = shared_language_model("GPT2")
    text = questions(model)[1]
    found = answers(model, DecompX(bias_split, value_bias)(text, 0))
    np.testing.assert_allclose(found.scores, SlowGPT2(model, bias_split).scores(text, value_bias), rtol=0, atol=1e-8)
    assert abs(found.notes["completeness_gap"]) < 1e-9


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "Qwen2", "Qwen3", "Gemma"])
@pytest.mark.parametrize("contrast", [True, False])
def test_columns_sum_to_the_logits(kind: str, contrast: bool):
    model = shared_language_model(kind, None, contrast)
    text = questions(model)[0]
    logits = model.logits([Row(text.ids, candidates=text.candidates)])[0]
    for bias_split, value_bias in product(BIAS_SPLITS, VALUE_BIASES):
        found = table(model, text, bias_split, value_bias)
        assert found.shape == (len(text), 2)
        assert np.abs(found.sum(axis=0) - logits).max() < 1e-5
        assert np.abs(found).max() > 1e-3


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "Gemma"])
def test_bcos_models_have_their_own_explanation(kind: str):
    model = shared_language_model(kind, 1.1)
    for text in questions(model):
        expected = answers(model, Bcos()(text, 0)).scores
        np.testing.assert_allclose(answers(model, DecompX()(text, 0)).scores, expected, rtol=0, atol=1e-6)


def test_without_biases_a_conventional_llama_has_that_of_frozen_weights():
    model = shared_language_model("Llama")
    text = questions(model)[0]
    expected = answers(model, Bcos()(text, 0)).scores
    np.testing.assert_allclose(answers(model, DecompX()(text, 0)).scores, expected, rtol=0, atol=1e-6)


def test_decoders_that_classify_are_complete():
    for kind in ("GPT2", "Llama"):
        model = generic(kind)
        text = model.encode(Example("0", SENTENCES[0], None))
        assert abs(answers(model, DecompX()(text, 1)).notes["completeness_gap"]) < 1e-6


def test_chunks_change_nothing():
    model = shared_language_model("Qwen2")
    text = questions(model)[0]
    whole = table(model, text)
    for chunk in (1, 900):
        np.testing.assert_allclose(table(model, text, chunk=chunk), whole, rtol=0, atol=1e-12)


def test_what_is_no_such_decoder_is_refused():
    for kind in ("Gemma2", "Phi3", "GPTNeo", "GPTBigCode", "OPT"):
        model = shared_language_model(kind)
        with pytest.raises(
            RuntimeError, match=r"^QuestionError: DecompX does not know the parts of the architecture '"
        ):
            answers(model, DecompX()(questions(model)[0], 0))


def test_layers_that_do_more_than_their_names_tell_are_refused():
    model = language_model("Granite", residual_multiplier=0.5)
    with pytest.raises(
        RuntimeError, match=r"^QuestionError: GraniteForCausalLM computes something else than the layers"
    ):
        answers(model, DecompX()(questions(model)[0], 0))


class Centred(nn.Module):
    """A norm of its own kind."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH).double())

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        centred = states - states.mean(-1, keepdim=True)
        return self.weight * centred * (centred.square().mean(-1, keepdim=True) + 1e-5).rsqrt()


def test_a_norm_that_takes_off_the_mean_is_no_root_mean_square():
    model = language_model("Llama")
    model.model.model.norm = Centred()
    with pytest.raises(RuntimeError, match=r"^QuestionError: DecompX does not know the parts"):
        answers(model, DecompX()(questions(model)[0], 0))
